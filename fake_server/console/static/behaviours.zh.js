// What each behaviour does, how a client copes with it, and its parameters, in Chinese.

const NODE = "节点的 ID、标题或类型；默认是耗时最长的节点。";
const AFTER = "在前多少个事件之后发生。";
const HOW = "以哪种方式出错。";

export const behaviours = {
  slow: {
    headline: "某个节点耗时 ``seconds`` 秒",
    survive: "使用流式响应，把 ping 当作存活信号；超时应针对静默时间，而不是整个运行。",
    with: {
      node: NODE,
      seconds: "运行结果里报告的秒数，默认 60；实际等待时间随服务器速度缩短，instant 时不等待。",
      real_seconds: "无论速度多快，都按时钟真正等待的秒数。",
    },
  },
  node_failed: {
    headline: "某个节点失败并给出 ``error``；运行状态为 failed，而 HTTP 状态码仍是 200",
    survive: "先看响应或 workflow_finished 里的 data.status，再看 data.outputs，并展示 data.error。",
    with: { node: NODE, error: "错误文字；默认是主机对这类节点给出的原文。" },
  },
  tool_failed_silently: {
    headline: "工具没有生成图片，只在 ``text`` 里说明；运行成功，但文件列表为空",
    survive: "把“没有文件”当作一种单独的失败，并允许用户重试。",
    with: { text: "工具给出的文字；默认是该版本主机的原文。" },
  },
  run_failed: {
    headline: "所有节点都没有失败，运行却以 ``error`` 失败",
    survive: "以运行自身的 status 和 error 为准，节点只用来展示过程。",
    with: { error: "运行的错误文字。" },
  },
  stopped: {
    headline: "运行在开始 ``after_s`` 秒后被停止，正在执行的节点不会有结束事件",
    survive: "运行结束时就收起所有节点的加载状态，不要等每个节点自己的结束事件。",
    with: { after_s: "开始多少秒后停止；默认在一半的时候。" },
  },
  run_limit_600s: {
    headline: "某个节点一直不结束，600 秒后由主机自己停止运行",
    survive: "设置自己的期限并调用停止接口；stopped 不等于成功。",
    with: {},
  },
  unknown_status: {
    headline: "运行以文档里没有的状态结束，较新版本的 Dify 就有这样的状态",
    survive: "除 succeeded 以外的任何状态都当作没有结果保证的结束，并把这个词写进日志。",
    with: { status: "结束时的状态。" },
  },
  http_error: {
    headline: "响应是状态码为 ``status`` 的错误：JSON、HTML、空内容或损坏的 JSON",
    survive: "先看状态码，再看 Content-Type，最后才解析内容。",
    with: {
      status: "HTTP 状态码。",
      body: "响应体：主机的 JSON、HTML、空、损坏的 JSON。",
      code: "JSON 里的 code；默认是主机对该状态码使用的值。",
      message: "JSON 里的 message；默认是主机对该状态码使用的文字。",
    },
  },
  gateway_timeout: {
    headline: "代理在 ``after_s`` 秒后放弃并返回自己的 HTML，而运行会继续到结束",
    survive: "长时间的运行用流式响应；遇到 504 或 524 不要盲目重试，因为运行并没有停止。",
    with: { after_s: "代理等待的秒数。", status: "代理返回的状态码。" },
  },
  rate_limited: {
    headline: "响应为 429，并带有 Retry-After",
    survive: "按 Retry-After 等待；没有这个响应头时，等待时间要逐次延长。",
    with: { retry_after_s: "Retry-After 的秒数。", form: "由主机返回 JSON，还是由 Cloudflare 返回页面。" },
  },
  concurrency_limit: {
    headline: "同一应用同时进行的运行超过 ``limit`` 个时返回 429",
    survive: "在客户端排队，把这个 429 理解为“稍后再试”。",
    with: { limit: "同时允许的运行数；不填则每次运行都返回 429。" },
  },
  no_terminal_event: {
    headline: "流正常结束，但没有 workflow_finished",
    survive: "流结束而没有 workflow_finished 就是失败，应立即报告。",
    with: {},
  },
  double_terminal_event: {
    headline: "workflow_finished 出现两次",
    survive: "按 workflow_run_id 让“运行结束”的处理可以重复执行。",
    with: {},
  },
  endless_stream: {
    headline: "ping 一直发送，既没有 workflow_finished 也不结束；阻塞请求会一直挂起",
    survive: "给整个运行也设一个期限；ping 只说明主机在线，不说明运行在推进。",
    with: {},
  },
  reordered_events: {
    headline: "前 ``after`` 个事件之后的两个事件互换位置",
    survive: "按节点 ID 记录状态，先到哪个事件就用哪个事件建立条目。",
    with: { after: AFTER },
  },
  unknown_event: {
    headline: "前 ``after`` 个事件之后，出现该版本主机不会发送的 ``event``",
    survive: "跳过不认识的事件；不要把最后收到的事件当作结束。",
    with: { event: "事件的名称。", after: AFTER },
  },
  error_event: {
    headline: "前 ``after`` 个事件之后出现 error 事件，随后流结束，没有 workflow_finished",
    survive: "无论出现在流的什么位置，error 事件都表示运行失败；展示它的 message。",
    with: { code: "事件里的 code。", message: "事件里的 message。", status: "事件里的 status。", after: AFTER },
  },
  ping_storm: {
    headline: "每 ``every_s`` 秒一个 ping，而不是每十秒一个",
    survive: "在做任何其他处理之前就丢弃 ping。",
    with: { every_s: "两个 ping 之间的秒数。" },
  },
  no_ping: {
    headline: "无论运行多久都不发送 ping",
    survive: "要能承受几分钟的静默；重新连接没有用，运行无法续传。",
    with: {},
  },
  data_ping: {
    headline: "ping 以不是 JSON 的 data 发送，0.6.3 及更早的 Dify 就是这样",
    survive: "内容正好是 ping 时跳过；不要因为一帧读不懂就结束整个流。",
    with: { frame: "原样发送的帧。", every_s: "两个 ping 之间的秒数。" },
  },
  extra_fields: {
    headline: "响应和每个事件里的每个 JSON 对象都多出一个文档没有的字段",
    survive: "忽略不认识的字段。",
    with: { name: "字段的名称。" },
  },
  null_url: {
    headline: "每个文件的 url 都是 null",
    survive: "使用 url 之前先确认它是字符串。",
    with: {},
  },
  absolute_url: {
    headline: "每个文件的 url 都是绝对地址，如同主机设置了 FILES_URL",
    survive: "像浏览器那样以主机地址为基准解析 url，两种形式就都正确。",
    with: { base: "加在 url 前面的地址；默认是 --files-url，没有设置时是收到请求的地址。" },
  },
  wrong_host: {
    headline: "每个文件的 url 都是绝对地址，指向一台无法访问的主机",
    survive: "把“图片无法下载”和“运行失败”区分开，并说明尝试了哪个地址。",
    with: { base: "无法访问的地址。" },
  },
  expired_url: {
    headline: "每个文件的 url 都是 ``age_s`` 秒前签名的，超过 300 秒主机就会拒绝",
    survive: "拿到图片后立即下载并保存；API 没有重新签名的办法。",
    with: { age_s: "签名已经过去的秒数。" },
  },
  unsigned_url: {
    headline: "每个文件的 url 都缺少查询参数，因此没有签名",
    survive: "原样传递 url，包括查询参数；返回 400 且 params 为 timestamp 说明它丢失了。",
    with: {},
  },
  missing_blob: {
    headline: "主机磁盘上的图片已经不在：url 有效，下载却以 502 和 HTML 结束",
    survive: "图片的 502 不是客户端的错，也不值得无限重试。",
    with: {},
  },
  corrupt_png: {
    headline: "图片的内容不是完整的 PNG",
    survive: "解码成功之后再报告成功，并处理解码器抛出的异常。",
    with: { how: "从中间截断、翻转若干位，或换成 HTML 页面。" },
  },
  huge_png: {
    headline: "图片非常大",
    survive: "限制读取的字节数和解码的像素数。",
    with: { side: "边长，单位为像素。", megabytes: "填充的数据量，单位为 MB。" },
  },
  buffered_stream: {
    headline: "运行结束后整个流才一次到达，如同途中有代理缓冲",
    survive: "测量第一帧何时到达，说明流式输出不可用，而不是显示停住的进度条。",
    with: {},
  },
  coalesced_frames: {
    headline: "每 ``count`` 帧合在一块数据里到达",
    survive: "按空行切分，而不是按每次读取切分。",
    with: { count: "每块数据的帧数。" },
  },
  split_frames: {
    headline: "每一帧分成几块数据到达",
    survive: "先收集到空行再解码，或者使用增量解码。",
    with: {
      where: "在哪里切开：固定字节数、转义序列中间，或 UTF-8 字符中间。",
      every: "每多少字节切一次。",
      pause_s: "两块数据之间的秒数。",
    },
  },
  cut_stream: {
    headline: "前 ``after`` 个事件之后连接关闭，或者在下一个事件中间关闭",
    survive: "只有收到 workflow_finished 的流才是完整的，其余都应报告为中断。",
    with: {
      after: AFTER,
      mid_frame: "是否在下一个事件的中间断开。",
      at_byte: "在下一个事件的第几个字节之后断开。",
    },
  },
  connection_reset: {
    headline: "前 ``after`` 个事件之后连接被重置；默认在任何响应之前",
    survive: "除 HTTP 错误外也要处理传输错误；只有完全没有响应的请求才可以重发，而那时也可能已经运行过。",
    with: { after: AFTER },
  },
  slow_body: {
    headline: "响应体以每秒 ``bytes_per_second`` 字节的速度缓慢到达",
    survive: "对接收整个响应体的时间也要设限。",
    with: { bytes_per_second: "每秒的字节数。" },
  },
  malformed_event: {
    headline: "前 ``after`` 个事件之后的那个事件无法解析，其余的正常",
    survive: "把这一帧写进日志并继续读取；workflow_finished 里会再次给出全部内容。",
    with: { after: AFTER, how: "截断、不是 JSON、没有 data，或不是有效的 UTF-8。" },
  },
  upstream_down: {
    headline: "某个服务不可用",
    survive: "失败的运行、任何 5xx 状态码和不是 JSON 的响应体，都要各有一条提示。",
    with: { service: "图片服务器（sd）、语言模型（llm）、redis、postgres，或应用本身（api）。" },
  },
  sd_failed: {
    headline: "图片服务器在绘图时出错；工具隐藏了错误，运行仍然成功",
    survive: "处理方式同 tool_failed_silently；timeout 时要过两分钟才有响应。",
    with: { how: HOW },
  },
  sd_options_failed: {
    headline: "图片服务器加载模型失败；工具会报告这个错误，运行失败",
    survive: "作为主机的错误展示；换一个模型也许可以。",
    with: { how: HOW },
  },
  llm_failed: {
    headline: "翻译提示词的语言模型出错",
    survive: "展示自己的简短文字，把错误原文写进日志。",
    with: { how: "返回错误、断开连接，或给出空文本（运行成功但没有图片）。" },
  },
  remote_file_unreachable: {
    headline: "用户附带的图片地址无法读取，运行被拒绝",
    survive: "改为上传文件，或说明哪个地址无法读取，并允许重试。",
    with: { how: "拒绝连接、域名不存在、一直没有响应，或返回 404（absent）。" },
  },
};
