// One camera: its newest picture, its scores as they come, its figures, and what can be done.

import { change, follow, get } from "./api.js";
import { Curve } from "./curve.js";
import { byId, duration, figures, rate, when } from "./dom.js";
import { PictureView } from "./picture_view.js";
import { SchedulePanel } from "./schedule.js";
import { followLog } from "./stream_log.js";
import { ThresholdPanel } from "./threshold.js";
import { pause } from "./waiting.js";
import { ZoneEditor } from "./zone_editor.js";

const RECONNECT_MS = 2000;
const HISTORY = 600;

export class Detail {
  constructor({ onChange }) {
    this.onChange = onChange;
    this.stream = null;
    this.abort = new AbortController();
    this.curve = new Curve(byId("curve"), byId("readout"));
    byId("pause").addEventListener("click", () => this.togglePause());
    byId("delete").addEventListener("click", () => byId("delete-dialog").showModal());
    byId("delete-dialog").addEventListener("close", (event) => this.remove(event.target));
    this.picture = new PictureView();
    this.threshold = new ThresholdPanel({ onChange });
    this.schedule = new SchedulePanel({ onChange });
    this.zones = new ZoneEditor({ picture: this.picture, onChange });
  }

  /** Is true while edits aren't saved. */
  get isEdited() {
    return this.zones.isEdited || this.schedule.isEdited;
  }

  /** Show a stream, or a new state of the present one; null shows none. */
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
    byId("delete-dialog").close();
    byId("detail-error").textContent = "";
    const { stream, abort } = this;
    this.schedule.begin(stream);
    this.zones.begin(stream);
    if (stream === null) return;
    this.picture.follow(stream, abort.signal);
    this.threshold.follow(stream, abort.signal);
    this.followScores(stream.id, abort.signal);
    followLog(stream.id, abort.signal);
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
    this.curve.setThreshold(status.threshold);
    this.picture.stream = stream;
    this.threshold.update(stream);
    this.schedule.update(stream);
    this.zones.update(stream);
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

  async togglePause() {
    const { stream } = this;
    await this.apply(() => change("PATCH", `/streams/${stream.id}`, { paused: !stream.paused }));
  }

  async remove(dialog) {
    const { stream } = this;
    if (dialog.returnValue !== "delete" || stream === null) return;
    dialog.returnValue = "";
    await this.apply(() => change("DELETE", `/streams/${stream.id}`));
  }

  async apply(action) {
    byId("detail-error").textContent = "";
    try {
      await action();
    } catch (error) {
      byId("detail-error").textContent = error.message;
    } finally {
      await this.onChange();
    }
  }
}
