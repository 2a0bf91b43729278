// A camera's armed hours: displayed and edited.

import { change } from "./api.js";
import { byId, element } from "./dom.js";
import { fieldsOf, showErrors } from "./form_errors.js";
import { hoursRow, hoursText, newHours, readHours } from "./hours.js";

const MOST_HOURS = 50;

export class SchedulePanel {
  constructor({ onChange }) {
    this.onChange = onChange;
    this.stream = null;
    this.form = byId("schedule-form");
    this.rows = byId("schedule-rows");
    this.opened = "";
    byId("schedule-edit").addEventListener("click", () => this.open());
    byId("schedule-cancel").addEventListener("click", () => this.close());
    byId("schedule-add").addEventListener("click", () => this.add(newHours()));
    this.form.addEventListener("change", () => this.showFields());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
  }

  get isEdited() {
    return !this.form.hidden && JSON.stringify(this.readForm()) !== this.opened;
  }

  begin(stream) {
    this.stream = stream;
    this.hide();
  }

  update(stream) {
    this.stream = stream;
    const { schedule, armed } = stream;
    byId("armed").textContent = armed ? "armed now" : "not armed now";
    byId("armed").dataset.armed = String(armed);
    const texts = schedule ? schedule.hours.map(hoursText) : ["Always"];
    byId("schedule-hours").replaceChildren(...texts.map((textContent) => element("li", { textContent })));
    byId("schedule-zone").textContent = schedule
      ? `${schedule.timezone} · outside these hours scores are kept, and no events are made`
      : "";
  }

  open() {
    const { schedule } = this.stream;
    offerZones();
    this.form.elements.timezone.value = schedule?.timezone ?? ownZone();
    this.form.elements.armed.value = schedule ? "hours" : "always";
    this.rows.replaceChildren();
    for (const hours of schedule?.hours ?? [newHours()]) this.add(hours);
    showErrors(this.form, []);
    this.showFields();
    this.opened = JSON.stringify(this.readForm());
    this.form.hidden = false;
    byId("schedule-shown").hidden = true;
    this.form.querySelector("[name=armed]:checked").focus();
  }

  close() {
    this.hide();
    byId("schedule-edit").focus();
  }

  hide() {
    this.form.hidden = true;
    byId("schedule-shown").hidden = false;
  }

  add(hours) {
    const row = hoursRow(hours, () => {
      row.remove();
      this.number();
      byId("schedule-add").focus();
    });
    this.rows.append(row);
    this.number();
    if (!this.form.hidden) row.querySelector("input").focus();
  }

  number() {
    [...this.rows.children].forEach((row, place) => row.number(place));
    byId("schedule-add").disabled = this.rows.children.length >= MOST_HOURS;
  }

  showFields() {
    byId("schedule-fields").hidden = this.form.elements.armed.value === "always";
  }

  readForm() {
    const { armed, timezone } = this.form.elements;
    if (armed.value === "always") return null;
    return { timezone: timezone.value.trim(), hours: [...this.rows.children].map(readHours) };
  }

  async save() {
    const button = this.form.querySelector("[type=submit]");
    button.disabled = true;
    showErrors(this.form, []);
    const { id } = this.stream;
    const isCurrent = () => this.stream?.id === id;
    try {
      await change("PATCH", `/streams/${id}`, { schedule: this.readForm() });
      if (isCurrent()) this.close();
      await this.onChange();
    } catch (error) {
      if (isCurrent()) showErrors(this.form, fieldsOf(error));
    } finally {
      button.disabled = false;
    }
  }
}

function ownZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
}

function offerZones() {
  const list = byId("time-zones");
  if (list.children.length) return;
  const names = new Set(["UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])]);
  list.replaceChildren(...[...names].map((value) => element("option", { value })));
}
