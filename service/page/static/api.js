// Requests to the API: the key, time limits, errors as one kind, and server-sent events over fetch
// (EventSource can't send a key).

const STORED_KEY = "normwatch-key";
const READ_LIMIT_MS = 8000;
const CHANGE_LIMIT_MS = 60_000; // checking a camera takes some seconds
const SILENCE_LIMIT_MS = 45_000; // of server-sent events; the service pings more often
const AWAY = "normwatch does not answer.";

export class ApiError extends Error {
  constructor(status, message, fields) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

let askForKey = async () => {};
let asking = null;

/** `ask` shows the prompt and resolves with what was typed. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

function headers(extra) {
  const key = sessionStorage.getItem(STORED_KEY);
  return key ? { ...extra, Authorization: `Bearer ${key}` } : extra;
}

async function newKey(refused) {
  // Many requests may be refused at once: they wait for one prompt.
  asking ??= askForKey(refused).then((key) => {
    sessionStorage.setItem(STORED_KEY, key);
    asking = null;
  });
  await asking;
}

/** Fetch; an answer that doesn't come in time, or at all, is an error of status 0. */
async function request(path, options, limit) {
  try {
    return await fetch(path, { signal: AbortSignal.timeout(limit), ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, AWAY, []);
  }
}

async function send(path, options = {}, limit = READ_LIMIT_MS) {
  for (;;) {
    const used = sessionStorage.getItem(STORED_KEY);
    const response = await request(path, { ...options, headers: headers(options.headers ?? {}) }, limit);
    if (response.status === 401) {
      if (sessionStorage.getItem(STORED_KEY) === used) await newKey(used !== null);
      continue;
    }
    if (response.ok) return response;
    const body = await response.json().catch(() => null);
    const error = body?.error;
    const message = error?.message ?? `The service answered ${response.status}.`;
    throw new ApiError(response.status, message, error?.fields ?? []);
  }
}

/** Read a body; one that stops in the middle is an error of status 0, too. */
async function read(reading) {
  try {
    return await reading;
  } catch {
    throw new ApiError(0, AWAY, []);
  }
}

export async function get(path) {
  return (await getDated(path)).body;
}

/** An answer with the service's time, to about a second; null where it gives none. */
export async function getDated(path) {
  const response = await send(path);
  const date = response.headers.get("Date");
  return { body: await read(response.json()), madeAt: date && new Date(date) };
}

export async function change(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  const response = await send(path, options, CHANGE_LIMIT_MS);
  return response.status === 204 ? null : read(response.json());
}

/** A picture as an object URL (to be revoked), with the headers that came with it. */
export async function picture(path) {
  const response = await send(path);
  return { url: URL.createObjectURL(await read(response.blob())), headers: response.headers };
}

/** Server-sent events until the signal aborts; resolves when the answer ends, or nothing comes. */
export async function follow(path, signal, onEvent) {
  const silence = new AbortController();
  const response = await send(path, { signal: AbortSignal.any([signal, silence.signal]) });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const timer = setTimeout(() => silence.abort(), SILENCE_LIMIT_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    text += value.replaceAll("\r", "");
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = {};
      for (const line of block.split("\n")) {
        const colon = line.indexOf(": ");
        if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 2);
      }
      if (event.event) onEvent(event.event, JSON.parse(event.data));
    }
  }
}
