// Hours of some days of the week, as the API has them: as text, and as a row of a form.

import { element } from "./dom.js";

const DAYS = [
  ["mon", "Monday"], ["tue", "Tuesday"], ["wed", "Wednesday"], ["thu", "Thursday"],
  ["fri", "Friday"], ["sat", "Saturday"], ["sun", "Sunday"],
];
const MIDNIGHT = "00:00";
const DAYS_END = "24:00"; // inputs of times can't show it

let rowsMade = 0;

export function newHours() {
  return { days: ["mon", "tue", "wed", "thu", "fri"], from: "18:00", to: "07:00" };
}

export function hoursText({ days, from, to }) {
  return `${daysText(days)} ${timesText(from, to)}`;
}

/** Make a row of a form; `number(place)` sets its place among others. */
export function hoursRow(hours, onRemove) {
  rowsMade += 1;
  const input = (name, value) => {
    const made = element("input", { type: "time", value: value === DAYS_END ? MIDNIGHT : value });
    made.dataset.part = name;
    return made;
  };
  const [from, to] = [input("from", hours.from), input("to", hours.to)];
  const note = element("span", { className: "muted", id: `hours-note-${rowsMade}` });
  to.setAttribute("aria-describedby", note.id);
  const legend = element("legend");
  const remove = element("button", { type: "button", textContent: "Remove" });
  remove.addEventListener("click", onRemove);
  const error = element("p", { className: "error", role: "alert" });
  const row = element(
    "fieldset",
    { className: "hours" },
    legend,
    element("div", { className: "days" }, ...DAYS.map((day) => dayBox(day, hours.days))),
    element(
      "div",
      { className: "times" },
      element("label", {}, "From ", from),
      element("label", {}, "to ", to),
      note,
      remove,
    ),
    error,
  );
  row.number = (place) => {
    legend.textContent = `Hours ${place + 1}`;
    remove.setAttribute("aria-label", `Remove hours ${place + 1}`);
    error.dataset.field = `schedule.hours[${place}]`;
  };
  const explain = () => {
    const { from: since, to: until } = readHours(row);
    note.textContent = until === DAYS_END || until > since ? "" : "the next day";
    if (until === DAYS_END) note.textContent = since === MIDNIGHT ? "all day" : "midnight";
  };
  row.addEventListener("input", explain);
  explain();
  return row;
}

/** Read the hours of a row. */
export function readHours(row) {
  const part = (name) => row.querySelector(`[data-part=${name}]`).value;
  const to = part("to");
  return {
    days: [...row.querySelectorAll(".days :checked")].map(({ value }) => value),
    from: part("from"),
    to: to === MIDNIGHT ? DAYS_END : to,
  };
}

function dayBox([value, name], chosen) {
  const box = element("input", { type: "checkbox", value, checked: chosen.includes(value) });
  box.setAttribute("aria-label", name);
  return element("label", { title: name }, box, element("span", { textContent: name.slice(0, 2) }));
}

function daysText(days) {
  if (days.length === DAYS.length) return "Every day";
  const places = DAYS.map(([day]) => days.includes(day));
  const parts = [];
  for (let place = 0; place < DAYS.length; place += 1) {
    if (!places[place]) continue;
    let last = place;
    while (places[last + 1]) last += 1;
    const [first, end] = [DAYS[place][1].slice(0, 3), DAYS[last][1].slice(0, 3)];
    const isLong = last - place > 1;
    if (isLong) parts.push(`${first}–${end}`);
    else parts.push(...DAYS.slice(place, last + 1).map(([, name]) => name.slice(0, 3)));
    place = last;
  }
  return parts.join(", ");
}

function timesText(from, to) {
  if (from === MIDNIGHT && to === DAYS_END) return "all day";
  if (to === DAYS_END || to === MIDNIGHT) return `${from} to midnight`;
  return to > from ? `${from} to ${to}` : `${from} to ${to} the next day`;
}
