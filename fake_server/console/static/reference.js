// What is faked: the API reference, the version and how it differs, the last report of the contract
// suite, recordings that are replayed, and the calls of the admin API.

import { get } from "./api.js";
import { h, replace } from "./dom.js";
import { dateTime, number } from "./format.js";
import { watch } from "./live.js";
import { t } from "./texts.js";
import { code, empty, facts, showError } from "./widgets.js";

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
          h("ul", { class: "differences" }, found.differences.map((one) => h("li", {}, h("span", { class: "text" }, one.description), h("span", { class: "soft mono text" }, ` ${one.version}${one.evidence ? ` · ${one.evidence}` : ""}`)))),
        )
      : h("p", { class: "soft" }, t("reference.same", { base: found.base })),
  );
}

async function showReport(root) {
  if (!(await get("/settings")).contract_report) {
    replace(root, h("h2", {}, t("reference.report")), h("p", { class: "soft" }, t("reference.noReport")), code("fake-server serve --contract-report report.json"));
    return;
  }
  const found = await get("/report");
  const results = found.report.results ?? found.report.checks ?? [];
  const counts = {};
  for (const one of results) counts[one.result ?? one.status] = (counts[one.result ?? one.status] || 0) + 1;
  const failed = results.filter((one) => ["failed", "broken", "error"].includes(one.result ?? one.status));
  replace(
    root,
    h("h2", {}, t("reference.report")),
    facts([
      [t("reference.file"), h("code", { class: "text" }, found.file)],
      [t("reference.written"), dateTime(found.written_at)],
      ...Object.entries(counts).map(([name, count]) => [name, number(count)]),
    ]),
    failed.length
      ? h("ul", { class: "differences" }, failed.map((one) => h("li", {}, h("strong", { class: "text mono" }, one.check ?? one.name), h("p", { class: "text" }, one.message ?? ""))))
      : h("p", { class: "notice good" }, t("reference.nothingFailed")),
  );
}

async function showRecordings(root) {
  root.hidden = !(await get("/settings")).replay;
  if (root.hidden) return;
  const found = await get("/recordings");
  replace(
    root,
    h("h2", {}, t("reference.recordings")),
    facts([
      [t("reference.folder"), h("code", { class: "text" }, found.folder)],
      [t("reference.count"), number(found.recordings.length)],
      [t("reference.misses"), number(found.misses.length)],
    ]),
    found.misses.length > 0 && [
      h("h3", {}, t("reference.misses")),
      h("ul", { class: "differences" }, found.misses.map((miss) => h("li", {}, h("span", { class: "mono text" }, `${miss.method} ${miss.path}`), miss.nearest && h("p", { class: "soft text" }, t("reference.nearest"), " ", miss.nearest)))),
    ],
    found.recordings.length
      ? h(
          "table",
          {},
          h("thead", {}, h("tr", {}, ["file", "request", "used"].map((name) => h("th", { scope: "col" }, t(`reference.${name}`))))),
          h("tbody", {}, found.recordings.map((one) => h("tr", {}, h("td", { class: "text mono" }, one.file), h("td", { class: "text" }, `${one.method} ${one.path}`), h("td", { class: "num" }, number(one.used))))),
        )
      : empty(t("reference.noRecordings")),
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
