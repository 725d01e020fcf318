// The nodes of a run as bars along its time: one line for a list, a row for each node in detail.

import { h, setStyle } from "./dom.js";
import { number, seconds, tone } from "./format.js";
import { state } from "./live.js";
import { t } from "./texts.js";

const MOST_BARS = 60;

/** Where a run is now, in seconds of its timeline, from what was known `at` that time of the page. */
export function reached(run, at) {
  if (run.status !== "running" || run.speed === null || state.clock?.frozen || !state.connected) return run.elapsed_s;
  return Math.min(run.elapsed_s + ((performance.now() - at) / 1000) * run.speed, run.ends_s);
}

function span(run) {
  return Math.max(run.ends_s, run.elapsed_s, 0.001);
}

function fillOf(node, now, over) {
  if (over && node.elapsed_s === null) return 1;
  const took = node.elapsed_s;
  if (now <= node.started_s) return 0;
  return took ? Math.min((now - node.started_s) / took, 1) : 1;
}

function toneOf(node, now, over) {
  if (over || !["next", "running"].includes(node.status)) return tone(node.status);
  const ends = node.elapsed_s === null ? Infinity : node.started_s + node.elapsed_s;
  if (now < node.started_s) return "next";
  return now < ends ? "busy" : "good";
}

function bar(node, run, now) {
  const total = span(run);
  const over = run.status !== "running";
  const took = node.elapsed_s ?? Math.max(now - node.started_s, 0);
  const element = h(
    "span",
    { class: `bar-of-node ${toneOf(node, now, over)}`, title: `${node.title} · ${seconds(took)}` },
    h("span", { class: "fill" }),
  );
  setStyle(element, { left: `min(${(node.started_s / total) * 100}%, 100% - 2px)`, width: `max(2px, ${(took / total) * 100}%)` });
  setStyle(element.firstChild, { width: `${fillOf(node, now, over) * 100}%` });
  return element;
}

/** One line with all nodes. */
export function strip(run, now) {
  const nodes = run.nodes.filter((node) => !node.inside).slice(0, MOST_BARS);
  return h("span", { class: "strip", "aria-hidden": "true" }, nodes.map((node) => bar(node, run, now)));
}

/** A row for each node. */
export function rows(run, now) {
  const over = run.status !== "running";
  return h(
    "ol",
    { class: "nodes" },
    run.nodes.map((node) => {
      const kind = toneOf(node, now, over);
      const took = node.elapsed_s ?? (now > node.started_s ? now - node.started_s : null);
      const shown = kind === "busy" ? now - node.started_s : kind === "next" ? null : took;
      return h(
        "li",
        { class: `node ${kind}`, "data-status": node.status },
        h(
          "span",
          { class: `node-name ${node.inside ? "inside" : ""}` },
          h("span", { class: `dot ${kind}` }),
          h("span", { class: "text" }, node.title),
          h("span", { class: "type" }, node.type),
        ),
        h("span", { class: "track" }, bar(node, run, now)),
        h(
          "span",
          { class: "node-end" },
          node.total_tokens > 0 && h("span", { class: "soft" }, t("runs.tokens", { count: number(node.total_tokens) })),
          node.retries > 0 && h("span", { class: "soft" }, t("runs.retries", { count: node.retries })),
          h("span", { class: "num" }, seconds(shown)),
        ),
        node.error && h("p", { class: "node-error text" }, node.error),
      );
    }),
  );
}
