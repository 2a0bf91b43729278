// Words for learnings: states, footage, and what the check found, as an owner understands them.

import { duration } from "./dom.js";

const SECONDS_A_DAY = 86_400;
const TITLES = {
  waiting: "Waiting for a learner",
  collecting: "Collecting normal footage",
  queued: "Waiting for another training to end",
  training: "Training",
  checking: "Checking what it would find and miss",
  ready: "Trained and checked",
  rejected: "Not put live",
  failed: "Learning failed",
  cancelled: "Cancelled",
};
const MEASURED = new Set(["collecting", "training", "checking"]);
const SHORT = { waiting: "waiting", collecting: "collecting footage", ready: "ready" };
const SKIPPED = {
  dead: "no picture, or a frozen one",
  covered: "the camera was covered or turned",
  light: "the light changed",
  unusual: "unlike the rest",
};
const KINDS = {
  stranger: "Somebody never seen here",
  reversed: "Movement backwards",
  accelerated: "Movement too fast",
  stopped: "Something stops on its way",
  resized: "Something too large or too small",
  lying: "Somebody falls and stays down",
  smoke: "Smoke or water",
};
/** The steps that an owner sees, and the states in each. */
export const STEPS = [
  ["Collect", ["waiting", "collecting"]],
  ["Train", ["queued", "training"]],
  ["Check", ["checking"]],
  ["Put live", ["ready"]],
];

export function isUnderWay(learning) {
  return learning.finished_at === null;
}

/** A few words for the list of cameras. */
export function describeState({ state, progress }) {
  const name = SHORT[state] ?? state;
  return MEASURED.has(state) ? `${name}, ${percent(progress)}` : name;
}

export function titleOf({ state, is_in_use: isInUse, finished_at: finishedAt }) {
  if (isInUse) return "In use";
  if (state === "live") return "Was in use";
  if (state === "ready" && finishedAt) return "Ready to be put live";
  return TITLES[state] ?? state;
}

/** Is true in states that have progress. */
export function isMeasured({ state }) {
  return MEASURED.has(state);
}

/** Progress and time left of the present step. */
export function describeLeft({ progress, remaining_s: remaining }) {
  if (remaining === null) return percent(progress);
  return `${percent(progress)} · about ${roughly(remaining)} left`;
}

export function listFootage(footage, wanted) {
  const left = Math.max(0, footage.seconds - footage.used_s);
  const collected = wanted ? `${duration(footage.seconds)} of ${duration(wanted)}` : duration(footage.seconds);
  if (!footage.advice) return [["Collected", collected]]; // nobody has judged it yet
  return [
    ["Collected", collected],
    ["Something moved", `${percent(footage.moving_share)} of it`],
    ["Usable", duration(footage.used_s)],
    ["Left out", left ? duration(left) : "nothing"],
  ];
}

/** A line for each stretch that isn't learned. */
export function listSkipped(footage) {
  return footage.left_out.map(({ start_s: start, end_s: end, reason }) =>
    `${duration(start)} to ${duration(end)}: ${SKIPPED[reason] ?? reason}`);
}

/** What the model would find of what was staged. */
export function describeFound({ found, scenes, delay_s: delay }) {
  if (!scenes) return "No anomalies could be made up.";
  const after = found && delay !== null ? `, typically after ${duration(delay)}` : "";
  return `It would find ${found} of ${scenes} made-up anomalies${after}.`;
}

/** How many false alarms there were, and what that can promise. */
export function describeFalse({ false_events: events, normal_s: seconds, false_events_per_day_high: high }) {
  const count = events === 0 ? "No false alarm" : `${events} false alarm${events === 1 ? "" : "s"}`;
  const text = `${count} in ${duration(seconds)} of normal footage`;
  const most = Math.ceil(high).toLocaleString();
  if (seconds < SECONDS_A_DAY) return `${text}, which is too short to promise fewer than ${most} a day.`;
  return `${text}: at most ${most} a day.`;
}

/** Rows of a comparison: name, share (0 to 1; null: unknown), and a remark. */
export function listAucs(check) {
  const { auc, auc_low: low, auc_high: high, current_auc: current } = check;
  return [
    ["This model", auc, `${percent(auc)} (${percent(low)} to ${percent(high)})`],
    ...(current === null ? [] : [["The model before it", current, percent(current)]]),
    ["Difference between pictures", check.frame_difference_auc, percent(check.frame_difference_auc)],
    ["Guessing", 0.5, "50 %"],
  ];
}

export function listKinds(check) {
  return check.kinds.map(({ kind, found, scenes }) =>
    `${nameKind(kind)}: ${found} of ${scenes} found`);
}

/** Make a caption of the name of a report's picture, such as `stranger-found.jpg`. */
export function captionOf(name) {
  const [, subject, what] = /^(.*?)(?:-(found|missed|\d+))?\.\w+$/.exec(name) ?? [null, name];
  if (subject === "learned") return "What was learned: red is where something moved most";
  if (subject === "normal") return "A normal moment that scored high";
  return what ? `${nameKind(subject)}: ${what}` : nameKind(subject);
}

/** Sort names of pictures: what was learned, what was found, what was missed, the rest. */
export function sortPictures(names) {
  const rank = (name) => ["learned", "-found.", "-missed."].findIndex((part) => name.includes(part));
  const place = (name) => (rank(name) < 0 ? 3 : rank(name));
  return [...names].sort((one, other) => place(one) - place(other));
}

function nameKind(kind) {
  return KINDS[kind] ?? capitalise(kind.replaceAll(/[_-]+/g, " "));
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** Begin a text of the service with a capital. */
export function capitalise(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function roughly(seconds) {
  if (seconds < 90) return `${Math.max(5, 5 * Math.ceil(seconds / 5))} s`;
  return duration(60 * Math.round(seconds / 60));
}
