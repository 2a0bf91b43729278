// One camera's threshold: the one in force, where it comes from, what it rests on, and its forms.

import { change, get } from "./api.js";
import { byId, duration, figures, when } from "./dom.js";
import { fieldsOf, showErrors } from "./form_errors.js";
import { pause } from "./waiting.js";

const EVERY_MS = 10_000;

export class ThresholdPanel {
  constructor({ onChange }) {
    this.onChange = onChange;
    this.stream = null;
    this.known = null;
    this.turn = 0;
    this.fields = [
      new NumberField(this, "promise", "false_alarms_per_day"),
      new NumberField(this, "threshold", "threshold"),
    ];
  }

  /** Show this stream's threshold until the signal aborts. */
  async follow(stream, signal) {
    this.stream = stream;
    this.known = null;
    this.render();
    for (const field of this.fields) field.begin(stream);
    while (!signal.aborted) {
      if (!document.hidden) await this.refresh();
      await pause(EVERY_MS, signal);
    }
  }

  /** Show the stream as it is now; another revision may have another threshold. */
  update(stream) {
    const isOther = stream.revision !== this.stream.revision;
    this.stream = stream;
    for (const field of this.fields) field.show(stream);
    if (isOther) this.refresh();
  }

  async refresh() {
    const turn = ++this.turn;
    try {
      const known = await get(`/streams/${this.stream.id}/threshold`);
      if (turn !== this.turn || known.stream_id !== this.stream.id) return;
      this.known = known;
      this.render();
    } catch {
      // the banner reports it
    }
  }

  render() {
    const { known } = this;
    byId("threshold-basis").hidden = byId("calibration").hidden = known === null;
    byId("threshold-value").textContent = known?.threshold?.toFixed(3) ?? "–";
    byId("threshold-origin").textContent = known === null ? "" : describeOrigin(known);
    if (known === null) return;
    const { calibrated, footage } = known;
    byId("promise").placeholder = String(known.false_alarms_per_day);
    byId("threshold").placeholder = known.threshold?.toFixed(3) ?? "";
    byId("threshold-reset").textContent = calibrated
      ? `Back to calibrated (${calibrated.threshold.toFixed(3)})`
      : "Back to the model's";
    figures(byId("threshold-basis"), calibrated ? listBasis(calibrated, footage) : []);
    byId("threshold-basis").hidden = calibrated === null;
    byId("footage").value = Math.min(
      footage.seconds / footage.least_seconds,
      footage.peaks / footage.least_peaks,
      1,
    );
    byId("footage").hidden = calibrated !== null;
    byId("footage-note").textContent = calibrated ? describeRenewal(known) : describeMissing(footage);
    byId("calibration").hidden = byId("footage").hidden && byId("footage-note").textContent === "";
  }

  async set(field, value) {
    await change("PATCH", `/streams/${this.stream.id}`, { [field]: value });
    await Promise.all([this.onChange(), this.refresh()]);
  }
}

/** A form with one number, which may be left out. What is typed stays until it is set. */
class NumberField {
  constructor(panel, id, field) {
    this.panel = panel;
    this.field = field;
    this.input = byId(id);
    this.form = this.input.form;
    this.reset = byId(`${id}-reset`);
    this.saved = "";
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      // What isn't a number reads as empty: it must not take back what is set.
      if (this.input.value === "") this.fail([{ field, reason: "must be a number" }]);
      else this.set(this.input.valueAsNumber);
    });
    this.reset.addEventListener("click", () => this.set(null));
  }

  begin(stream) {
    this.fail([]);
    this.put(stream[this.field]);
    this.reset.hidden = stream[this.field] === null;
  }

  show(stream) {
    const value = stream[this.field];
    const isTouched = this.input.value !== this.saved || this.input.validity.badInput;
    if (!isTouched && document.activeElement !== this.input) this.put(value);
    if (value === null && document.activeElement === this.reset) this.input.focus();
    this.reset.hidden = value === null;
  }

  put(value) {
    this.saved = this.input.value = value === null ? "" : String(value);
  }

  async set(value) {
    const { id } = this.panel.stream;
    const isCurrent = () => this.panel.stream.id === id;
    this.fail([]);
    try {
      await this.panel.set(this.field, value);
      if (isCurrent()) this.put(value);
    } catch (error) {
      if (isCurrent()) this.fail(fieldsOf(error));
    }
  }

  fail(fields) {
    showErrors(this.form, fields);
    this.input.setAttribute("aria-invalid", String(fields.length > 0));
  }
}

function describeOrigin({ origin, threshold, calibrated }) {
  if (origin === "stream") return "fixed for this camera";
  if (origin === "calibrated") {
    return `calibrated from its own footage for ${formatAlarms(calibrated.false_alarms_per_day)} a day`;
  }
  if (threshold === null) return "none: its model has none, and no events are made";
  return "the model’s own, until there is enough normal footage";
}

function listBasis(found, footage) {
  return [
    ["Calibrated", found.threshold.toFixed(3)],
    ["95 % interval", `${found.low.toFixed(3)} to ${found.high.toFixed(3)}`],
    ["Rests on", `${duration(found.footage_s)}, ${formatCount(found.peaks, "peak")}`],
    ["Highest in it", found.highest.toFixed(3)],
    ["At hand by now", duration(footage.seconds)],
    ["Made", when(found.made_at)],
  ];
}

function describeMissing({ seconds, peaks, least_seconds: leastSeconds, least_peaks: leastPeaks }) {
  const missing = [];
  if (seconds < leastSeconds) missing.push(duration(leastSeconds - seconds));
  if (peaks < leastPeaks) missing.push(formatCount(leastPeaks - peaks, "peak"));
  if (seconds === 0) {
    return `No normal footage yet: ${missing.join(" with ")} of the score are needed to calibrate it.`;
  }
  const has = `${duration(seconds)} of normal footage with ${formatCount(peaks, "peak")} of the score so far.`;
  return missing.length
    ? `${has} ${missing.join(" and ")} more until it is calibrated.`
    : `${has} That is enough: it will be calibrated within a minute or so.`;
}

function describeRenewal({ calibrated, false_alarms_per_day: allowed }) {
  if (calibrated.false_alarms_per_day === allowed) return "";
  return `It will be calibrated again for ${formatAlarms(allowed)} a day within a minute or so.`;
}

function formatAlarms(count) {
  return formatCount(count, "false alarm");
}

function formatCount(count, noun) {
  return `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;
}
