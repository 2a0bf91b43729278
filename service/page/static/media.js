// An event's peak picture, with its heat map or without, and its clip, in the event's dialog.
// Files are fetched with the key, and displayed from memory.

import { picture } from "./api.js";
import { byId } from "./dom.js";

export class EventMedia {
  constructor() {
    this.turn = 0;
    this.urls = new Map();
    byId("event-heat").addEventListener("change", () => this.showPeak());
    byId("event-dialog").addEventListener("close", () => this.clear());
    byId("event-clip").addEventListener("loadeddata", ({ target }) => (target.hidden = false));
  }

  /** Show this event's files; until they are loaded, and without them, its first picture. */
  async show(event, firstUrl) {
    this.clear();
    this.event = event;
    const image = byId("event-picture");
    image.hidden = !firstUrl;
    if (firstUrl) image.src = firstUrl;
    byId("event-heat").closest("label").hidden = !event.media.includes("heat");
    if (event.media.includes("peak")) this.showPeak();
    const url = event.media.includes("clip") && (await this.load(`/events/${event.id}/clip.mp4`));
    if (url) byId("event-clip").src = url;
  }

  async showPeak() {
    const query = byId("event-heat").checked ? "?heat=true" : "";
    const url = await this.load(`/events/${this.event.id}/peak.jpg${query}`);
    if (!url) return;
    byId("event-picture").src = url;
    byId("event-picture").hidden = false;
  }

  clear() {
    this.turn += 1;
    for (const url of this.urls.values()) URL.revokeObjectURL(url);
    this.urls.clear();
    const clip = byId("event-clip");
    clip.hidden = true;
    clip.removeAttribute("src");
    clip.load(); // else it goes on playing
    byId("event-heat").checked = false;
  }

  /** Load a file as an object URL; null if it is gone, or the dialog has another event by now. */
  async load(path) {
    const { turn } = this;
    if (this.urls.has(path)) return this.urls.get(path);
    let url = null;
    try {
      ({ url } = await picture(path));
    } catch {
      return null;
    }
    if (turn !== this.turn) {
      URL.revokeObjectURL(url);
      return null;
    }
    this.urls.set(path, url);
    return url;
  }
}
