// Small helpers for the page. Text from the service only ever becomes text, never markup.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(made.dataset, value);
    else if (name.startsWith("aria-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Set a text only if it is another one, so that screen readers don't read it again. */
export function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

const timeFormat = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function clock(iso) {
  return timeFormat.format(new Date(iso));
}

export function when(iso) {
  const moment = new Date(iso);
  const isToday = moment.toDateString() === new Date().toDateString();
  return (isToday ? timeFormat : dayFormat).format(moment);
}

export function duration(seconds) {
  if (seconds < 59.5) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

// Frames scored a second, and the target where there is no time for all of them.
export function rate({ fps, target_fps: target, degraded }) {
  const text = fps.toFixed(1);
  return degraded && target && Number(text) < target ? `${text} of ${target}` : text;
}

export function figures(list, entries) {
  list.replaceChildren(
    ...entries.map(([name, value]) =>
      element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })),
    ),
  );
}

/** Draw again, and give the focus back to the element with the same data-focus. */
export function keepingFocus(container, draw) {
  const { activeElement } = document;
  const focused = container.contains(activeElement) ? activeElement.dataset.focus : null;
  draw();
  if (!focused) return;
  container.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
