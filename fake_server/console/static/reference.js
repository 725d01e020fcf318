// What is faked: the API reference, the version and how it differs, the last report of the contract
// suite, recordings that are replayed, and the calls of the admin API.

import { get } from "./api.js";
import { h, replace } from "./dom.js";
import { dateTime, number } from "./format.js";
import { watch } from "./live.js";
import { t } from "./texts.js";
import { code, empty, facts, httpBadge, showError } from "./widgets.js";

export function show(root, pointer) {
  const profile = h("section", { class: "card stack", id: "profile" });
  const report = h("section", { class: "card stack", id: "report" });
  const recordings = h("section", { class: "card stack", id: "recordings", hidden: true });
  const calls = h("section", { class: "card stack", id: "calls" });
  const place = h("div");
  root.append(
    h(
      "div",
      { class: "page-head" },
      h("h1", {}, t("tab.reference")),
      h("a", { class: "button primary", href: "/__admin/reference" }, t("reference.open")),
    ),
    place,
    profile,
    report,
    recordings,
    calls,
  );
  const failed = (section) => (error) => showError(section, error);
  if (pointer) showPlace(place, pointer).catch(failed(place));
  showProfile(profile).catch(failed(profile));
  showReport(report).catch(failed(report));
  const look = () => showRecordings(recordings);
  look().catch(failed(recordings));
  showCalls(calls).catch(failed(calls));
  return watch("requests", look);
}

/** The place of the document that a warning names. */
async function showPlace(root, pointer) {
  const steps = pointer.split("/").map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  let value = await get("/spec?document=true");
  for (const step of steps) {
    while (value && typeof value.$ref === "string") value = resolve(await get("/spec?document=true"), value.$ref);
    value = value?.[step];
  }
  replace(
    root,
    h(
      "section",
      { class: "card stack" },
      h("h2", { class: "text mono" }, `#/${pointer}`),
      value === undefined ? h("p", { class: "soft" }, t("reference.noPlace")) : code(JSON.stringify(value, null, 2), { wrap: true }),
    ),
  );
}

function resolve(document, reference) {
  return reference
    .replace(/^#\//, "")
    .split("/")
    .reduce((value, step) => value?.[step.replaceAll("~1", "/").replaceAll("~0", "~")], document);
}

async function showProfile(root) {
  const [found, health] = await Promise.all([get("/profile"), get("/health")]);
  replace(
    root,
    h("h2", {}, t("reference.version", { version: found.version })),
    facts([
      [t("reference.host"), `Dify ${found.version}`],
      [t("reference.project"), `fake-dify ${health.version}`],
      [t("reference.chain"), found.overlays.join(" → ")],
    ]),
    found.differences.length
      ? h(
          "details",
          { open: found.differences.length <= 12 },
          h("summary", {}, t("reference.differences", { count: number(found.differences.length), base: found.base })),
          h("ul", { class: "differences", tabindex: "0", "aria-label": t("reference.differences", { count: number(found.differences.length), base: found.base }) }, found.differences.map((one) => h("li", {}, h("span", { class: "text" }, one.description), h("span", { class: "soft mono text" }, ` ${one.version}${one.evidence ? ` · ${one.evidence}` : ""}`)))),
        )
      : h("p", { class: "soft" }, t("reference.same", { base: found.base })),
  );
}

async function showReport(root) {
  if (!(await get("/settings")).contract_report) {
    replace(root, h("h2", {}, t("reference.report")), h("p", { class: "soft" }, t("reference.noReport")), code("fake-server serve --contract-report report.json"));
    return;
  }
  const { file, written_at, report } = await get("/report");
  const of = (...statuses) => report.checks.filter((one) => statuses.includes(one.status));
  const counts = Object.groupBy(report.checks, (one) => one.status);
  const failed = of("failed", "not run");
  const rest = of("follows", "differs", "skipped");
  replace(
    root,
    h("h2", {}, t("reference.report")),
    facts([
      [t("reference.file"), h("code", { class: "text" }, file)],
      [t("reference.written"), dateTime(written_at)],
      [t("reference.checked"), h("span", { class: "text" }, [report.host, report.host_version && `Dify ${report.host_version}`].filter(Boolean).join(" · "))],
      report.compared_with && [t("reference.comparedWith"), `Dify ${report.compared_with}`],
    ]),
    h(
      "p",
      { class: "row" },
      Object.keys(RESULTS)
        .filter((status) => status in counts)
        .map((status) => h("span", { class: `badge ${RESULTS[status]}` }, `${t(`result.${status}`)} ${number(counts[status].length)}`)),
    ),
    report.cause && h("p", { class: "notice bad" }, report.cause),
    report.passed && h("p", { class: "notice good" }, t("reference.nothingFailed")),
    failed.length > 0 && h("ul", { class: "differences" }, failed.map((one) => checkItem(one, report))),
    rest.length > 0 && h("details", {}, h("summary", {}, t("reference.otherResults", { count: number(rest.length) })), h("ul", { class: "differences", tabindex: "0", "aria-label": t("reference.otherResults", { count: number(rest.length) }) }, rest.map((one) => checkItem(one, report)))),
  );
}

const RESULTS = { failed: "bad", "not run": "bad", follows: "warn", differs: "warn", skipped: "soft", passed: "good" };

/** A check that did not pass: what it claims, what came instead, and the exchange that shows it. */
function checkItem(one, report) {
  const shown = report.exchanges?.find((exchange) => exchange.number === one.exchange);
  return h(
    "li",
    { class: "stack", "data-check": one.name },
    h("div", { class: "row" }, h("strong", { class: "text mono" }, one.name), h("span", { class: `badge ${RESULTS[one.status]}` }, t(`result.${one.status}`))),
    h("p", { class: "text" }, one.claim),
    one.expected || one.got
      ? h(
          "div",
          { class: "pair" },
          facts([
            [t("reference.expected"), h("code", { class: "text" }, one.expected)],
            [t("reference.got"), h("code", { class: "text" }, one.got)],
          ]),
        )
      : one.reason && h("p", { class: "soft text" }, one.reason),
    one.why && h("p", { class: "soft text" }, one.why),
    one.follows_from && h("p", { class: "soft text" }, t("reference.followsFrom", { name: one.follows_from })),
    shown && h("details", {}, h("summary", { class: "text" }, shown.title), code(`${shown.request}\n\n${shown.response}`, { wrap: true })),
  );
}

async function showRecordings(root) {
  root.hidden = !(await get("/settings")).replay;
  if (root.hidden) return;
  const found = await get("/recordings");
  const opened = root.querySelector("details")?.open;
  replace(
    root,
    h("h2", {}, t("reference.recordings")),
    facts([
      [t("reference.folder"), h("code", { class: "text" }, found.folder)],
      [t("reference.count"), number(found.recordings.length + found.more)],
      [t("reference.misses"), number(found.misses.length)],
    ]),
    found.misses.length > 0 && [
      h("h3", {}, t("reference.misses")),
      h("ul", { class: "differences" }, found.misses.map(missItem)),
    ],
    found.recordings.length
      ? h(
          "details",
          { open: opened || found.recordings.length <= 12 },
          h("summary", {}, t("reference.usedOf", { used: number(found.recordings.filter((one) => one.used).length), count: number(found.recordings.length) })),
          h(
            "table",
            {},
            h("caption", { class: "offscreen" }, t("reference.recordings")),
            h("thead", {}, h("tr", {}, ["file", "request", "status", "used"].map((name) => h("th", { scope: "col" }, t(`reference.${name}`))))),
            h(
              "tbody",
              {},
              [...found.recordings]
                .sort((one, other) => other.used - one.used)
                .map((one) => h("tr", {}, h("td", { class: "text mono" }, one.file), h("td", { class: "text" }, `${one.method} ${one.path}`), h("td", {}, httpBadge(one.status)), h("td", { class: "num" }, number(one.used)))),
            ),
          ),
          found.more > 0 && h("p", { class: "soft" }, t("reference.more", { count: number(found.more) })),
        )
      : empty(t("reference.noRecordings")),
  );
}

function missItem(miss) {
  const near = [miss.nearest, ...miss.others].filter(Boolean);
  return h(
    "li",
    {},
    h("span", { class: "mono text" }, `${miss.method} ${miss.path}`),
    h("span", { class: "soft num" }, ` ${dateTime(miss.at)}`),
    miss.given > 0 && h("p", { class: "soft" }, t("reference.allGiven", { count: number(miss.given) })),
    near.length > 0 && [h("p", { class: "soft" }, t("reference.nearest")), h("ul", { class: "near" }, near.map((one) => h("li", { class: "soft text" }, one)))],
  );
}

async function showCalls(root) {
  const { calls } = await get("/");
  replace(
    root,
    h("h2", {}, t("reference.calls")),
    h("ul", { class: "calls" }, calls.map((one) => h("li", {}, h("span", { class: "method" }, one.method), h("code", {}, one.path), h("span", { class: "soft" }, one.summary)))),
  );
}
