// One camera: its newest picture, its scores as they come, its figures, and what can be done. Its
// other view is where it learns.

import { change, follow, get } from "./api.js";
import { Curve } from "./curve.js";
import { byId, duration, element, figures, rate, setText, when } from "./dom.js";
import { LearnView } from "./learn_view.js";
import { PictureView } from "./picture_view.js";
import { routeTo } from "./routes.js";
import { SchedulePanel } from "./schedule.js";
import { followLog } from "./stream_log.js";
import { ThresholdPanel } from "./threshold.js";
import { pause } from "./waiting.js";
import { ZoneEditor } from "./zone_editor.js";

const RECONNECT_MS = 2000;
const HISTORY = 600;
const CAN_LEARN = new Set(["learning", "misfit"]);

export class Detail {
  constructor({ onChange, onDeleted, onRoute }) {
    this.onChange = onChange;
    this.onDeleted = onDeleted;
    this.onRoute = onRoute;
    this.stream = null;
    this.view = "watch";
    this.abort = new AbortController();
    this.curve = new Curve(byId("curve"), byId("readout"));
    byId("pause").addEventListener("click", () => this.togglePause());
    byId("delete").addEventListener("click", () => byId("delete-dialog").showModal());
    byId("delete-dialog").addEventListener("close", (event) => this.remove(event.target));
    this.picture = new PictureView();
    this.threshold = new ThresholdPanel({ onChange });
    this.schedule = new SchedulePanel({ onChange });
    this.zones = new ZoneEditor({ picture: this.picture, onChange });
    this.learn = new LearnView({ picture: this.picture, onChange });
    byId("reason-learn").addEventListener("click", () => onRoute(routeTo(this.stream.id, "learn")));
  }

  /** Is true while edits aren't saved. */
  get isEdited() {
    return this.zones.isEdited || this.schedule.isEdited;
  }

  /** Show a view of a stream, or a new state of the present one; null shows none. */
  show(stream, view) {
    const isOther = stream?.id !== this.stream?.id;
    const isTurned = view !== this.view;
    this.stream = stream;
    this.view = view;
    byId("detail").hidden = stream === null;
    byId("nothing").hidden = stream !== null;
    if (isOther) this.begin();
    if (isOther || isTurned) this.turn();
    if (stream !== null) this.render();
  }

  /** Show since when there is no news of the stream; null while there is. */
  showAge(text) {
    byId("detail").dataset.stale = String(Boolean(text));
    byId("detail-age").hidden = !text;
    setText(byId("detail-age"), text ?? "");
  }

  turn() {
    const { stream, view } = this;
    const isLearn = view === "learn" && stream !== null;
    byId("watch-view").hidden = isLearn;
    byId("learn-view").hidden = !isLearn;
    byId("detail").dataset.view = view;
    this.zones.begin(stream);
    this.learn.begin(isLearn ? stream : null);
    if (document.activeElement === byId("reason-learn")) byId("to-learn").focus();
    for (const [id, of] of [["to-watch", "watch"], ["to-learn", "learn"]]) {
      byId(id).href = stream === null ? "" : routeTo(stream.id, of);
      if (of === view) byId(id).setAttribute("aria-current", "page");
      else byId(id).removeAttribute("aria-current");
    }
  }

  begin() {
    this.abort.abort();
    this.abort = new AbortController();
    this.curve.clear();
    byId("delete-dialog").close();
    byId("detail-error").textContent = "";
    const { stream, abort } = this;
    this.schedule.begin(stream);
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
    this.renderReason();
    this.curve.setThreshold(status.threshold);
    this.picture.stream = stream;
    this.threshold.update(stream);
    this.schedule.update(stream);
    this.zones.update(stream);
    this.learn.update(stream);
    byId("curve-card").hidden = byId("threshold-card").hidden = stream.model === null;
    const dropped = Object.values(status.dropped).reduce((sum, count) => sum + count, 0);
    figures(byId("figures"), [
      ["State", status.state],
      ["Since", status.since === null ? "–" : when(status.since)],
      ["Model", stream.model ?? "none yet"],
      ["Rate", `${rate(status)} /s`],
      ["Delay", status.frame_age_s === null ? "–" : duration(Math.max(0, status.frame_age_s))],
      ["Scored", status.scored.toLocaleString()],
      ["Dropped", dropped.toLocaleString()],
    ]);
  }

  renderReason() {
    const { status, warnings = [] } = this.stream;
    const isOffered = this.view !== "learn" && CAN_LEARN.has(status.state);
    const learn = isOffered && (this.stream.learning ? "See how it learns" : "Let it learn");
    setText(byId("detail-reason"), status.reason);
    // The learn view says itself that there is no model.
    byId("reason-box").hidden = (!status.reason && !learn) || (this.view === "learn" && status.state === "learning");
    byId("reason-learn").hidden = !learn;
    setText(byId("reason-learn"), learn || "");
    byId("warnings").hidden = warnings.length === 0;
    const list = byId("warnings");
    if ([...list.children].map(({ textContent }) => textContent).join("\n") === warnings.join("\n")) return;
    list.replaceChildren(...warnings.map((textContent) => element("li", { textContent })));
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
    await this.apply(async () => {
      await change("DELETE", `/streams/${stream.id}`);
      this.onDeleted();
    });
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
