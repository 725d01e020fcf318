// The admin API. The token, where one is needed, is kept in sessionStorage and goes into a header.

const TOKEN = "fake-dify-admin-token";

export class ApiError extends Error {
  constructor(status, body) {
    const error = (body && body.error) || {};
    super(error.message || `HTTP ${status}`);
    this.status = status;
    this.place = error.place || null;
    this.body = body;
  }
}

/** The server did not respond at all. */
export class LostError extends Error {}

export function token() {
  return sessionStorage.getItem(TOKEN) || "";
}

export function setToken(value) {
  if (value) sessionStorage.setItem(TOKEN, value);
  else sessionStorage.removeItem(TOKEN);
}

function headersWith(others) {
  return token() ? { ...others, "X-Admin-Token": token() } : others;
}

/** Any request to the admin API; the response as it is. Throws LostError. */
export async function raw(path, options = {}) {
  try {
    return await fetch(`/__admin${path}`, {
      ...options,
      headers: headersWith(options.headers || {}),
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new LostError(error.message);
  }
}

async function json(path, options) {
  const response = await raw(path, options);
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, body);
  return body;
}

export const get = (path, signal) => json(path, { signal });
export const del = (path) => json(path, { method: "DELETE" });
export const post = (path, value, signal) =>
  json(path, {
    method: "POST",
    body: value === undefined ? undefined : JSON.stringify(value),
    headers: { "Content-Type": "application/json" },
    signal,
  });

/** Query parameters without those that are empty. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/**
 * The frames of a stream of server-sent events as they come: {event, data, text}. A frame ends with
 * an empty line.
 */
export async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = parts.pop();
      for (const text of parts) yield frame(text);
    }
    if (rest) yield { ...frame(rest), partial: true };
  } finally {
    reader.cancel().catch(() => {});
  }
}

export function frame(text) {
  let event = "";
  const data = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return { event, data: data.join("\n"), text };
}

const images = new Map();
const MOST_IMAGES = 120;

/** The URL of an image of the fake inside this page; the same for the same id. */
export async function imageUrl(fileId) {
  let url = images.get(fileId);
  if (!url) {
    const response = await raw(`/images/${encodeURIComponent(fileId)}`);
    if (!response.ok) throw new ApiError(response.status, await response.json().catch(() => null));
    url = URL.createObjectURL(await response.blob());
    images.set(fileId, url);
    if (images.size > MOST_IMAGES) {
      const [oldest, oldUrl] = images.entries().next().value;
      images.delete(oldest);
      URL.revokeObjectURL(oldUrl);
    }
  }
  return url;
}
