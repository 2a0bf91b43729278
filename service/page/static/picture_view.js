// One camera's newest picture, with the heat map or without.

import { ApiError, get, picture } from "./api.js";
import { byId, clock, when } from "./dom.js";
import { pause } from "./waiting.js";

const EVERY_MS = 1000;
const WITHOUT_ONE_EVERY_MS = 5000;
const MAX_EVENTS = 20;
const HAS_PICTURES = new Set([
  "connecting", "learning", "warming", "live", "misfit", "stalled", "frozen", "obscured", "down", "ended", "failed",
]);

export class PictureView {
  constructor() {
    this.stream = null;
    this.signal = AbortSignal.abort();
    this.isKept = false; // while zones are drawn on it, the picture stays even if there is no newer one
    this.image = byId("picture");
    byId("heat").addEventListener("change", () => this.show());
  }

  get isThere() {
    return !this.image.hidden;
  }

  /** Follow this stream's pictures until the signal aborts. */
  async follow(stream, signal) {
    this.stream = stream;
    this.signal = signal;
    this.isKept = false;
    this.hide();
    while (!signal.aborted) {
      const found = document.hidden || (await this.show());
      await pause(found ? EVERY_MS : WITHOUT_ONE_EVERY_MS, signal);
    }
  }

  async show() {
    const { stream, signal } = this;
    if (signal.aborted) return false;
    if (!HAS_PICTURES.has(stream.status.state)) return true;
    try {
      const heat = byId("heat").checked ? "?heat=true" : "";
      const { url, headers } = await picture(`/streams/${stream.id}/frame.jpg${heat}`);
      return this.put(url, clock(headers.get("X-Captured-At")), signal);
    } catch (error) {
      const isGone = error instanceof ApiError && error.status === 404;
      if (isGone && !signal.aborted && !this.isKept) this.hide();
      return false;
    }
  }

  /** Keep the present picture; without one, show that of the newest event that has one. */
  async keep() {
    const { stream, signal } = this;
    this.isKept = true;
    if (this.isThere) return;
    const { items } = await get(`/events?stream_id=${stream.id}&limit=${MAX_EVENTS}`);
    const event = items.find(({ picture: path }) => path !== null);
    if (!event) return;
    const { url } = await picture(event.picture);
    this.put(url, `as of ${when(event.started_at)}`, signal);
    await this.image.decode().catch(() => {}); // its size is needed
  }

  release() {
    this.isKept = false;
  }

  put(url, time, signal) {
    if (signal.aborted) {
      URL.revokeObjectURL(url);
      return false;
    }
    if (this.image.src) URL.revokeObjectURL(this.image.src);
    this.image.src = url;
    this.image.hidden = false;
    byId("no-picture").hidden = true;
    byId("picture-time").textContent = time;
    return true;
  }

  hide() {
    if (this.image.src) URL.revokeObjectURL(this.image.src);
    this.image.removeAttribute("src");
    this.image.hidden = true;
    byId("no-picture").hidden = false;
    byId("picture-time").textContent = "";
  }
}
