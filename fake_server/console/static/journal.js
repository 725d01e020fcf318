// The journal: every request with its response, as the client and the host sent them.

import { ApiError, frame, get, post, query } from "./api.js";
import { field, h, keyed, replace, select } from "./dom.js";
import { bytes, dateTime, line, milliseconds, pretty, time } from "./format.js";
import { watch } from "./live.js";
import { t } from "./texts.js";
import { badge, code, copyButton, curl, empty, facts, httpBadge, panes, showError } from "./widgets.js";

const PAGE = 50;
const chosen = { text: "", operation: "", status: "", warnings: "" };

export function show(root, id) {
  return id ? showEntry(root, id) : showEntries(root);
}

function showEntries(root) {
  let entries = [];
  const problem = h("div");
  const body = h("tbody");
  const table = h(
    "table",
    { class: "journal" },
    h("caption", { class: "offscreen" }, t("tab.journal")),
    h(
      "thead",
      {},
      h("tr", {}, ["time", "request", "status", "took", "size", "notes"].map((name) => h("th", { scope: "col" }, t(`journal.${name}`)))),
    ),
    body,
  );
  const nothing = h("div");
  const more = h("button", { type: "button", class: "wide", hidden: true, onclick: loadMore }, t("more"));
  const text = h("input", { type: "search", placeholder: t("journal.search"), value: chosen.text, oninput: changed });
  const operation = h("input", { type: "text", value: chosen.operation, placeholder: "runWorkflow", oninput: changed, list: "operations" });
  const status = h("input", { type: "text", inputmode: "numeric", value: chosen.status, placeholder: "200", oninput: changed });
  const warnings = select([["", t("any")], ["true", t("journal.onlyWarnings")]], { onchange: changed }, chosen.warnings);
  const operations = field(t("journal.operation"), operation);
  const statuses = field(t("journal.status"), status);
  const known = h("datalist", { id: "operations" });
  root.append(
    h("div", { class: "page-head" }, h("h1", {}, t("tab.journal")), h("button", { type: "button", onclick: openWait }, t("journal.wait"))),
    h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      field(t("search"), text),
      operations,
      statuses,
      field(t("journal.warnings"), warnings),
      known,
    ),
    problem,
    h("div", { class: "card flush" }, table),
    nothing,
    more,
  );

  let typing = 0;
  function changed() {
    clearTimeout(typing);
    typing = setTimeout(() => {
      Object.assign(chosen, { text: text.value, operation: operation.value.trim(), status: status.value.trim(), warnings: warnings.value });
      load().catch(failed);
    }, 200);
  }

  function failed(error) {
    for (const one of [operations, statuses]) one.fail("");
    if (error instanceof ApiError && error.place === "status") statuses.fail(error.message);
    else if (error instanceof ApiError && error.place === "operation") operations.fail(error.message);
    else showError(problem, error);
  }

  const filters = (others) => query({ brief: "true", limit: PAGE, ...chosen, ...others });

  async function load() {
    const found = await get(`/requests${filters({})}`);
    const newest = found.requests.reverse();
    const oldest = newest.at(-1)?.id ?? 0;
    entries = newest.length < PAGE ? newest : [...newest, ...entries.filter((entry) => entry.id < oldest)];
    more.hidden = newest.length < PAGE;
    for (const one of [operations, statuses]) one.fail("");
    replace(problem);
    draw();
  }

  async function loadMore() {
    more.disabled = true;
    try {
      const found = await get(`/requests${filters({ before: entries.at(-1).id })}`);
      entries = [...entries, ...found.requests.reverse()];
      more.hidden = found.requests.length < PAGE;
      draw();
    } catch (error) {
      failed(error);
    } finally {
      more.disabled = false;
    }
  }

  function draw() {
    const filtered = Object.values(chosen).some(Boolean);
    table.hidden = !entries.length;
    table.parentElement.hidden = !entries.length;
    replace(nothing, !entries.length && empty(filtered ? t("journal.noneFound") : t("journal.none")));
    keyed(body, entries, (entry) => entry.id, row, update);
  }

  get("/spec")
    .then((spec) => {
      const ids = Object.values(spec.paths).flatMap((item) => Object.values(item)).map((one) => one?.operationId);
      replace(known, ids.filter(Boolean).map((value) => h("option", { value })));
    })
    .catch(() => {});
  const stop = watch("requests", load);
  load().catch(failed);
  return () => {
    stop();
    clearTimeout(typing);
  };
}

function row(entry) {
  const element = h("tr");
  update(element, entry);
  return element;
}

function update(element, entry) {
  if (element.entry === entry) return;
  element.entry = entry;
  const seen = JSON.stringify(entry);
  if (element.seen === seen) return;
  element.seen = seen;
  const target = entry.path + (entry.query ? `?${entry.query}` : "");
  replace(
    element,
    h("td", { class: "num" }, h("time", {}, time(entry.received_at))),
    h(
      "td",
      { class: "target" },
      h("span", { class: "method" }, entry.method),
      h("a", { class: "text", href: `#/journal/${entry.id}` }, line(target, 120)),
    ),
    h("td", {}, httpBadge(entry.status), entry.stream && h("span", { class: "soft" }, " ", t("journal.stream"))),
    h("td", { class: "num" }, entry.state === "running" ? h("span", { class: "badge busy" }, t("status.running")) : milliseconds(entry.ended_ms)),
    h("td", { class: "num" }, bytes(entry.bytes)),
    h(
      "td",
      {},
      entry.state !== "running" && entry.state !== "complete" && badge(entry.state),
      entry.scenarios.map((name) => h("span", { class: "badge warn" }, name)),
      entry.warnings > 0 && h("span", { class: "badge warn" }, t("journal.warningCount", { count: entry.warnings })),
    ),
  );
}

function showEntry(root, id) {
  const problem = h("div");
  const body = h("div", { class: "stack large" });
  root.append(h("p", { class: "back" }, h("a", { href: "#/journal" }, "← ", t("tab.journal"))), problem, body);
  let drawn = "";

  async function load() {
    const entry = await get(`/requests/${encodeURIComponent(id)}`);
    const seen = JSON.stringify(entry);
    if (seen !== drawn) draw(entry);
    drawn = seen;
    replace(problem);
    if (entry.state !== "running") stop();
  }

  function draw(entry) {
    const task = taskOf(entry);
    const target = entry.path + (entry.query ? `?${entry.query}` : "");
    replace(
      body,
      h(
        "div",
        { class: "page-head" },
        h("h1", { class: "text mono" }, h("span", { class: "method" }, entry.method), " ", line(target)),
        h(
          "div",
          { class: "row" },
          task && h("a", { class: "button primary", href: `#/runs/${encodeURIComponent(task)}` }, t("journal.run")),
          copyButton(() => asCurl(entry), t("journal.copyCurl")),
        ),
      ),
      h(
        "div",
        { class: "card" },
        facts([
          [t("journal.status"), httpBadge(entry.answer?.status)],
          [t("journal.state"), badge(entry.state)],
          [t("journal.received"), dateTime(entry.received_at)],
          [t("journal.firstByte"), milliseconds(entry.first_byte_ms)],
          [t("journal.took"), milliseconds(entry.ended_ms)],
          [t("journal.client"), entry.client || "–"],
          [t("journal.operation"), entry.operation ? h("code", {}, entry.operation) : "–"],
          entry.scenarios.length && [t("tab.scenarios"), entry.scenarios.join(", ")],
        ]),
        entry.notes.map((note) => h("p", { class: "notice text" }, note)),
      ),
      entry.warnings.length > 0 && warningsOf(entry),
      h(
        "div",
        { class: "columns" },
        h(
          "section",
          { class: "card" },
          h("h2", {}, t("journal.request")),
          panes([[t("journal.body"), () => bodyOf(entry)], [t("journal.headers"), () => headersOf(entry.headers)]], t("journal.request")),
        ),
        h(
          "section",
          { class: "card" },
          h("h2", {}, t("journal.response")),
          entry.answer
            ? panes(
                [
                  entry.answer.frames ? [t("journal.frames"), () => framesOf(entry.answer)] : [t("journal.body"), () => bodyOf(entry.answer)],
                  [t("journal.headers"), () => headersOf(entry.answer.headers)],
                ],
                t("journal.response"),
              )
            : h("p", { class: "soft" }, t("journal.noResponse")),
        ),
      ),
    );
  }

  const stop = watch("requests", load);
  load().catch((error) => showError(problem, error));
  return stop;
}

/** The task that the response names, in its JSON or in the first frame of its stream that has one. */
function taskOf(entry) {
  const texts = entry.answer?.frames?.map((one) => frame(one.frame).data) ?? [entry.answer?.body];
  for (const text of texts) {
    try {
      const task = JSON.parse(text).task_id;
      if (typeof task === "string") return task;
    } catch {
      // a ping, or no JSON
    }
  }
  return null;
}

function warningsOf(entry) {
  return h(
    "section",
    { class: "card warnings" },
    h("h2", {}, t("journal.warnings")),
    h("p", { class: "soft" }, t("journal.warningsHelp")),
    h("ul", {}, entry.warnings.map((warning) => h("li", { class: "text" }, withPlaces(warning)))),
  );
}

/** A warning with its places in the document as links to the reference. */
function withPlaces(warning) {
  return warning
    .split(/(#\/[^\s),;]+)/)
    .map((part) => (part.startsWith("#/") ? h("a", { href: `#/reference/${part.slice(2)}`, class: "mono" }, part) : part));
}

function headersOf(pairs) {
  return h("dl", { class: "headers mono" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { class: "text" }, value))));
}

function bodyOf(message) {
  if (message.sha256) return facts([["SHA-256", h("code", { class: "text" }, message.sha256)], [t("journal.size"), bytes(message.bytes)]]);
  if (!message.body) return h("p", { class: "soft" }, t("journal.noBody"));
  const text = message.encoding === "text" ? pretty(message.body) : message.body;
  return [
    code(text, { label: message.encoding === "base64" ? "base64" : null, wrap: true }),
    message.truncated && h("p", { class: "notice warn" }, t("journal.truncated")),
  ];
}

function framesOf(answer) {
  return [
    h(
      "ol",
      { class: "frames" },
      answer.frames.map((one) => {
        const { event, data } = frame(one.frame);
        return h(
          "li",
          {},
          h(
            "details",
            {},
            h(
              "summary",
              {},
              h("span", { class: "num frame-time" }, milliseconds(one.ms)),
              h("span", { class: "text strong" }, eventName(event, data)),
              h("span", { class: "soft text" }, eventAbout(data)),
              one.partial && h("span", { class: "badge bad" }, t("journal.partial")),
            ),
            code(data ? pretty(data) : one.frame, { wrap: true }),
          ),
        );
      }),
    ),
    answer.truncated && h("p", { class: "notice warn" }, t("journal.truncated")),
  ];
}

/** The name of a frame's event: its own field, or the one in its data. */
export function eventName(event, data) {
  try {
    return String(JSON.parse(data).event ?? event ?? "");
  } catch {
    return event || line(data, 40) || "–";
  }
}

/** What stands out in an event: its node, its status. */
export function eventAbout(data) {
  try {
    const { data: inner } = JSON.parse(data);
    return [inner?.title, inner?.text, inner?.status].filter((one) => typeof one === "string").map((one) => line(one, 60)).join(" · ");
  } catch {
    return "";
  }
}

/** Headers that curl sends by itself, or that belong to one connection. */
const NOT_COPIED = new Set(["host", "content-length", "connection", "accept-encoding", "user-agent", "accept", "transfer-encoding", "expect"]);

function asCurl(entry) {
  const headers = entry.headers
    .filter(([name]) => !NOT_COPIED.has(name.toLowerCase()))
    .map(([name, value]) => [name, name.toLowerCase() === "authorization" ? null : value]);
  const target = entry.path + (entry.query ? `?${entry.query}` : "");
  return curl(entry.method, location.origin + target, headers, entry.encoding === "text" ? entry.body : "");
}

function openWait() {
  const path = h("input", { type: "text", value: "/v1/workflows/run" });
  const user = h("input", { type: "text" });
  const prompt = h("input", { type: "text" });
  const count = h("input", { type: "number", min: 1, max: 1000, value: 1 });
  const timeout = h("input", { type: "number", min: 0, max: 600, step: "any", value: 30 });
  const fields = {
    "match.path": field(t("journal.path"), path, { help: t("journal.pathHelp") }),
    "match.user": field(t("runs.user"), user),
    "match.prompt": field(t("runs.prompt"), prompt),
    count: field(t("journal.count"), count),
    timeout_s: field(t("journal.timeout"), timeout),
  };
  const result = h("div", { "aria-live": "polite" });
  const leaving = new AbortController();
  const button = h("button", { class: "primary" }, t("journal.waitStart"));
  const dialog = h(
    "dialog",
    { class: "card", "aria-label": t("journal.wait") },
    h("h2", {}, t("journal.wait")),
    h("p", { class: "soft" }, t("journal.waitHelp")),
    h(
      "form",
      { class: "stack", onsubmit: (event) => (event.preventDefault(), wait()) },
      Object.values(fields),
      h("div", { class: "row" }, button, h("button", { type: "button", onclick: () => dialog.close() }, t("close"))),
    ),
    result,
  );
  dialog.addEventListener("close", () => {
    leaving.abort();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();

  async function wait() {
    const match = {};
    for (const [name, input] of Object.entries({ path, user, prompt })) if (input.value) match[name] = input.value;
    for (const one of Object.values(fields)) one.fail("");
    button.disabled = true;
    replace(result, h("p", { class: "notice" }, t("journal.waiting")));
    try {
      const since = (await get("/requests?limit=0")).last_id;
      const body = { match, count: Number(count.value), timeout_s: Number(timeout.value), since };
      const found = await post("/requests/wait", body, leaving.signal);
      replace(
        result,
        h("p", { class: "notice good" }, t("journal.came", { count: found.requests.length })),
        h("ul", { class: "plain" }, found.requests.map((entry) => h("li", {}, entryLink(entry, dialog)))),
      );
    } catch (error) {
      const place = error instanceof ApiError && fields[error.place];
      if (place) {
        place.fail(error.message);
        replace(result);
      } else {
        showError(result, error);
        if (error.body?.nearest) result.append(nearest(error.body, dialog));
      }
    } finally {
      button.disabled = false;
    }
  }
}

function entryLink(entry, dialog) {
  return h(
    "a",
    { href: `#/journal/${entry.id}`, class: "text", onclick: () => dialog.close() },
    `${entry.method} ${line(entry.path, 60)} · ${time(entry.received_at)}`,
  );
}

function nearest({ nearest: entry, differences }, dialog) {
  return h(
    "div",
    { class: "stack" },
    h("p", {}, t("journal.nearest"), " ", entryLink(entry, dialog)),
    h("ul", {}, differences.map((one) => h("li", { class: "text" }, t("journal.difference", { field: one.field, wanted: JSON.stringify(one.wanted), got: JSON.stringify(one.got) })))),
  );
}
