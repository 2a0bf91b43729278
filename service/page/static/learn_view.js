// A camera's learn view: the learning under way, the report of a finished one, or the form that
// starts one; and all learnings so far. What is under way comes with the stream every second; the
// list is asked for when that changes.

import { change, get } from "./api.js";
import { byId, setText } from "./dom.js";
import { LearnForm } from "./learn_form.js";
import { showProgress } from "./learn_progress.js";
import { LearnReport } from "./learn_report.js";
import { isUnderWay } from "./learn_texts.js";
import { showVersions } from "./learn_versions.js";
import { MovedMap } from "./moved_map.js";

export class LearnView {
  constructor({ picture, onChange }) {
    this.onChange = onChange;
    this.stream = null;
    this.learnings = null; // until they are known
    this.chosen = null; // the id of the learning whose report is asked for
    this.isFormOpen = false;
    this.listed = ""; // what the list was asked for
    this.isFocusDue = false;
    this.turn = 0;
    this.map = new MovedMap({ picture });
    this.report = new LearnReport();
    this.form = new LearnForm({
      onStarted: () => this.reload({ isFormOpen: false, chosen: null }),
      onBack: () => this.set({ isFormOpen: false }),
    });
    byId("done-again").addEventListener("click", () => {
      this.set({ isFormOpen: true });
      byId("learn-form").querySelector(":checked").focus();
    });
    byId("learn-train").addEventListener("click", () => this.act("train", this.current));
    byId("learn-cancel").addEventListener("click", () => this.cancel());
    byId("done-activate").addEventListener("click", () => this.act("activate", this.displayed));
  }

  /** Show a stream's learnings; null: the view is closed. */
  begin(stream) {
    this.turn += 1;
    this.stream = stream;
    this.learnings = null;
    this.chosen = null;
    this.isFormOpen = false;
    this.listed = "";
    this.fail("");
    this.report.clear();
    this.map.show([]);
    if (stream !== null) this.form.begin(stream);
  }

  /** Show a new state of the stream. */
  update(stream) {
    if (this.stream === null) return;
    this.stream = stream;
    const { learning, model } = stream;
    const key = JSON.stringify([learning?.id, learning?.state, model, stream.revision]);
    if (key !== this.listed) this.list(key);
    this.render();
  }

  /** The learning under way; null: there is none. */
  get current() {
    return this.stream?.learning ?? null;
  }

  /** The finished learning whose report is displayed. */
  get displayed() {
    const finished = (this.learnings ?? []).filter((learning) => !isUnderWay(learning));
    return finished.find(({ id }) => id === this.chosen) ?? finished[0] ?? null;
  }

  async list(key) {
    const turn = ++this.turn;
    this.listed = key;
    try {
      const { items } = await get(`/streams/${this.stream.id}/learnings`);
      if (turn !== this.turn) return;
      this.learnings = items;
      this.render();
      this.keepFocus();
    } catch (error) {
      if (turn !== this.turn) return;
      this.listed = ""; // asked for again with the next state of the stream
      if (error.status !== 0) this.fail(error.message); // the banner reports 0
    }
  }

  /** Where a button was pressed that is gone now, go to the title of what took its place. */
  keepFocus() {
    const { activeElement } = document;
    const isLost = activeElement === document.body || !activeElement.checkVisibility();
    const title = ["learn-title", "done-title"].map(byId).find((place) => place.checkVisibility());
    if (this.isFocusDue && isLost) title?.focus({ preventScroll: true });
    this.isFocusDue = false;
  }

  set(changes) {
    Object.assign(this, changes);
    this.render();
  }

  render() {
    if (this.stream === null || this.learnings === null) return;
    const { current, displayed } = this;
    const isReport = displayed !== null && !this.isFormOpen && (current === null || this.chosen !== null);
    byId("learn-now").hidden = current === null;
    byId("learn-done").hidden = !isReport;
    this.form.show(current === null && !isReport, displayed !== null);
    if (current !== null) showProgress(current);
    if (isReport) this.report.show(displayed);
    this.map.show((current ?? displayed)?.footage?.covered ?? []);
    byId("done-again").hidden = current !== null;
    showVersions(this.learnings.filter((learning) => !isUnderWay(learning)), isReport ? displayed.id : null, {
      report: ({ id }) => {
        this.set({ chosen: id, isFormOpen: false });
        byId("learn-done").scrollIntoView({ block: "start" });
      },
      use: (learning) => this.act("activate", learning),
      remove: (learning) => this.remove(learning),
    });
  }

  async cancel() {
    const { current } = this;
    const text = "What was collected is deleted. The camera goes on as before.";
    if (await ask("Cancel this learning?", text, "Cancel the learning")) await this.act("cancel", current);
  }

  async remove({ model }) {
    const text = `The model ${model} is deleted for good. Its learning stays in the list.`;
    if (!(await ask("Delete this model?", text, "Delete"))) return;
    await this.run(() => change("DELETE", `/models/${encodeURIComponent(model)}`));
  }

  async act(action, learning) {
    await this.run(() => change("POST", `/learnings/${learning.id}/${action}`));
  }

  async run(work) {
    const { stream } = this;
    this.fail("");
    try {
      await work();
      if (stream.id === this.stream?.id) await this.reload({});
    } catch (error) {
      if (stream.id === this.stream?.id) this.fail(error.message);
    }
  }

  async reload(changes) {
    Object.assign(this, changes);
    this.listed = "";
    this.isFocusDue = true;
    await this.onChange();
  }

  fail(message) {
    setText(byId("learn-error"), message);
  }
}

/** Ask a question; resolves with whether the answer is yes. */
function ask(title, text, yes) {
  const dialog = byId("learn-dialog");
  byId("learn-dialog-title").textContent = title;
  byId("learn-dialog-text").textContent = text;
  dialog.querySelector("[value=yes]").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
