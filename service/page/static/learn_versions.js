// The list of a camera's learnings: which model is in use, going back to one, deleting one.

import { byId, element, keepingFocus, when } from "./dom.js";
import { capitalise, titleOf } from "./learn_texts.js";

/**
 * List these learnings, the newest first. `shown` is the id of the one whose report is displayed;
 * `on` has a function for each button: `report`, `use` and `remove`.
 */
export function showVersions(learnings, shown, on) {
  byId("learn-versions").hidden = learnings.length === 0;
  const list = byId("versions");
  const drawing = JSON.stringify([shown, learnings.map(listParts)]);
  if (list.dataset.drawn === drawing) return;
  list.dataset.drawn = drawing;
  keepingFocus(list, () => list.replaceChildren(...learnings.map((learning) => makeEntry(learning, shown, on))));
}

function listParts({ id, state, model, check, reason, is_in_use: isInUse }) {
  return [id, state, model, check?.verdict, reason, isInUse];
}

function makeEntry(learning, shown, on) {
  const { id, model, check, is_in_use: isInUse } = learning;
  const name = when(learning.finished_at ?? learning.created_at);
  const buttons = element("div", { className: "buttons" });
  const add = (text, label, work, className = "") => {
    const button = element("button", {
      type: "button",
      className: `small ${className}`,
      textContent: text,
      "aria-label": `${text}: ${label}`,
      dataset: { focus: `${text} ${id}` },
    });
    button.addEventListener("click", () => work(learning));
    buttons.append(button);
  };
  if (check && id !== shown) add("Show report", name, on.report);
  if (model && !isInUse) {
    add("Use this one", name, on.use);
    add("Delete", name, on.remove, "danger");
  }
  const head = element(
    "p",
    {},
    element("time", { dateTime: learning.finished_at ?? learning.created_at, textContent: name }),
  );
  if (isInUse) head.append(element("span", { className: "pill", textContent: "in use", dataset: { passed: "true" } }));
  else head.append(element("span", { className: "muted", textContent: titleOf(learning) }));
  const text = capitalise(check?.verdict || learning.reason);
  return element("li", {}, head, element("p", { className: "muted", textContent: text }), buttons);
}
