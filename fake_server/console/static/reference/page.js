// The API reference: Swagger UI with the document of the version that is faked.

import { ApiError, get } from "../api.js";
import { h, replace } from "../dom.js";
import { language, t } from "../texts.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

const nothing = () => () => null;

/** No key is needed here: requests are sent from the console. */
const WithoutKeys = () => ({
  wrapComponents: { authorizeBtn: nothing, authorizeOperationBtn: nothing },
});

/**
 * The document as it is shown: with names for its schemas, one event in place of a stream, and the
 * address of this server.
 */
function shown(spec) {
  for (const [name, schema] of Object.entries(spec.components?.schemas ?? {})) {
    if (schema && typeof schema === "object") schema.title ??= name;
  }
  for (const item of Object.values(spec.paths ?? {})) {
    for (const operation of Object.values(item ?? {})) {
      for (const response of Object.values(operation?.responses ?? {})) {
        for (const media of Object.values(response?.content ?? {})) {
          media.schema = media["x-item-schema"] ?? media.schema;
        }
      }
    }
  }
  return { ...spec, servers: [{ url: location.origin }] };
}

function drawBar(version) {
  document.title = `${t("reference.api")} · fake-dify`;
  replace(
    document.getElementById("bar"),
    h("a", { class: "brand", href: "/__admin/" }, h("img", { src: "/__admin/console/icon.svg", alt: "", width: 22, height: 22 }), "fake-dify"),
    h("nav", { "aria-label": t("navigation") }, h("a", { href: "/__admin/#/reference" }, `← ${t("tab.reference")}`)),
    h("div", { class: "bar-end soft" }, version && `Dify ${version}`),
  );
}

function showProblem(error) {
  const message = error instanceof ApiError ? error.message : t("lost");
  const advice = error.status === 403 && h("a", { href: "/__admin/#/reference" }, t("reference.giveToken"));
  replace(document.getElementById("notices"), h("p", { class: "notice bad" }, message, " ", advice));
}

async function show() {
  const [spec, health] = await Promise.all([get("/spec?openapi=3.1"), get("/health")]);
  drawBar(health.host_version);
  globalThis.SwaggerUIBundle({
    spec: shown(spec),
    domNode: document.getElementById("main"),
    plugins: [WithoutKeys],
    supportedSubmitMethods: [],
    syntaxHighlight: { theme: "obsidian" },
    validatorUrl: null,
    docExpansion: "list",
    defaultModelRendering: "example",
    defaultModelsExpandDepth: 0,
  });
}

/** What Swagger UI leaves out for the keyboard and for screen readers. */
function complete(root) {
  for (const select of root.querySelectorAll(".examples-select-element:not([aria-label])")) select.ariaLabel = t("reference.examples");
  for (const text of root.querySelectorAll(".microlight:not([tabindex])")) text.tabIndex = 0;
}

function colour() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

document.documentElement.lang = language();
const skip = document.getElementById("skip");
skip.textContent = t("skip");
skip.addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});
dark.addEventListener("change", colour);
colour();
drawBar("");
const main = document.getElementById("main");
new MutationObserver(() => complete(main)).observe(main, { childList: true, subtree: true });
show().catch(showProblem);
