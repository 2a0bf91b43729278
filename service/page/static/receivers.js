// The dialog of receivers: who is notified, whether it works, and dead letters to send again.

import { change, get } from "./api.js";
import { byId, element, when } from "./dom.js";
import { resetReceiverForm, setUpReceiverForm } from "./receiver_form.js";

const MOST_COUNTED = 1000;

export function setUpReceivers() {
  const dialog = byId("receivers-dialog");
  byId("show-receivers").addEventListener("click", () => {
    resetReceiverForm();
    dialog.showModal();
    show();
  });
  setUpReceiverForm({ onAdded: show });
}

async function show() {
  const list = byId("receivers");
  byId("receivers-error").textContent = "";
  try {
    const { items } = await get("/receivers");
    const dead = await Promise.all(items.map(countDead));
    list.replaceChildren(...items.map((receiver, place) => makeEntry(receiver, dead[place])));
    byId("no-receivers").hidden = items.length > 0;
  } catch (error) {
    byId("receivers-error").textContent = error.message;
  }
}

async function countDead({ id }) {
  const { items } = await get(`/receivers/${id}/deliveries?state=dead&limit=${MOST_COUNTED}`);
  return items.length;
}

function makeEntry(receiver, dead) {
  const path = `/receivers/${receiver.id}`;
  const result = element("output", { className: "result" });
  const buttons = element("div", { className: "buttons" });
  const add = (text, work) => buttons.append(makeButton(text, result, work));
  add("Test", async () => describeResult(await change("POST", `${path}/test`)));
  if (!receiver.enabled) {
    add("Switch on", async () => {
      await change("PATCH", path, { enabled: true });
      await show();
    });
  } else if (dead) {
    add(`Send ${dead}${dead === MOST_COUNTED ? " and more" : ""} again`, async () => {
      await change("POST", `${path}/replay`);
      await show();
    });
  }
  add("Remove", async () => {
    const name = receiver.name || receiver.url;
    if (!window.confirm(`Stop notifying ${name}? Messages that wait for it are deleted.`)) return;
    await change("DELETE", path);
    await show();
  });
  return element(
    "li",
    {},
    element("span", { className: "name", textContent: receiver.name || receiver.url }),
    element("span", { className: "muted", textContent: receiver.name ? receiver.url : "" }),
    element("span", { className: receiver.enabled ? "muted" : "error", textContent: describeState(receiver, dead) }),
    buttons,
    result,
  );
}

function describeState({ enabled, disabled_reason: reason, held_until: held }, dead) {
  const parts = [enabled ? "on" : `off: ${reason}`];
  if (enabled && held) parts.push(`it asked to get nothing before ${when(held)}`);
  if (dead) parts.push(`${dead} not delivered`);
  return parts.join(" · ");
}

function describeResult({ accepted, status, took_s: took, answer, error }) {
  if (accepted) return `Accepted${status ? `: ${status}` : ""} after ${took.toFixed(2)} s`;
  return [error, answer].filter(Boolean).join(": ");
}

function makeButton(text, result, work) {
  const made = element("button", { type: "button", textContent: text });
  made.addEventListener("click", async () => {
    made.disabled = true; // the receiver may take some seconds
    result.textContent = "";
    try {
      result.textContent = (await work()) ?? "";
    } catch (error) {
      result.textContent = error.message;
    } finally {
      made.disabled = false;
    }
  });
  return made;
}
