// The dialog of webhooks and their like: who is told, whether it works, dead letters to send again.

import { change, get } from "./api.js";
import { byId, element, when } from "./dom.js";
import { resetWebhookForm, setUpWebhookForm } from "./webhook_form.js";

const MOST_COUNTED = 1000;

export function setUpWebhooks() {
  const dialog = byId("webhooks-dialog");
  byId("show-webhooks").addEventListener("click", () => {
    resetWebhookForm();
    dialog.showModal();
    show();
  });
  setUpWebhookForm({ onAdded: show });
}

async function show() {
  const list = byId("webhooks");
  byId("webhooks-error").textContent = "";
  try {
    const { items } = await get("/webhooks");
    const dead = await Promise.all(items.map(deadLetters));
    list.replaceChildren(...items.map((webhook, place) => entry(webhook, dead[place])));
    byId("no-webhooks").hidden = items.length > 0;
  } catch (error) {
    byId("webhooks-error").textContent = error.message;
  }
}

async function deadLetters({ id }) {
  const { items } = await get(`/webhooks/${id}/deliveries?state=dead&limit=${MOST_COUNTED}`);
  return items.length;
}

function entry(webhook, dead) {
  const path = `/webhooks/${webhook.id}`;
  const result = element("output", { className: "result" });
  const buttons = element("div", { className: "buttons" });
  const add = (text, work) => buttons.append(button(text, result, work));
  add("Test", async () => told(await change("POST", `${path}/test`)));
  if (!webhook.enabled) {
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
    const name = webhook.name || webhook.url;
    if (!window.confirm(`Tell ${name} no more? What waits for it goes too.`)) return;
    await change("DELETE", path);
    await show();
  });
  return element(
    "li",
    {},
    element("span", { className: "name", textContent: webhook.name || webhook.url }),
    element("span", { className: "muted", textContent: webhook.name ? webhook.url : "" }),
    element("span", { className: webhook.enabled ? "muted" : "error", textContent: state(webhook, dead) }),
    buttons,
    result,
  );
}

function state({ enabled, disabled_reason: reason, held_until: held }, dead) {
  const parts = [enabled ? "on" : `off: ${reason}`];
  if (enabled && held) parts.push(`its receiver wants nothing before ${when(held)}`);
  if (dead) parts.push(`${dead} not delivered`);
  return parts.join(" · ");
}

function told({ accepted, status, took_s: took, answer, error }) {
  if (accepted) return `Taken${status ? `: ${status}` : ""} after ${took.toFixed(2)} s`;
  return [error, answer].filter(Boolean).join(": ");
}

function button(text, result, work) {
  const made = element("button", { type: "button", textContent: text });
  made.addEventListener("click", async () => {
    made.disabled = true; // its receiver may take some seconds
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
