// One camera: its newest picture, its scores as they come, its figures, and what can be done.

import { ApiError, change, follow, get, picture } from "./api.js";
import { Curve } from "./curve.js";
import { byId, clock, duration, element, figures, rate, when } from "./dom.js";
import { drawZones } from "./zones.js";

const PICTURE_EVERY_MS = 1000;
const NO_PICTURE_EVERY_MS = 5000;
const RECONNECT_MS = 2000;
const HISTORY = 600;
const LOG_EVERY_MS = 5000;
const LOG_ENTRIES = 20;
const HAS_PICTURES = new Set([
  "connecting", "warming", "live", "stalled", "frozen", "obscured", "down", "ended", "failed",
]);
const LOG_TEXT = {
  "scene.changed": "light changed",
  "stream.down": "outage told",
  "stream.recovered": "recovery told",
  "scores.lost": "scores lost",
};

export class Detail {
  constructor({ onChange }) {
    this.onChange = onChange;
    this.stream = null;
    this.abort = new AbortController();
    this.curve = new Curve(byId("curve"), byId("readout"));
    byId("pause").addEventListener("click", () => this.togglePause());
    byId("delete").addEventListener("click", () => byId("delete-dialog").showModal());
    byId("delete-dialog").addEventListener("close", (event) => this.remove(event.target));
    byId("heat").addEventListener("change", () => this.showPicture());
    byId("picture").addEventListener("load", () => this.showZones());
    byId("threshold-reset").addEventListener("click", () => this.setThreshold(null));
    byId("threshold-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = byId("threshold").value.trim();
      this.setThreshold(text === "" ? null : Number(text));
    });
  }

  /** Show a stream, or another state of the one that is shown; null shows none. */
  show(stream) {
    const isOther = stream?.id !== this.stream?.id;
    this.stream = stream;
    byId("detail").hidden = stream === null;
    byId("nothing").hidden = stream !== null;
    if (isOther) this.begin();
    if (stream !== null) this.render();
  }

  begin() {
    this.abort.abort();
    this.abort = new AbortController();
    this.curve.clear();
    this.hidePicture();
    this.showLog([]);
    byId("delete-dialog").close();
    byId("threshold-error").textContent = "";
    if (this.stream === null) return;
    byId("threshold").value = this.stream.threshold ?? "";
    this.followScores(this.stream.id, this.abort.signal);
    this.followPictures(this.abort.signal);
    this.followLog(this.stream.id, this.abort.signal);
  }

  render() {
    const { stream } = this;
    const { status } = stream;
    byId("detail-name").textContent = stream.name;
    byId("detail-source").textContent =
      stream.source === "upload" ? `POST /streams/${stream.id}/frames` : stream.source;
    byId("pause").textContent = stream.paused ? "Resume" : "Pause";
    byId("detail-reason").textContent = status.reason;
    byId("detail-reason").hidden = !status.reason;
    byId("threshold").placeholder = status.threshold?.toFixed(2) ?? "";
    this.curve.setThreshold(status.threshold);
    this.showZones();
    const dropped = Object.values(status.dropped).reduce((sum, count) => sum + count, 0);
    figures(byId("figures"), [
      ["State", status.state],
      ["Since", status.since === null ? "–" : when(status.since)],
      ["Model", stream.model],
      ["Rate", `${rate(status)} /s`],
      ["Delay", status.frame_age_s === null ? "–" : duration(Math.max(0, status.frame_age_s))],
      ["Scored", status.scored.toLocaleString()],
      ["Dropped", dropped.toLocaleString()],
    ]);
  }

  async followScores(id, signal) {
    let last = -1;
    while (!signal.aborted) {
      try {
        const after = last < 0 ? "" : `&after=${last}`;
        const { items } = await get(`/streams/${id}/scores?limit=${HISTORY}${after}`);
        if (signal.aborted) return;
        this.curve.add(items);
        last = items.at(-1)?.frame ?? last;
        await follow(`/streams/${id}/scores/live?after=${last}`, signal, (name, item) => {
          if (name !== "score" || signal.aborted) return;
          last = item.frame;
          this.curve.add([item]);
        });
      } catch (error) {
        if (signal.aborted || error.status === 404) return;
      }
      await pause(RECONNECT_MS, signal);
    }
  }

  async followPictures(signal) {
    while (!signal.aborted) {
      const found = document.hidden || (await this.showPicture());
      await pause(found ? PICTURE_EVERY_MS : NO_PICTURE_EVERY_MS, signal);
    }
  }

  async followLog(id, signal) {
    while (!signal.aborted) {
      try {
        const { items } = document.hidden ? {} : await get(`/streams/${id}/log?limit=${LOG_ENTRIES}`);
        if (signal.aborted) return;
        if (items) this.showLog(items);
      } catch (error) {
        if (error.status === 404) return; // the banner tells of all others
      }
      await pause(LOG_EVERY_MS, signal);
    }
  }

  showLog(entries) {
    byId("log-card").hidden = entries.length === 0;
    byId("log").replaceChildren(
      ...entries.map(({ kind, at, state, reason }) =>
        element(
          "li",
          {},
          element("time", { dateTime: at, className: "muted", textContent: when(at) }),
          element("span", { className: "dot", dataset: { state } }),
          element("span", { className: "what", textContent: LOG_TEXT[kind] ?? state }),
          element("span", { className: "why muted", textContent: reason }),
        ),
      ),
    );
  }

  async showPicture() {
    const { stream, abort } = this;
    if (stream === null) return false;
    if (!HAS_PICTURES.has(stream.status.state)) return true;
    try {
      const heat = byId("heat").checked ? "?heat=true" : "";
      const { url, headers } = await picture(`/streams/${stream.id}/frame.jpg${heat}`);
      if (abort.signal.aborted) {
        URL.revokeObjectURL(url);
        return false;
      }
      this.putPicture(url);
      byId("picture-time").textContent = clock(headers.get("X-Captured-At"));
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) this.hidePicture();
      return false;
    }
  }

  showZones() {
    drawZones(byId("zones"), byId("picture"), this.stream?.zones ?? []);
  }

  putPicture(url) {
    const image = byId("picture");
    if (image.src) URL.revokeObjectURL(image.src);
    image.src = url;
    image.hidden = false;
    byId("no-picture").hidden = true;
  }

  hidePicture() {
    const image = byId("picture");
    if (image.src) URL.revokeObjectURL(image.src);
    image.removeAttribute("src");
    image.hidden = true;
    byId("no-picture").hidden = false;
    byId("picture-time").textContent = "";
  }

  async togglePause() {
    const { stream } = this;
    await this.apply(() => change("PATCH", `/streams/${stream.id}`, { paused: !stream.paused }));
  }

  async setThreshold(threshold) {
    const { stream } = this;
    const done = await this.apply(() => change("PATCH", `/streams/${stream.id}`, { threshold }));
    if (done && threshold === null) byId("threshold").value = "";
  }

  async remove(dialog) {
    const { stream } = this;
    if (dialog.returnValue !== "delete" || stream === null) return;
    dialog.returnValue = "";
    await this.apply(() => change("DELETE", `/streams/${stream.id}`));
  }

  async apply(action) {
    byId("threshold-error").textContent = "";
    try {
      await action();
      return true;
    } catch (error) {
      byId("threshold-error").textContent = error.message;
      return false;
    } finally {
      await this.onChange();
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
