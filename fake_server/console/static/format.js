// Numbers, times and durations as people read them, in the language of the page.

import { language, t } from "./texts.js";

const made = new Map();

/** A formatter of `Intl`; to make one takes longer than to use it. */
function formatter(kind, options = {}) {
  const key = `${kind.name} ${language()} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new kind(language(), options));
  return made.get(key);
}

export function number(value) {
  return formatter(Intl.NumberFormat).format(value);
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 100) return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  const minutes = Math.floor(value / 60);
  return `${minutes} min ${Math.round(value % 60)} s`;
}

export function milliseconds(value) {
  return value === null || value === undefined ? "–" : seconds(value / 1000);
}

export function time(unix) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  return formatter(Intl.DateTimeFormat, options).format(new Date(unix * 1000));
}

export function dateTime(unix) {
  const options = { dateStyle: "medium", timeStyle: "medium", hour12: false };
  return formatter(Intl.DateTimeFormat, options).format(new Date(unix * 1000));
}

export function bytes(value) {
  if (value < 1000) return `${value} B`;
  return value < 1e6 ? `${(value / 1000).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`;
}

/** A text in one line, cut where it is long. */
export function line(text, most = 160) {
  const one = String(text).replace(/\s+/g, " ").trim();
  return one.length > most ? `${one.slice(0, most)}…` : one;
}

export function status(value) {
  return t(`status.${value}`) || value;
}

/** How a run or node of this status looks: its class. */
export function tone(value) {
  const tones = {
    succeeded: "good",
    running: "busy",
    failed: "bad",
    exception: "warn",
    "partial-succeeded": "warn",
    stopped: "soft",
    paused: "warn",
    next: "next",
  };
  return tones[value] || "soft";
}

/** JSON with indents; what is none stays as it is. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
