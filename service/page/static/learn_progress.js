// A learning under way: its step, progress, footage, and what can be done.

import { byId, duration, element, figures, setText } from "./dom.js";
import { STEPS, capitalise, describeLeft, isMeasured, listFootage, listSkipped, titleOf } from "./learn_texts.js";

const LEAST_S = 16;
const LEAST_FRAMES = 60;

/** Show a learning. */
export function showProgress(learning) {
  const { state, footage, reason } = learning;
  setText(byId("learn-title"), titleOf(learning));
  setText(byId("learn-left"), isMeasured(learning) ? describeLeft(learning) : "");
  showSteps(state);
  byId("learn-progress").hidden = !isMeasured(learning);
  byId("learn-progress").value = learning.progress;
  const advice = state === "collecting" ? (footage?.advice ?? "") : "";
  setText(byId("learn-reason"), reason === advice ? "" : capitalise(reason));
  byId("learn-reason").hidden = !byId("learn-reason").textContent;
  setText(byId("learn-advice"), capitalise(advice));
  byId("learn-advice").hidden = !advice;
  byId("learn-advice").dataset.enough = String(footage?.is_enough ?? false);
  byId("learn-figures").hidden = !footage;
  if (footage) figures(byId("learn-figures"), listFootage(footage, learning.request.seconds));
  showSkipped(footage);
  figures(byId("learn-details").querySelector("dl"), listDetails(learning));
  byId("learn-train").hidden = state !== "collecting" || learning.request.train_anyway || !isTrainable(learning);
}

/** Whether there is enough footage to train on now: the service refuses less. */
function isTrainable({ footage, request }) {
  return request.sources?.length > 0 || (footage?.seconds ?? 0) >= Math.max(LEAST_S, LEAST_FRAMES / request.fps);
}

function showSteps(state) {
  const current = STEPS.findIndex(([, states]) => states.includes(state));
  const list = byId("learn-steps");
  if (!list.children.length) {
    list.append(...STEPS.map(([textContent]) => element("li", { textContent })));
  }
  [...list.children].forEach((item, place) => {
    item.dataset.done = String(place < current);
    if (place === current) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  });
}

function showSkipped(footage) {
  const place = byId("learn-left-out");
  const lines = footage ? listSkipped(footage) : [];
  place.hidden = lines.length === 0;
  setText(place.querySelector("summary"), `What was left out, and why (${lines.length})`);
  place.querySelector("ul").replaceChildren(...lines.map((textContent) => element("li", { textContent })));
}

function listDetails({ loss, request, learner }) {
  return [
    ["Loss", loss === null ? "–" : loss.toPrecision(3)],
    ["Model", request.preset],
    ["Frames a second", String(request.fps)],
    ["Asked for", duration(request.seconds)],
    ["Learner", learner || "–"],
  ];
}
