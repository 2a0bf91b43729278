// One camera's log, newest first.

import { get } from "./api.js";
import { byId, element, when } from "./dom.js";
import { pause } from "./waiting.js";

const EVERY_MS = 5000;
const ENTRIES = 20;
const TEXT = {
  "scene.changed": "light changed",
  "model.changed": "model changed",
  "stream.down": "outage reported",
  "stream.recovered": "recovery reported",
  "scores.lost": "scores lost",
};

/** Show the log, and what is added to it, until the signal aborts. */
export async function followLog(id, signal) {
  show([]);
  while (!signal.aborted) {
    try {
      const { items } = document.hidden ? {} : await get(`/streams/${id}/log?limit=${ENTRIES}`);
      if (signal.aborted) return;
      if (items) show(items);
    } catch (error) {
      if (error.status === 404) return; // the banner reports all others
    }
    await pause(EVERY_MS, signal);
  }
}

function show(entries) {
  byId("log-card").hidden = entries.length === 0;
  byId("log").replaceChildren(
    ...entries.map(({ kind, at, state, reason }) =>
      element(
        "li",
        {},
        element("time", { dateTime: at, className: "muted", textContent: when(at) }),
        element("span", { className: "dot", dataset: { state } }),
        element("span", { className: "what", textContent: TEXT[kind] ?? state }),
        element("span", { className: "why muted", textContent: reason }),
      ),
    ),
  );
}
