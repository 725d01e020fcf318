// Scenarios: which requests go wrong, and how; and the clock.

import { ApiError, del, get, post, query } from "./api.js";
import { field, h, replace, select } from "./dom.js";
import { dateTime, number, seconds } from "./format.js";
import { onState, state, watch } from "./live.js";
import { behaviour as texts, t } from "./texts.js";
import { empty, showError } from "./widgets.js";

const CONDITIONS = ["user", "prompt", "model", "mode"];

export function show(root) {
  const clock = h("section", { class: "card" });
  const active = h("section", { class: "card flush" });
  const list = h("div", { class: "behaviours" });
  const search = h("input", { type: "search", oninput: () => drawList() });
  const problem = h("div");
  root.append(
    h("div", { class: "page-head" }, h("h1", {}, t("tab.scenarios"))),
    problem,
    clock,
    h("div", { class: "page-head small" }, h("h2", {}, t("scenarios.active")), h("button", { type: "button", id: "remove-all", onclick: removeAll }, t("scenarios.removeAll"))),
    active,
    h("div", { class: "page-head small" }, h("h2", {}, t("scenarios.all")), field(t("search"), search)),
    list,
  );
  let behaviours = [];
  let rules = [];

  async function load() {
    rules = (await get("/scenarios")).scenarios;
    replace(problem);
    drawRules();
  }

  function drawRules() {
    root.querySelector("#remove-all").hidden = !rules.some((rule) => rule.source === "admin");
    if (!rules.length) {
      replace(active, empty(t("scenarios.none")));
      return;
    }
    replace(
      active,
      h(
        "table",
        { class: "rules" },
        h("caption", { class: "offscreen" }, t("scenarios.active")),
        h("thead", {}, h("tr", {}, ["behaviour", "parameters", "when", "fired", "source", "remove"].map((name) => h("th", { scope: "col" }, name === "remove" ? h("span", { class: "offscreen" }, t("scenarios.remove")) : t(`scenarios.${name}`))))),
        h(
          "tbody",
          {},
          rules.map((rule) =>
            h(
              "tr",
              { "data-rule": rule.id },
              h("td", {}, h("code", {}, rule.name)),
              h("td", { class: "text" }, pairs(rule.with)),
              h("td", { class: "text" }, pairs(rule.when)),
              h("td", { class: "num" }, rule.times === null ? number(rule.matched) : t("scenarios.firedOf", { matched: rule.matched, times: rule.times })),
              h("td", {}, t(`scenarios.from.${rule.source}`)),
              h("td", {}, rule.source === "admin" && h("button", { type: "button", class: "small", "aria-label": `${t("scenarios.remove")} ${rule.name}`, onclick: () => remove(rule) }, t("scenarios.remove"))),
            ),
          ),
        ),
      ),
    );
  }

  async function remove(rule) {
    try {
      await del(`/scenarios${query({ id: rule.id })}`);
      await load();
    } catch (error) {
      showError(problem, error);
    }
  }

  async function removeAll() {
    try {
      await del("/scenarios");
      await load();
    } catch (error) {
      showError(problem, error);
    }
  }

  function drawList() {
    const word = search.value.trim().toLowerCase();
    const found = behaviours.filter((one) => [one.name, one.does, sentence(one)].some((text) => text.toLowerCase().includes(word)));
    replace(list, found.length ? found.map((one) => behaviourCard(one, load)) : empty(t("scenarios.noneFound")));
  }

  get("/behaviours")
    .then((found) => {
      behaviours = found.behaviours;
      drawList();
    })
    .catch((error) => showError(problem, error));
  const endClock = showClock(clock);
  const stop = watch("scenarios", load);
  load().catch((error) => showError(problem, error));
  return () => {
    stop();
    endClock();
  };
}

/** What a behaviour does, in the language of the page. */
function sentence(one) {
  return texts(one.name)?.headline ?? one.headline;
}

function pairs(values) {
  const shown = Object.entries(values).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return shown.join(", ") || "–";
}

/** A text whose code stands in double backquotes. */
function marked(text) {
  return text.split(/``(.+?)``/).map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

function behaviourCard(one, added) {
  const card = h("details", { class: "card behaviour", "data-name": one.name });
  card.append(
    h("summary", {}, h("code", { class: "strong" }, one.name), h("span", { class: "behaviour-does" }, marked(sentence(one)))),
  );
  card.addEventListener("toggle", () => {
    if (card.open && card.children.length === 1) card.append(behaviourForm(one, added));
  });
  return card;
}

function behaviourForm(one, added) {
  const parameters = Object.entries(one.with).map(([name, schema]) => parameterInput(one, name, schema));
  const operation = select(one.operations.map((id) => [id, id]), {}, one.operations.includes("runWorkflow") ? "runWorkflow" : one.operations[0]);
  const conditions = CONDITIONS.map((name) => {
    const control = name === "mode" ? select([["", t("any")], ["streaming", t("mode.streaming")], ["blocking", t("mode.blocking")]]) : h("input", { type: "text", placeholder: t("any") });
    return { name, control, element: field(t(`when.${name}`), control) };
  });
  const times = h("input", { type: "number", min: 1, placeholder: t("scenarios.always") });
  const timesField = field(t("scenarios.times"), times, { help: t("scenarios.timesHelp") });
  const operationField = field(t("journal.operation"), operation);
  const result = h("div", { "aria-live": "polite" });
  const places = {
    times: timesField,
    "when.operation": operationField,
    ...Object.fromEntries(parameters.map((p) => [`with.${p.name}`, p.element])),
    ...Object.fromEntries(conditions.map((c) => [`when.${c.name}`, c.element])),
  };

  async function add() {
    for (const place of Object.values(places)) place.fail("");
    const rule = { name: one.name, with: {}, when: { operation: operation.value } };
    for (const parameter of parameters) {
      const value = parameter.value();
      if (value !== undefined) rule.with[parameter.name] = value;
    }
    for (const { name, control } of conditions) if (control.value) rule.when[name] = control.value;
    if (times.value) rule.times = Number(times.value);
    try {
      await post("/scenarios", rule);
      replace(result, h("p", { class: "notice good" }, t("scenarios.added", { name: one.name })));
      await added();
    } catch (error) {
      const place = error instanceof ApiError && places[error.place];
      if (place) {
        place.fail(error.message);
        replace(result);
      } else showError(result, error);
    }
  }

  const about = texts(one.name);
  return h(
    "form",
    { class: "stack", novalidate: true, onsubmit: (event) => (event.preventDefault(), add()) },
    about ? null : one.does.split("\n\n").slice(0, 3).map((part) => h("p", { class: "soft" }, marked(part))),
    !about && h("p", { class: "soft" }, h("strong", {}, t("scenarios.complaint")), " ", marked(one.complaint)),
    h("p", { class: "soft" }, h("strong", {}, t("scenarios.survive")), " ", marked(about?.survive ?? one.survive)),
    parameters.length > 0 && h("div", { class: "grid" }, parameters.map((parameter) => parameter.element)),
    h(
      "details",
      {},
      h("summary", {}, t("scenarios.conditions")),
      h("div", { class: "grid" }, operationField, conditions.map((condition) => condition.element), timesField),
    ),
    h("div", { class: "row" }, h("button", { class: "primary" }, t("scenarios.add"))),
    result,
  );
}

function parameterInput(one, name, schema) {
  const known = schema.default === undefined ? "" : String(schema.default);
  const help = [texts(one.name)?.with?.[name], rangeOf(schema)].filter(Boolean).join(" ") || null;
  let control;
  if (schema.enum) control = select([["", known ? `${t("scenarios.default")} (${known})` : t("scenarios.default")], ...schema.enum.map((value) => [value, value])]);
  else if (schema.type === "boolean") control = select([["", known ? `${t("scenarios.default")} (${known})` : t("scenarios.default")], ["true", "true"], ["false", "false"]]);
  else control = h("input", { type: schema.type === "string" ? "text" : "number", step: schema.type === "integer" ? "1" : "any", placeholder: known });
  return {
    name,
    element: field(name, control, { help }),
    value() {
      if (control.value === "") return undefined;
      if (schema.type === "boolean") return control.value === "true";
      return schema.type === "string" ? control.value : Number(control.value);
    },
  };
}

function rangeOf(schema) {
  if (schema.minimum === undefined && schema.maximum === undefined) return null;
  if (schema.maximum === undefined || schema.maximum >= 1e6) return t("scenarios.least", { least: schema.minimum });
  return t("scenarios.range", { least: schema.minimum, most: schema.maximum });
}

function showClock(root) {
  const now = h("p", { class: "clock-now num" });
  const kind = h("p", { class: "soft" });
  const problem = h("div");
  const advance = h("input", { type: "number", min: 0, step: "any", value: 301 });
  const at = h("input", { type: "text", placeholder: "2024-05-01T12:00:00Z" });
  const advanceField = field(t("clock.advanceBy"), advance);
  const atField = field(t("clock.time"), at);
  const seed = h("input", { type: "number", step: "1" });
  const seedField = field(t("reset.seed"), seed, { help: t("reset.seedHelp") });
  const frozen = { freeze: h("button", { type: "button", onclick: () => move({ freeze: true }) }, t("clock.freeze")), resume: h("button", { type: "button", onclick: () => move({ resume: true }) }, t("clock.resume")) };

  async function move(body, place = null) {
    advanceField.fail("");
    atField.fail("");
    try {
      await post("/clock", body);
      replace(problem);
    } catch (error) {
      if (place && error instanceof ApiError && error.place) place.fail(error.message);
      else showError(problem, error);
    }
  }

  async function reset() {
    seedField.fail("");
    try {
      await post("/reset", seed.value ? { seed: Number(seed.value) } : {});
      dialog.close();
    } catch (error) {
      if (error instanceof ApiError && error.place === "seed") seedField.fail(error.message);
      else showError(problem, error);
    }
  }

  const dialog = h(
    "dialog",
    { class: "card", "aria-label": t("reset.title") },
    h("h2", {}, t("reset.title")),
    h("p", { class: "soft" }, t("reset.help")),
    h(
      "form",
      { class: "stack", onsubmit: (event) => (event.preventDefault(), reset()) },
      seedField,
      h("div", { class: "row" }, h("button", { class: "danger" }, t("reset.do")), h("button", { type: "button", onclick: () => dialog.close() }, t("cancel"))),
    ),
  );

  const presets = [1, 10, 60, 301];
  root.append(
    h("div", { class: "row spread" }, h("h2", {}, t("clock.title")), h("button", { type: "button", class: "small", onclick: () => dialog.showModal() }, t("reset.title"))),
    h("div", { class: "clock" }, h("div", {}, now, kind), h("div", { class: "row" }, frozen.freeze, frozen.resume)),
    h(
      "div",
      { class: "columns" },
      h(
        "form",
        { class: "stack", onsubmit: (event) => (event.preventDefault(), move({ advance_s: Number(advance.value) }, advanceField)) },
        h("div", { class: "row end" }, advanceField, h("button", {}, t("clock.advance"))),
        h("div", { class: "row" }, presets.map((value) => h("button", { type: "button", class: "small", onclick: () => move({ advance_s: value }) }, `+${value} s`))),
        h("p", { class: "help" }, t("clock.advanceHelp")),
      ),
      h(
        "form",
        { class: "stack", onsubmit: (event) => (event.preventDefault(), move({ freeze: at.value }, atField)) },
        h("div", { class: "row end" }, atField, h("button", {}, t("clock.freezeAt"))),
        h("p", { class: "help" }, t("clock.timeHelp")),
      ),
    ),
    problem,
    dialog,
  );

  function draw() {
    const clock = state.clock;
    if (!clock) return;
    const passed = clock.frozen ? 0 : (performance.now() - state.at) / 1000;
    now.textContent = dateTime(clock.unix + passed);
    const shift = clock.shifted_s;
    kind.textContent = clock.frozen
      ? t("clock.frozen")
      : shift
        ? t(shift > 0 ? "clock.isAhead" : "clock.isBehind", { seconds: seconds(Math.abs(shift)) })
        : t("clock.real");
    frozen.freeze.hidden = clock.frozen;
    frozen.resume.hidden = !clock.frozen;
  }
  draw();
  const ticking = setInterval(draw, 1000);
  const end = onState(draw);
  return () => {
    clearInterval(ticking);
    end();
  };
}
