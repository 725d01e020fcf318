// The frame of the console: navigation, notices, language, and which tab is shown.

import { setToken, token } from "./api.js";
import { h, replace } from "./dom.js";
import { dateTime, seconds } from "./format.js";
import { follow, onState, reconnect, state } from "./live.js";
import { language, languages, setLanguage, t } from "./texts.js";

const TABS = {
  runs: () => import("./runs.js"),
  journal: () => import("./journal.js"),
  try: () => import("./try.js"),
  scenarios: () => import("./scenarios.js"),
  reference: () => import("./reference.js"),
};

const bar = document.getElementById("bar");
const main = document.getElementById("main");
const notices = document.getElementById("notices");

let end = () => {};
let shown = 0;

function place() {
  let hash = location.hash.replace(/^#\/?/, "");
  try {
    hash = decodeURIComponent(hash);
  } catch {
    // taken as it is
  }
  const [tab, ...rest] = hash.split("/");
  return { tab: tab in TABS ? tab : "runs", rest: rest.join("/") };
}

async function route({ focus = false } = {}) {
  const { tab, rest } = place();
  const number = (shown += 1);
  drawBar();
  const module = await TABS[tab]();
  if (number !== shown) return;
  end();
  document.title = `${t(`tab.${tab}`)} · fake-dify`;
  replace(main);
  end = module.show(main, rest) || (() => {});
  if (focus) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function drawBar() {
  const { tab } = place();
  replace(
    bar,
    h("a", { class: "brand", href: "#/runs" }, h("img", { src: "/__admin/console/icon.svg", alt: "", width: 22, height: 22 }), "fake-dify"),
    h(
      "nav",
      { "aria-label": t("navigation") },
      Object.keys(TABS).map((name) =>
        h("a", { href: `#/${name}`, "aria-current": name === tab && "page" }, t(`tab.${name}`)),
      ),
    ),
    h("div", { class: "bar-end" }, h("span", { class: "live", id: "live" }), languageSwitch()),
  );
  drawState();
}

function languageSwitch() {
  return h(
    "div",
    { class: "switch", role: "group", "aria-label": t("language") },
    Object.entries(languages).map(([code, name]) =>
      h(
        "button",
        {
          type: "button",
          lang: code,
          "aria-pressed": code === language() ? "true" : "false",
          onclick: () => {
            setLanguage(code);
            start();
          },
        },
        name,
      ),
    ),
  );
}

function drawState() {
  const live = document.getElementById("live");
  if (live) {
    const kind = state.connected ? "good" : state.connected === null ? "soft" : "bad";
    replace(
      live,
      h("span", { class: `dot ${kind}` }),
      state.connected ? t("live", { running: state.running }) : state.connected === null ? t("connecting") : t("offline"),
    );
  }
  if (state.connected === false) drawProblem();
  else drawClock();
}

let problem = "";

function drawProblem() {
  const refused = state.refused;
  const key = refused ? `${refused.status} ${refused.message}` : "lost";
  if (key === problem) return;
  problem = key;
  if (!refused) {
    replace(notices, h("p", { class: "notice bad" }, t("lost"), " ", t("tryingAgain")));
  } else if (refused.status === 403) {
    replace(notices, tokenForm(refused.message));
  } else {
    replace(notices, h("p", { class: "notice bad" }, refused.message, " ", t("tryingAgain")));
  }
}

function drawClock() {
  problem = "";
  const clock = state.clock;
  if (!clock || (!clock.frozen && !clock.shifted_s)) {
    replace(notices);
    return;
  }
  const text = clock.frozen
    ? t("clock.isFrozen", { time: dateTime(clock.unix) })
    : t(clock.shifted_s > 0 ? "clock.isAhead" : "clock.isBehind", { seconds: seconds(Math.abs(clock.shifted_s)) });
  replace(notices, h("p", { class: "notice warn" }, text, " ", h("a", { href: "#/scenarios" }, t("clock.change"))));
}

function tokenForm(message) {
  const input = h("input", { type: "password", autocomplete: "off", id: "token", value: token() });
  const form = h(
    "form",
    {
      class: "notice card stack",
      onsubmit: (event) => {
        event.preventDefault();
        setToken(input.value.trim());
        problem = "";
        reconnect();
        route();
      },
    },
    h("h2", {}, t("token.title")),
    h("p", {}, message),
    h("div", { class: "row end" }, h("div", { class: "field grow" }, h("label", { for: "token" }, t("token.label")), input), h("button", { class: "primary" }, t("token.use"))),
    h("p", { class: "help" }, t("token.help")),
  );
  return form;
}

function start() {
  document.documentElement.lang = language();
  document.getElementById("skip").textContent = t("skip");
  problem = "";
  route();
}

onState(drawState);
window.addEventListener("hashchange", () => route({ focus: true }));
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
start();
follow();
