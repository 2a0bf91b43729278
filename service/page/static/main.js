// The page: asks for cameras and events every other second, and hands them to its parts.

import { get, onKeyNeeded } from "./api.js";
import { setUpDeadLetters } from "./dead_letters.js";
import { Detail } from "./detail.js";
import { askForKey, setUpAdding } from "./dialogs.js";
import { byId, element, rate } from "./dom.js";
import { Events } from "./events.js";
import { setUpReceivers } from "./receivers.js";

const REFRESH_MS = 2000;

let streams = [];
let selected = decodeURIComponent(location.hash.slice(1)) || null;
let openEvents = new Set();
let drawn = "";
let turns = 0;

const detail = new Detail({ onChange: refresh });
const events = new Events({ onChoose: select });

function select(id) {
  if (id !== selected && detail.isEdited && !confirm("What you changed isn't saved. Leave it?")) return;
  selected = id;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  render();
}

function render() {
  if (!streams.some((stream) => stream.id === selected)) selected = streams[0]?.id ?? null;
  renderList();
  byId("no-cameras").hidden = streams.length > 0;
  const live = streams.filter((stream) => stream.status.state === "live").length;
  const summary = streams.length ? `${live} of ${streams.length} live` : "";
  byId("summary").replaceChildren(summary);
  if (openEvents.size) {
    const text = openEvents.size === 1 ? "1 camera is abnormal" : `${openEvents.size} cameras are abnormal`;
    byId("summary").append(" · ", element("span", { className: "alarm", textContent: text }));
  }
  detail.show(streams.find((stream) => stream.id === selected) ?? null);
  events.select(selected);
}

function renderList() {
  const list = byId("cameras");
  const states = streams.map(({ id, name, status, armed }) => [id, name, status, armed, openEvents.has(id)]);
  const drawing = JSON.stringify([selected, states]);
  if (drawing === drawn) return; // what hasn't changed stays in place, under finger and focus
  drawn = drawing;
  const focused = document.activeElement?.dataset?.stream;
  list.replaceChildren(...streams.map((stream) => element("li", {}, cameraButton(stream))));
  if (focused) list.querySelector(`[data-stream="${CSS.escape(focused)}"]`)?.focus();
}

function cameraButton(stream) {
  const { state, reason } = stream.status;
  const live = `live · ${rate(stream.status)} frames/s${stream.armed ? "" : " · not armed"}`;
  const text = state === "live" ? live : reason ? `${state} · ${reason}` : state;
  const button = element(
    "button",
    {
      type: "button",
      className: "camera",
      dataset: { stream: stream.id },
      "aria-current": String(stream.id === selected),
    },
    element("span", { className: "dot", dataset: { state } }),
    element("span", { className: "name", textContent: stream.name }),
  );
  if (openEvents.has(stream.id)) {
    button.append(element("span", { className: "badge", textContent: "abnormal" }));
  }
  button.append(element("span", { className: "state", textContent: text, title: text }));
  button.addEventListener("click", () => select(stream.id));
  return button;
}

async function refresh() {
  const turn = ++turns;
  try {
    const [found, open] = await Promise.all([get("/streams"), get("/events?open=true&limit=1000")]);
    if (turn !== turns) return; // a later answer is on its way
    streams = found.items;
    openEvents = new Set(open.items.map((event) => event.stream_id));
    render();
    await events.refresh();
    byId("banner").hidden = true;
  } catch (error) {
    byId("banner").textContent = error instanceof TypeError
      ? "normwatch does not answer. Trying again…"
      : error.message;
    byId("banner").hidden = false;
  }
}

async function run() {
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((resolve) => { setTimeout(resolve, REFRESH_MS); });
  }
}

onKeyNeeded(askForKey);
setUpReceivers();
setUpDeadLetters({ nameOf: (id) => streams.find((stream) => stream.id === id)?.name ?? id });
setUpAdding({
  onAdded: async (stream) => {
    selected = stream.id;
    await refresh();
    select(stream.id);
  },
});
run();
