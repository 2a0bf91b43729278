// Requests to the API: the key, errors as one kind, and server-sent events over fetch (EventSource
// can't send a key).

const STORED_KEY = "normwatch-key";

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

async function send(path, options = {}) {
  for (;;) {
    const used = sessionStorage.getItem(STORED_KEY);
    const response = await fetch(path, { ...options, headers: headers(options.headers ?? {}) });
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

export async function get(path) {
  return (await send(path)).json();
}

export async function change(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  const response = await send(path, options);
  return response.status === 204 ? null : response.json();
}

/** A picture as an object URL (to be revoked), with the headers that came with it. */
export async function picture(path) {
  const response = await send(path);
  return { url: URL.createObjectURL(await response.blob()), headers: response.headers };
}

/** Server-sent events until the signal aborts; resolves when the answer ends. */
export async function follow(path, signal, onEvent) {
  const response = await send(path, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
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
