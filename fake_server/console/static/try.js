// Try an app: a form of its inputs, the events as they come, the image, and the request as a program.

import { ApiError, frames, get, post, raw } from "./api.js";
import { field, h, replace, select } from "./dom.js";
import { milliseconds, pretty } from "./format.js";
import { eventAbout, eventName } from "./journal.js";
import { t } from "./texts.js";
import { badge, code, empty, httpBadge, imageButton, panes, showError } from "./widgets.js";

const SHOWN_EVENTS = 300;
const kept = { app: "", values: {}, user: "alg123", mode: "streaming", scenario: "" };

export function show(root) {
  const problem = h("div");
  const form = h("form", { class: "card stack", onsubmit: (event) => (event.preventDefault(), send()) });
  const result = h("div", { class: "stack large" }, empty(t("try.nothing")));
  root.append(
    h("div", { class: "page-head" }, h("h1", {}, t("tab.try"))),
    problem,
    h("div", { class: "columns try" }, h("div", { class: "stack large" }, form, h("div", { id: "programs" })), result),
  );
  const programs = root.querySelector("#programs");
  let apps = [];
  let app = null;
  let inputs = [];
  let running = null;
  const user = h("input", { type: "text", value: kept.user, oninput: () => (kept.user = user.value) });
  const mode = select([["streaming", t("mode.streaming")], ["blocking", t("mode.blocking")]], { onchange: () => ((kept.mode = mode.value), showPrograms()) }, kept.mode);
  const scenario = h("input", { type: "text", value: kept.scenario, list: "behaviours", placeholder: t("try.scenarioExample"), oninput: () => (kept.scenario = scenario.value) });
  const known = h("datalist", { id: "behaviours" });
  const sending = h("button", { class: "primary" }, t("try.send"));
  const stopping = h("button", { type: "button", hidden: true, onclick: stop }, t("runs.stop"));
  const scenarioField = field(t("try.scenario"), scenario, { help: t("try.scenarioHelp") });
  const userField = field(t("runs.user"), user, { required: true });

  async function load() {
    apps = (await get("/apps")).apps;
    const { behaviours } = await get("/behaviours");
    replace(known, behaviours.map((one) => h("option", { value: one.name }, one.headline.replaceAll("``", ""))));
    draw();
  }

  function draw() {
    app = apps.find((one) => one.id === kept.app) || apps[0];
    kept.app = app.id;
    const chooser = select(apps.map((one) => [one.id, `${one.name} (${one.kind})`]), { onchange: () => ((kept.app = chooser.value), draw()) }, app.id);
    inputs = app.inputs.map((one) => makeInput(one, app, changed));
    replace(
      form,
      field(t("runs.app"), chooser, { help: app.description || null }),
      app.error && h("p", { class: "notice warn" }, t("try.refuses", { error: app.error })),
      inputs.map((one) => one.element),
      h("div", { class: "pair" }, userField, field(t("runs.mode"), mode)),
      scenarioField,
      known,
      h("div", { class: "row" }, sending, stopping),
    );
    showPrograms();
  }

  function changed() {
    for (const one of inputs) kept.values[`${app.id} ${one.name}`] = one.kept();
    showPrograms();
  }

  function body() {
    const values = {};
    for (const one of inputs) {
      const value = one.value();
      if (value !== undefined) values[one.name] = value;
    }
    return { inputs: values, response_mode: mode.value, user: user.value };
  }

  let latest = 0;
  async function showPrograms() {
    const number = (latest += 1);
    let found;
    try {
      found = await post("/examples", { body: body() });
    } catch (error) {
      if (number === latest) showError(programs, error);
      return;
    }
    if (number !== latest) return;
    replace(
      programs,
      h(
        "section",
        { class: "card" },
        h("h2", {}, t("try.programs")),
        panes(
          [
            ["curl", () => code(found.curl)],
            ["Python", () => code(found.python)],
            ["JavaScript", () => code(found.js)],
          ],
          t("try.programs"),
        ),
      ),
    );
  }

  async function send() {
    userField.fail("");
    scenarioField.fail("");
    for (const one of inputs) one.element.fail("");
    let sent;
    try {
      await Promise.all(inputs.map((one) => one.ready(app)));
      sent = body();
    } catch (error) {
      showError(result, error);
      return;
    }
    const leaving = new AbortController();
    running = { leaving, task: null };
    sending.disabled = true;
    stopping.hidden = false;
    stopping.disabled = false;
    stopping.textContent = t("runs.stop");
    const began = performance.now();
    const view = resultView(result);
    const headers = { "Content-Type": "application/json" };
    if (scenario.value.trim()) headers["X-Fake-Scenario"] = scenario.value.trim();
    try {
      const response = await raw(`/as/${encodeURIComponent(app.id)}/v1/workflows/run`, {
        method: "POST",
        body: JSON.stringify(sent),
        headers,
        signal: leaving.signal,
      });
      view.head(response, performance.now() - began);
      if ((response.headers.get("Content-Type") || "").startsWith("text/event-stream")) {
        for await (const one of frames(response.body)) {
          const task = view.event(one, performance.now() - began);
          running.task ||= task;
        }
        view.end(performance.now() - began);
      } else {
        const text = await response.text();
        view.body(text, performance.now() - began);
        const error = errorOf(text);
        if (error?.code === "fake_scenario_invalid") scenarioField.fail(error.message);
        if (error && /user/.test(String(error.params))) userField.fail(error.message);
      }
      const task = view.task();
      if (task) await showImages(view, task);
    } catch (error) {
      view.broke(error);
    } finally {
      running = null;
      sending.disabled = false;
      stopping.hidden = true;
    }
  }

  async function stop() {
    stopping.disabled = true;
    stopping.textContent = t("runs.stopping");
    try {
      const task = running?.task || (await get("/runs?limit=1&status=running")).runs[0]?.task_id;
      if (task) await post(`/runs/${encodeURIComponent(task)}/stop`);
      else running?.leaving.abort();
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 409)) showError(problem, error);
    }
  }

  load().catch((error) => showError(problem, error));
  return () => running?.leaving.abort();
}

function errorOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function showImages(view, task) {
  try {
    const run = await get(`/runs/${encodeURIComponent(task)}`);
    view.images(run);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

function resultView(root) {
  const head = h("div", { class: "result-head" }, h("span", { class: "badge busy" }, t("try.sending")));
  const list = h("ol", { class: "frames" });
  const more = h("div");
  const images = h("div");
  const headers = h("div");
  const card = h("section", { class: "card", "aria-live": "polite" }, h("h2", {}, t("journal.response")), head, list, more, headers);
  replace(root, images, card);
  let task = null;
  let count = 0;
  const took = h("span", { class: "num soft" });
  return {
    head(response, ms) {
      replace(head, httpBadge(response.status), h("span", { class: "soft" }, response.headers.get("Content-Type") || ""), took);
      took.textContent = milliseconds(ms);
      const pairs = [...response.headers];
      replace(
        headers,
        h("details", {}, h("summary", {}, t("journal.headers")), h("dl", { class: "headers mono" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { class: "text" }, value))))),
      );
    },
    event({ event, data, text, partial }, ms) {
      took.textContent = milliseconds(ms);
      task ||= errorOf(data)?.task_id ?? null;
      count += 1;
      if (count > SHOWN_EVENTS) {
        replace(more, h("p", { class: "soft" }, t("try.moreEvents", { count: count - SHOWN_EVENTS })));
        return task;
      }
      list.append(
        h(
          "li",
          {},
          h(
            "details",
            {},
            h(
              "summary",
              {},
              h("span", { class: "num frame-time" }, milliseconds(ms)),
              h("span", { class: "text strong" }, eventName(event, data)),
              h("span", { class: "soft text" }, eventAbout(data)),
              partial && h("span", { class: "badge bad" }, t("journal.partial")),
            ),
            code(data ? pretty(data) : text, { wrap: true }),
          ),
        ),
      );
      return task;
    },
    body(text, ms) {
      took.textContent = milliseconds(ms);
      task ||= errorOf(text)?.task_id ?? null;
      replace(more, code(pretty(text), { wrap: true }));
    },
    end(ms) {
      took.textContent = milliseconds(ms);
    },
    broke(error) {
      const message = error.name === "AbortError" ? t("try.left") : error.message;
      more.append(h("p", { class: "notice bad", role: "alert" }, t("try.broke", { message })));
    },
    images(run) {
      replace(
        images,
        h(
          "section",
          { class: "card stack" },
          h(
            "div",
            { class: "row spread" },
            h("h2", {}, badge(run.status), " ", run.app),
            h("a", { class: "button", href: `#/runs/${encodeURIComponent(run.task_id)}` }, t("runs.open")),
          ),
          run.error && h("p", { class: "notice bad text" }, run.error),
          h("div", { class: "runs gallery" }, run.images.map((image) => imageButton(image))),
        ),
      );
    },
    task: () => task,
  };
}

/** A control for one input of the app: {name, element, value(), kept(), ready()}. */
function makeInput(input, app, changed) {
  const given = kept.values[`${app.id} ${input.name}`];
  const first = given ?? app.example.inputs?.[input.name] ?? input.default ?? "";
  const options = { required: input.required, help: helpOf(input) };
  const plain = (control) => ({
    name: input.name,
    element: field(input.label, control, options),
    value: () => (control.value === "" && !input.required ? undefined : control.value),
    kept: () => control.value,
    ready: async () => {},
  });
  if (input.options) {
    const listed = input.required ? [] : [["", "–"]];
    return plain(select([...listed, ...input.options.map((one) => [one, one])], { onchange: changed }, first));
  }
  if (input.type === "file" || input.type === "file-list") return makeFiles(input, changed, options);
  if (input.type === "checkbox" || input.type === "boolean") {
    const control = h("input", { type: "checkbox", checked: first === true || first === "true", onchange: changed });
    return { ...plain(control), value: () => control.checked, kept: () => control.checked };
  }
  if (input.type === "json_object") {
    const text = typeof first === "string" ? first : JSON.stringify(first, null, 2);
    const control = h("textarea", { rows: 4, class: "mono", oninput: changed });
    control.value = text;
    const one = plain(control);
    one.value = () => (control.value ? (errorOf(control.value) ?? control.value) : undefined);
    return one;
  }
  if (input.type === "number") {
    const one = plain(h("input", { type: "number", step: "any", value: first, oninput: changed }));
    const text = one.value;
    one.value = () => (text() === undefined || text() === "" ? text() : Number(text()));
    return one;
  }
  if (input.type === "paragraph") {
    const control = h("textarea", { rows: 3, oninput: changed });
    control.value = String(first);
    return plain(control);
  }
  return plain(h("input", { type: "text", value: String(first), oninput: changed }));
}

function helpOf(input) {
  const parts = [];
  if (input.label !== input.name) parts.push(input.name);
  if (input.max_length && !input.options) parts.push(t("try.atMost", { count: input.max_length }));
  return parts.join(" · ") || null;
}

/** Files by URL, or from this machine: these are uploaded when the request is sent. */
function makeFiles(input, changed, options) {
  const url = h("input", { type: "text", placeholder: "https://example.com/image.png", oninput: changed });
  const local = h("input", { type: "file", multiple: input.type === "file-list", "aria-label": t("try.file") });
  let uploaded = [];
  local.addEventListener("change", () => {
    uploaded = [];
    changed();
  });
  const element = field(input.label, url, options);
  element.append(local);
  const kind = input.file_types[0] || "image";
  return {
    name: input.name,
    element,
    kept: () => url.value,
    value() {
      const remote = url.value.split(/[\s,]+/).filter(Boolean).map((one) => ({ type: kind, transfer_method: "remote_url", url: one }));
      const files = [...uploaded.map((id) => ({ type: kind, transfer_method: "local_file", upload_file_id: id })), ...remote];
      if (!files.length) return undefined;
      return input.type === "file-list" ? files : files[0];
    },
    async ready(app) {
      if (uploaded.length || !local.files.length) return;
      for (const file of local.files) {
        const data = new FormData();
        data.append("file", file);
        data.append("user", kept.user);
        const response = await raw(`/as/${encodeURIComponent(app.id)}/v1/files/upload`, { method: "POST", body: data });
        const text = await response.text();
        if (!response.ok) {
          element.fail(errorOf(text)?.message || text);
          throw new ApiError(response.status, { error: { message: errorOf(text)?.message || text } });
        }
        uploaded.push(JSON.parse(text).id);
      }
    },
  };
}
