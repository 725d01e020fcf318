// One stream says when something has changed on the server; tabs then fetch again what they show.

import { ApiError, LostError, frames, raw } from "./api.js";

const LOOK_AGAIN_MS = 1000;
const LOOK_AGAIN_AT_MOST_MS = 10_000;
/** A server that takes long to respond has much to do: a look may take a small part of the time. */
const REST = 20;
const LONGEST_PAUSE_MS = 10_000;

const listeners = new Set();
const counters = {};

/** What the last event of the stream has: counters and the clock; the time here when it came. */
export const state = { connected: null, refused: null, clock: null, running: 0, at: 0 };

const stateListeners = new Set();

export function onState(listener) {
  stateListeners.add(listener);
  return () => stateListeners.delete(listener);
}

function changed(values) {
  Object.assign(state, values);
  for (const listener of stateListeners) listener(state);
}

/**
 * Calls `look` whenever the counter `name` has moved, at most once a second and one at a time, and
 * not while the page is hidden. Returns what ends it.
 */
export function watch(name, look) {
  const watcher = { name, look, seen: counters[name] ?? null, busy: false, next: 0, timer: 0, over: false };
  listeners.add(watcher);
  return () => {
    watcher.over = true;
    clearTimeout(watcher.timer);
    listeners.delete(watcher);
  };
}

async function notice(watcher) {
  const now = counters[watcher.name];
  if (watcher.over || watcher.busy || watcher.timer || document.hidden || now === undefined) return;
  if (watcher.seen === now) return;
  const wait = watcher.next - performance.now();
  if (wait > 0) {
    watcher.timer = setTimeout(() => {
      watcher.timer = 0;
      notice(watcher);
    }, wait);
    return;
  }
  watcher.busy = true;
  watcher.seen = now;
  const began = performance.now();
  try {
    await watcher.look();
  } catch (error) {
    if (!(error instanceof ApiError || error instanceof LostError)) throw error;
    watcher.seen = null;
  } finally {
    const took = performance.now() - began;
    watcher.next = began + Math.min(Math.max(LOOK_AGAIN_MS, REST * took), LOOK_AGAIN_AT_MOST_MS);
    watcher.busy = false;
    notice(watcher);
  }
}

export function noticeAll() {
  for (const watcher of listeners) notice(watcher);
}

document.addEventListener("visibilitychange", noticeAll);

let attempt = 0;
let wake = null;
let stopped = false;

/** Tries again at once, with a new token for example. */
export function reconnect() {
  attempt = 0;
  if (wake) wake();
}

window.addEventListener("pagehide", () => (stopped = true));
window.addEventListener("pageshow", () => {
  stopped = false;
  reconnect();
});

export async function follow() {
  for (;;) {
    try {
      const response = await raw("/events");
      if (!response.ok) {
        const error = new ApiError(response.status, await response.json().catch(() => null));
        changed({ connected: false, refused: error });
      } else {
        attempt = 0;
        for await (const { event, data } of frames(response.body)) {
          if (event !== "change") continue;
          const { clock, running, ...others } = JSON.parse(data);
          Object.assign(counters, others, { clock: JSON.stringify([clock.frozen, clock.shifted_s]) });
          if (!state.connected) for (const watcher of listeners) watcher.seen = null;
          changed({ connected: true, refused: null, clock, running, at: performance.now() });
          noticeAll();
        }
        changed({ connected: false });
      }
    } catch (error) {
      if (!stopped) changed({ connected: false, refused: null });
    }
    const pause = Math.min(500 * 2 ** attempt, LONGEST_PAUSE_MS);
    attempt += 1;
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, pause);
    });
    wake = null;
  }
}
