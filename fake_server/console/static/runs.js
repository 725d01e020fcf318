// Runs of late: a list that moves while they run, a gallery of their images, and one run in detail.

import { get, post, query } from "./api.js";
import { field, h, keyed, replace, select } from "./dom.js";
import { dateTime, line, number, seconds, status, time } from "./format.js";
import { watch } from "./live.js";
import { t } from "./texts.js";
import { reached, rows, strip } from "./timeline.js";
import { badge, code, empty, facts, imageButton, showError } from "./widgets.js";

const PAGE = 50;
const STATUSES = ["running", "succeeded", "partial-succeeded", "failed", "stopped", "paused", "client left", "abandoned"];
const MOVES_EVERY_MS = 100;

const chosen = { text: "", status: "", app: "", view: "list" };

export function show(root, taskId) {
  return taskId ? showRun(root, taskId) : showRuns(root);
}

/** What a person would call the run by: its first text. */
export function titleOf(run) {
  const texts = Object.values(run.inputs).filter((value) => typeof value === "string" && value);
  return texts.length ? line(texts[0]) : t("runs.untitled");
}

function showRuns(root) {
  let pages = [];

  let at = performance.now();
  const list = h("div", { class: "runs" });
  const problem = h("div");
  const more = h("button", { type: "button", class: "wide", hidden: true, onclick: loadMore }, t("more"));
  const apps = new Map();
  const text = h("input", { type: "search", placeholder: t("runs.search"), value: chosen.text, oninput: changed });
  const statuses = select([["", t("any")], ...STATUSES.map((one) => [one, status(one)])], { onchange: changed }, chosen.status);
  const app = select([["", t("any")]], { onchange: changed }, chosen.app);
  const views = h(
    "div",
    { class: "switch", role: "group", "aria-label": t("runs.view") },
    ["list", "gallery"].map((view) =>
      h("button", { type: "button", "data-view": view, onclick: () => change(view) }, t(`runs.${view}`)),
    ),
  );
  root.append(
    h("div", { class: "page-head" }, h("h1", {}, t("tab.runs")), views),
    h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      field(t("search"), text),
      field(t("runs.status"), statuses),
      field(t("runs.app"), app),
    ),
    problem,
    list,
    more,
  );

  const filters = () => query({ limit: PAGE, text: chosen.text, status: chosen.status, app: chosen.app });

  let typing = 0;
  function changed() {
    clearTimeout(typing);
    typing = setTimeout(() => {
      Object.assign(chosen, { text: text.value, status: statuses.value, app: app.value });
      load().catch((error) => showError(problem, error));
    }, 150);
  }

  async function load() {
    const found = await get(`/runs${filters()}`);
    at = performance.now();
    const oldest = found.runs.at(-1)?.number ?? 0;
    const older = pages.filter((run) => run.number < oldest && run.number > found.last - 1000);
    pages = found.runs.length < PAGE ? found.runs : [...found.runs, ...older];

    more.hidden = found.runs.length < PAGE || (pages.at(-1)?.number ?? 0) <= 1;
    replace(problem);
    draw();
  }

  async function loadMore() {
    more.disabled = true;
    try {
      const before = pages.at(-1).number;
      const found = await get(`/runs${filters()}&before=${before}`);
      pages = [...pages, ...found.runs];
      more.hidden = found.runs.length < PAGE;
      draw();
    } catch (error) {
      showError(problem, error);
    } finally {
      more.disabled = false;
    }
  }

  /** Begins with one page again: a view of all that were loaded would take long to make. */
  function change(view) {
    chosen.view = view;
    more.hidden = more.hidden && pages.length <= PAGE;
    pages = pages.slice(0, PAGE);
    draw();
  }

  function draw() {
    for (const button of views.children) {
      button.setAttribute("aria-pressed", button.dataset.view === chosen.view ? "true" : "false");
    }
    if (!pages.length) {
      const filtered = chosen.text || chosen.status || chosen.app;
      list.className = "";
      replace(list, filtered ? empty(t("runs.noneFound")) : empty(t("runs.none"), h("p", {}, t("runs.noneHint"), " ", h("a", { href: "#/try" }, t("tab.try")))));
      return;
    }
    if (list.firstElementChild?.dataset.key === undefined || list.className !== `runs ${chosen.view}`) replace(list);
    list.className = `runs ${chosen.view}`;
    if (chosen.view === "gallery") drawGallery();
    else keyed(list, pages, (run) => run.task_id, card, update);
  }

  function drawGallery() {
    const images = pages.flatMap((run) => run.images.map((image) => ({ image, run })));
    if (!images.length) {
      replace(list, empty(t("runs.noImages")));
      return;
    }
    keyed(list, images, ({ image }) => image.file_id, tile, () => {});
  }

  const stopList = watch("runs", load);
  const ticking = setInterval(() => {
    if (chosen.view !== "list" || document.hidden) return;
    for (const run of pages) if (run.status === "running") move(list, run, at);
  }, MOVES_EVERY_MS);
  load()
    .then(async () => {
      for (const one of (await get("/apps")).apps) apps.set(one.name, one);
      replace(app, [...new Set(["", ...apps.keys()])].map((name) => h("option", { value: name, selected: name === chosen.app }, name || t("any"))));
    })
    .catch((error) => showError(problem, error));
  return () => {
    stopList();
    clearInterval(ticking);
    clearTimeout(typing);
  };

  function card(run) {
    const element = h("article", { class: "run" });
    update(element, run);
    return element;
  }

  function update(element, run) {
    if (element.run === run) return;
    element.run = run;
    const seen = JSON.stringify(run);
    if (element.seen === seen) return;
    element.seen = seen;
    const now = reached(run, at);
    replace(
      element,
      h(
        "div",
        { class: "run-main" },
        h(
          "h2",
          { class: "run-title" },
          h("a", { href: `#/runs/${encodeURIComponent(run.task_id)}` }, h("span", { class: "text" }, titleOf(run))),
        ),
        h(
          "p",
          { class: "run-about" },
          badge(run.status),
          h("span", { class: "text" }, run.app),
          h("span", { class: "text" }, line(run.user, 40)),
          h("span", {}, t(`mode.${run.mode}`)),
          h("time", {}, time(run.started_at)),
          run.scenarios.map((name) => h("span", { class: "badge warn" }, name)),
        ),
        strip(run, now),
        run.error && h("p", { class: "run-error text" }, line(run.error, 200)),
      ),
      h(
        "div",
        { class: "run-end" },
        h("span", { class: "num strong run-time" }, seconds(now)),
        h("span", { class: "num soft" }, t("runs.tokens", { count: number(run.total_tokens) })),
        run.status === "running" && stopButton(run, problem),
      ),
      run.images.length > 0 && h("div", { class: "run-image" }, imageButton(run.images[0], [runLink(run)])),
    );
  }
}

function runLink(run) {
  return h("a", { class: "button", href: `#/runs/${encodeURIComponent(run.task_id)}`, onclick: (event) => event.target.closest("dialog")?.close() }, t("runs.open"));
}

function tile({ image, run }) {
  return h(
    "figure",
    { class: "tile" },
    imageButton(image, [runLink(run)]),
    h(
      "figcaption",
      {},
      h("span", { class: "text tile-prompt" }, line(image.prompt, 120)),
      h("span", { class: "soft text" }, image.model || "–"),
      h("span", { class: "soft num" }, t("runs.seed"), " ", image.seed),
    ),
  );
}

function move(list, run, at) {
  const element = list.querySelector(`[data-key="${CSS.escape(run.task_id)}"]`);
  if (!element) return;
  const now = reached(run, at);
  element.querySelector(".strip")?.replaceWith(strip(run, now));
  element.querySelector(".run-time").textContent = seconds(now);
}

function stopButton(run, problem) {
  const button = h(
    "button",
    {
      type: "button",
      class: "small",
      "data-action": "stop",
      onclick: async () => {
        button.disabled = true;
        button.textContent = t("runs.stopping");
        try {
          await post(`/runs/${encodeURIComponent(run.task_id)}/stop`);
        } catch (error) {
          showError(problem, error);
        }
      },
    },
    t("runs.stop"),
  );
  return button;
}

function showRun(root, taskId) {
  const problem = h("div");
  const body = h("div", { class: "stack large" });
  root.append(h("p", { class: "back" }, h("a", { href: "#/runs" }, "← ", t("tab.runs"))), problem, body);
  let run = null;
  let at = 0;
  let drawn = "";

  async function load() {
    run = await get(`/runs/${encodeURIComponent(taskId)}`);
    at = performance.now();
    replace(problem);
    draw();
  }

  function draw() {
    const seen = JSON.stringify(run);
    if (seen === drawn) return;
    drawn = seen;
    const now = reached(run, at);
    replace(
      body,
      h(
        "div",
        { class: "page-head" },
        h("h1", { class: "text" }, titleOf(run)),
        h(
          "div",
          { class: "row" },
          run.status === "running" && stopButton(run, problem),
          h("a", { class: "button", href: `#/journal/${run.request_id}` }, t("runs.request")),
        ),
      ),
      h(
        "div",
        { class: "card" },
        facts([
          [t("runs.status"), badge(run.status)],
          [t("runs.duration"), h("span", { class: "num run-time" }, seconds(now))],
          [t("runs.tokenCount"), h("span", { class: "num" }, number(run.total_tokens))],
          [t("runs.steps"), h("span", { class: "num" }, number(run.total_steps))],
          [t("runs.app"), h("span", { class: "text" }, run.app)],
          [t("runs.user"), h("span", { class: "text" }, line(run.user))],
          [t("runs.mode"), t(`mode.${run.mode}`)],
          [t("runs.startedAt"), dateTime(run.started_at)],
          [t("runs.speed"), run.speed === null ? t("runs.instant") : `× ${run.speed}`],
          run.scenarios.length && [t("tab.scenarios"), run.scenarios.join(", ")],
          [t("runs.taskId"), h("code", {}, run.task_id)],
          [t("runs.runId"), h("code", {}, run.run_id)],
        ]),
        run.error && h("p", { class: "notice bad text" }, run.error),
      ),
      h("section", { class: "card" }, h("h2", {}, t("runs.nodes")), h("div", { class: "rows" }, rows(run, now))),
      run.images.length > 0 &&
        h(
          "section",
          {},
          h("h2", {}, t("runs.images")),
          h("div", { class: "runs gallery" }, run.images.map((image) => tile({ image, run }))),
        ),
      h("section", { class: "card" }, h("h2", {}, t("runs.inputs")), code(JSON.stringify(run.inputs, null, 2), { wrap: true })),
    );
  }

  const ticking = setInterval(() => {
    if (!run || run.status !== "running" || document.hidden) return;
    const now = reached(run, at);
    const place = body.querySelector(".rows");
    if (place) replace(place, rows(run, now));
    const shown = body.querySelector(".run-time");
    if (shown) shown.textContent = seconds(now);
  }, MOVES_EVERY_MS);
  const stop = watch("runs", load);
  load().catch((error) => showError(problem, error));
  return () => {
    stop();
    clearInterval(ticking);
  };
}
