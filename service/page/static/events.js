// The list of events, newest first, with their pictures; one of them large.

import { get, picture } from "./api.js";
import { byId, duration, element, figures, when } from "./dom.js";
import { EventMedia } from "./media.js";
import { Review } from "./review.js";

const PAGE = 30;

export class Events {
  constructor({ onChoose }) {
    this.onChoose = onChoose;
    this.streamId = null;
    this.limit = PAGE;
    this.rows = new Map();
    this.turn = 0;
    this.media = new EventMedia();
    this.onJudged = (event) => this.showLabel(event);
    this.review = new Review(this);
    byId("event-figures").after(this.review.item);
    byId("only-this").addEventListener("change", () => this.refresh());
    byId("event-filter").addEventListener("change", () => this.refresh());
    byId("more-events").addEventListener("click", () => {
      this.limit += PAGE;
      this.refresh();
    });
  }

  /** Choose the stream whose events are listed while "This camera" is checked. */
  select(streamId) {
    if (streamId === this.streamId) return;
    this.streamId = streamId;
    if (byId("only-this").checked) this.refresh();
  }

  async refresh() {
    const turn = ++this.turn;
    const only = byId("only-this").checked && this.streamId;
    const label = byId("event-filter").value;
    const filter = (only ? `&stream_id=${this.streamId}` : "") + (label ? `&label=${label}` : "");
    const limit = Math.min(this.limit, 1000);
    const { items, next } = await get(`/events?limit=${limit}${filter}`);
    if (turn !== this.turn) return; // a later request is on its way
    const kept = new Set(items.map((item) => item.id));
    for (const [id, row] of this.rows) {
      if (!kept.has(id)) {
        if (row.url) URL.revokeObjectURL(row.url);
        this.rows.delete(id);
      }
    }
    const list = byId("events");
    const rows = items.map((item) => this.row(item));
    // Rows that stay are not put in again: that would take the focus from them.
    const isSame = rows.length === list.children.length && rows.every((row, i) => row === list.children[i]);
    if (!isSame) list.replaceChildren(...rows);
    byId("no-events").textContent = label ? "No such events." : "Nothing out of the ordinary so far.";
    byId("no-events").hidden = items.length > 0;
    byId("more-events").hidden = next === null || limit >= 1000;
  }

  row(event) {
    let row = this.rows.get(event.id);
    if (!row) {
      row = { ...makeRow(), review: new Review(this), url: null, event };
      row.item.append(row.review.item);
      row.button.addEventListener("click", () => this.open(row));
      this.rows.set(event.id, row);
      if (event.picture) this.load(row);
    }
    row.event = event;
    const isOpen = event.ended_at === null;
    row.button.classList.toggle("open", isOpen);
    row.name.textContent = event.stream_name;
    row.when.textContent = isOpen ? when(event.started_at) : `${when(event.started_at)} · ${describeDuration(event)}`;
    const cause = event.cause === "standing" ? " · stands still" : "";
    row.peak.textContent = `${isOpen ? "Now, p" : "P"}eak ${event.peak_score.toFixed(2)}${cause}`;
    row.muted.hidden = !event.muted;
    row.review.show(event);
    return row.item;
  }

  showLabel(event) {
    this.turn += 1; // an answer that is on its way doesn't have this label
    if (this.rows.has(event.id)) this.row(event);
    if (this.review.event?.id === event.id) this.review.show(event);
  }

  async load(row) {
    try {
      row.url = (await picture(row.event.picture)).url;
      row.thumb.src = row.url;
    } catch {
      row.url = null; // it may have gone with its stream; the row goes with the next turn
    }
  }

  open(row) {
    const { event } = row;
    this.onChoose(event.stream_id);
    byId("event-title").textContent = event.stream_name;
    byId("event-when").textContent = when(event.started_at);
    this.media.show(event, row.url);
    showRegion(row.url || event.media.includes("peak") ? event.region : null);
    figures(byId("event-figures"), [
      ["Lasted", event.ended_at === null ? "goes on" : describeDuration(event)],
      ["Peak", event.peak_score.toFixed(3)],
      ["Threshold", event.threshold.toFixed(3)],
      ["Frames", `${event.first_frame}–${event.last_frame}`],
    ]);
    this.review.show(event);
    byId("event-dialog").showModal();
  }
}

function makeRow() {
  const thumb = element("img", { className: "thumb", alt: "" });
  const [name, time, peak] = ["name", "when", "peak"].map((className) =>
    element("div", { className }),
  );
  const muted = element("span", {
    className: "muted-tag",
    textContent: "muted",
    title: "Nobody was notified: it came soon after another one",
  });
  const text = element("div", {}, name, time, element("div", { className: "line" }, peak, muted));
  const button = element("button", { type: "button", className: "event" }, thumb, text);
  return { item: element("li", {}, button), button, thumb, name, when: time, peak, muted };
}

function showRegion(region) {
  const box = byId("event-region");
  box.hidden = region === null;
  if (region === null) return;
  const [left, top, right, bottom] = region;
  box.style.left = `${100 * left}%`;
  box.style.top = `${100 * top}%`;
  box.style.width = `${100 * (right - left)}%`;
  box.style.height = `${100 * (bottom - top)}%`;
}

function describeDuration(event) {
  return duration(Math.max(0, (new Date(event.ended_at) - new Date(event.started_at)) / 1000));
}
