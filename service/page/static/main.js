// The page: asks for cameras every second and for events every other one, and hands them to its
// parts.

import { get, getDated, onKeyNeeded } from "./api.js";
import { setUpDeadLetters } from "./dead_letters.js";
import { Detail } from "./detail.js";
import { askForKey, setUpAdding } from "./dialogs.js";
import { byId, clock, element, rate, setText } from "./dom.js";
import { Events } from "./events.js";
import { Freshness } from "./freshness.js";
import { describeState } from "./learn_texts.js";
import { setUpReceivers } from "./receivers.js";
import { readRoute, routeTo } from "./routes.js";

const CAMERAS_EVERY_MS = 1000;
const EVENTS_EVERY_MS = 2000;
const AGES_EVERY_MS = 500;

let streams = null;
let route = readRoute();
let openEvents = new Set();
let drawn = "";

const turns = { cameras: 0, events: 0 };
const failures = new Map();
const freshness = new Freshness();
const detail = new Detail({ onChange: refresh, onDeleted: () => go(routeTo("")), onRoute: go });
const events = new Events({ onChoose: (id) => go(routeTo(id)) });

/** Open an address, with a step in the history. */
function go(address) {
  if (location.hash !== address) location.hash = address;
  else followRoute();
}

function followRoute() {
  const next = readRoute();
  const isLeft = next.id !== route.id || next.view !== route.view;
  if (isLeft && detail.isEdited && !confirm("What you changed isn't saved. Leave it?")) {
    history.replaceState(null, "", routeTo(route.id, route.view));
    return;
  }
  route = next;
  render();
}

function render() {
  if (streams === null) return;
  if (route.id === null && streams.length) {
    route = { ...route, id: streams[0].id };
    history.replaceState(null, "", routeTo(route.id, route.view));
  }
  const selected = streams.find((stream) => stream.id === route.id) ?? null;
  byId("no-cameras").hidden = streams.length > 0;
  setText(byId("nothing-text"), streams.length && route.id !== null
    ? "There is no such camera. It may have been deleted."
    : "Choose a camera to see its picture and its scores.");
  detail.show(selected, route.view);
  events.select(selected?.id ?? null);
  renderAges();
}

/** Draw what changes as time goes by: which cameras are fresh, and how many are live. */
function renderAges() {
  if (streams === null) return;
  renderList();
  const counts = [];
  const fresh = streams.filter(({ id }) => !freshness.findStale(id));
  const live = fresh.filter(({ status }) => status.state === "live").length;
  if (streams.length) counts.push(`${live} of ${streams.length} live`);
  const learning = fresh.filter((stream) => stream.learning).length;
  if (learning) counts.push(`${learning} learning`);
  if (fresh.length < streams.length) counts.push(`${streams.length - fresh.length} without news`);
  setText(byId("summary-counts"), counts.join(" · "));
  const alarm = openEvents.size === 1 ? "1 camera is abnormal" : `${openEvents.size} cameras are abnormal`;
  setText(byId("summary-alarm"), openEvents.size ? alarm : "");
  const { stream } = detail;
  const since = stream && freshness.findStale(stream.id);
  detail.showAge(since && `${describeSilence()} since ${clock(since)}. What you see is as of then.`);
}

function describeSilence() {
  return freshness.isAway ? "normwatch does not answer" : "No news from this camera's worker";
}

function renderList() {
  const list = byId("cameras");
  const states = streams.map((stream) => [
    stream.id, stream.name, describeCamera(stream), stream.status.state, openEvents.has(stream.id),
    Boolean(freshness.findStale(stream.id)),
  ]);
  const drawing = JSON.stringify([route.id, states]);
  if (drawing === drawn) return; // what hasn't changed stays in place, under finger and focus
  drawn = drawing;
  const focused = document.activeElement?.dataset?.stream;
  list.replaceChildren(...streams.map((stream) => element("li", {}, cameraButton(stream))));
  if (focused) list.querySelector(`[data-stream="${CSS.escape(focused)}"]`)?.focus();
}

function describeCamera(stream) {
  const { state, reason } = stream.status;
  const since = freshness.findStale(stream.id);
  if (since) return `${state} until ${clock(since)}, no news since`;
  const progress = stream.learning ? `learning: ${describeState(stream.learning)}` : "";
  const parts = [state, reason];
  if (state === "live") parts[1] = `${rate(stream.status)} frames/s`;
  if (state === "live" && !stream.armed) parts.push("not armed");
  if (state === "learning" && progress) return progress;
  return [...parts, progress].filter(Boolean).join(" · ");
}

function cameraButton(stream) {
  const text = describeCamera(stream);
  const { state } = stream.status;
  const isStale = Boolean(freshness.findStale(stream.id));
  const button = element(
    "button",
    {
      type: "button",
      className: "camera",
      dataset: { stream: stream.id, stale: String(isStale) },
      "aria-current": String(stream.id === route.id),
    },
    element("span", { className: "dot", dataset: { state } }),
    element("span", { className: "name", textContent: stream.name }),
  );
  if (openEvents.has(stream.id)) {
    button.append(element("span", { className: "badge", textContent: "abnormal" }));
  }
  button.append(element("span", { className: "state", textContent: text, title: text }));
  button.addEventListener("click", () => go(routeTo(stream.id)));
  return button;
}

/** Ask for cameras and events at once, after a change. */
async function refresh() {
  await Promise.all([refreshCameras(), refreshEvents()]);
}

async function refreshCameras() {
  const turn = ++turns.cameras;
  await attempt("cameras", async () => {
    const { body, madeAt } = await getDated("/streams");
    if (turn !== turns.cameras) return; // a later answer is on its way
    streams = body.items;
    freshness.note(streams, madeAt);
    render();
  });
}

async function refreshEvents() {
  const turn = ++turns.events;
  await attempt("events", async () => {
    const { items } = await get("/events?open=true&limit=1000");
    if (turn !== turns.events) return;
    openEvents = new Set(items.map((event) => event.stream_id));
    renderAges();
    await events.refresh();
  });
}

/** Do something; the banner says what went wrong until it works again. */
async function attempt(name, work) {
  try {
    await work();
    failures.delete(name);
  } catch (error) {
    failures.set(name, error.status === 0 ? `${error.message} Trying again…` : error.message);
  }
  const [text = ""] = failures.values();
  setText(byId("banner"), text);
  byId("banner").hidden = !text;
}

async function repeat(work, everyMs) {
  for (;;) {
    if (!document.hidden) await work();
    await new Promise((resolve) => { setTimeout(resolve, everyMs); });
  }
}

onKeyNeeded(askForKey);
setUpReceivers();
setUpDeadLetters({ nameOf: (id) => streams?.find((stream) => stream.id === id)?.name ?? id });
setUpAdding({
  onAdded: async (stream) => {
    await refresh();
    go(routeTo(stream.id, stream.model === null ? "learn" : "watch"));
  },
});
window.addEventListener("hashchange", followRoute);
document.addEventListener("visibilitychange", () => !document.hidden && refresh());
setInterval(renderAges, AGES_EVERY_MS);
repeat(refreshCameras, CAMERAS_EVERY_MS);
repeat(refreshEvents, EVENTS_EVERY_MS);
