// The form that starts a learning.

import { change } from "./api.js";
import { byId } from "./dom.js";
import { fieldsOf, showErrors } from "./form_errors.js";

export class LearnForm {
  constructor({ onStarted, onBack }) {
    this.stream = null;
    this.form = byId("learn-form");
    byId("learn-back").addEventListener("click", onBack);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start(onStarted);
    });
  }

  begin(stream) {
    this.stream = stream;
    this.form.reset();
    showErrors(this.form, []);
    byId("learn-uploads").hidden = stream.source !== "upload";
    byId("learn-more").open = stream.source === "upload"; // such a camera learns from videos
  }

  /** Show the form or hide it; `canGoBack` where there is something to go back to. */
  show(isShown, canGoBack) {
    this.form.hidden = !isShown;
    byId("learn-back").hidden = !canGoBack;
  }

  async start(onStarted) {
    const button = this.form.querySelector("[type=submit]");
    const { id } = this.stream;
    const isCurrent = () => this.stream.id === id;
    button.disabled = true;
    showErrors(this.form, []);
    try {
      const learning = await change("POST", `/streams/${id}/learn`, this.read());
      if (isCurrent()) await onStarted(learning);
    } catch (error) {
      if (!isCurrent()) return;
      const fields = fieldsOf(error).map(nameLine);
      if (fields.some(({ field }) => /^(preset|sources)/.test(field))) byId("learn-more").open = true;
      showErrors(this.form, fields);
    } finally {
      button.disabled = false;
    }
  }

  read() {
    const { seconds, preset, sources, activate } = this.form.elements;
    const videos = sources.value.split("\n").map((line) => line.trim()).filter(Boolean);
    return {
      seconds: Number(seconds.value),
      preset: preset.value,
      sources: videos.length ? videos : null,
      activate: activate.value,
    };
  }
}

/** Name the line of a video instead of its place in the list. */
function nameLine({ field, reason }) {
  const [, place] = /^sources\[(\d+)\]/.exec(field) ?? [];
  return place === undefined ? { field, reason } : { field: "sources", reason: `line ${Number(place) + 1}: ${reason}` };
}
