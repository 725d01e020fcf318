// Parts that several tabs use.

import { ApiError, LostError, imageUrl } from "./api.js";
import { h, replace } from "./dom.js";
import { status as statusText, tone } from "./format.js";
import { t } from "./texts.js";

export function badge(value) {
  return h("span", { class: `badge ${tone(value)}` }, statusText(value));
}

export function httpBadge(status) {
  if (status === null || status === undefined) return h("span", { class: "badge soft" }, t("journal.noResponse"));
  const kind = status < 300 ? "good" : status < 400 ? "soft" : status < 500 ? "warn" : "bad";
  return h("span", { class: `badge ${kind}` }, status);
}

export function copyButton(text, label = t("copy")) {
  const button = h("button", { type: "button", class: "small", onclick: copy }, label);
  async function copy() {
    const value = typeof text === "function" ? text() : text;
    let copied = true;
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      copied = copyBySelection(value);
    }
    button.textContent = copied ? t("copied") : t("copyFailed");
    setTimeout(() => (button.textContent = label), 1500);
  }
  return button;
}

/** For a page without the clipboard API: one that is not served from this machine, without TLS. */
function copyBySelection(value) {
  const area = h("textarea", { class: "offscreen", "aria-hidden": "true" });
  area.value = value;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

export function code(text, { label = null, copy = true, wrap = false } = {}) {
  return h(
    "div",
    { class: "code" },
    (label || copy) && h("div", { class: "code-head" }, h("span", {}, label || ""), copy && copyButton(text)),
    h("pre", { tabindex: "0", class: wrap && "wrap", "aria-label": label || t("code") }, text),
  );
}

/** Shows what went wrong where it belongs; in the words of the API. */
export function showError(place, error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof ApiError || error instanceof LostError)) throw error;
  const message = error instanceof LostError ? t("lost") : error.message;
  replace(place, h("p", { class: "notice bad", role: "alert" }, message));
}

const whenSeen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      whenSeen.unobserve(target);
      imageUrl(target.dataset.fileId)
        .then((url) => (target.src = url))
        .catch(() => target.classList.add("missing"));
    }
  },
  { rootMargin: "200px" },
);

/** An image of the fake, fetched when it comes into view. */
export function picture(image, attributes = {}) {
  const element = h("img", {
    alt: t("runs.imageOf", { prompt: image.prompt }),
    width: image.width,
    height: image.height,
    decoding: "async",
    ...attributes,
  });
  element.dataset.fileId = image.file_id;
  whenSeen.observe(element);
  return element;
}

export function imageButton(image, more = []) {
  return h(
    "button",
    { type: "button", class: "image", onclick: () => openImage(image, more), title: image.prompt },
    picture(image),
  );
}

/** The image in large, with what it was made from. */
export function openImage(image, more = []) {
  const dialog = h(
    "dialog",
    { class: "lightbox", "aria-label": t("runs.image"), onclick: (event) => event.target === dialog && dialog.close() },
    h(
      "div",
      { class: "lightbox-body" },
      picture(image),
      h(
        "div",
        { class: "stack" },
        facts([
          [t("runs.prompt"), h("span", { class: "text" }, image.prompt)],
          image.negative_prompt && [t("runs.negativePrompt"), h("span", { class: "text" }, image.negative_prompt)],
          [t("runs.model"), image.model || "–"],
          [t("runs.seed"), h("code", {}, image.seed)],
          [t("runs.size"), `${image.width} × ${image.height}`],
          [t("runs.steps"), image.steps],
        ]),
        h("div", { class: "row" }, more, h("button", { type: "button", onclick: () => dialog.close() }, t("close"))),
      ),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** Names with values. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

export function empty(title, ...more) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), more);
}

/** Tabs inside a card: [[name, content]]; the content is made when it is first chosen. */
export function panes(entries, label) {
  const body = h("div", { class: "pane", role: "tabpanel", tabindex: "0" });
  const buttons = entries.map(([name, make], index) =>
    h(
      "button",
      { type: "button", role: "tab", "aria-selected": index === 0 ? "true" : "false", onclick: () => choose(index) },
      name,
    ),
  );
  const list = h("div", { class: "pane-tabs", role: "tablist", "aria-label": label, onkeydown: move }, buttons);
  function choose(index) {
    buttons.forEach((button, at) => {
      button.setAttribute("aria-selected", at === index ? "true" : "false");
      button.tabIndex = at === index ? 0 : -1;
    });
    body.setAttribute("aria-label", entries[index][0]);
    replace(body, entries[index][1]());
  }
  function move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = (buttons.findIndex((one) => one.tabIndex === 0) + step + buttons.length) % buttons.length;
    choose(at);
    buttons[at].focus();
  }
  choose(0);
  return h("div", { class: "panes" }, list, body);
}

/** `curl` for a request; quoted so that a shell takes it as it is. */
export function curl(method, url, headers, body) {
  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const lines = [`curl -X ${method} ${quote(url)}`];
  for (const [name, value] of headers) lines.push(`  --header ${value === null ? `"${name}: Bearer $API_KEY"` : quote(`${name}: ${value}`)}`);
  if (body) lines.push(`  --data-raw ${quote(body)}`);
  return lines.join(" \\\n");
}
