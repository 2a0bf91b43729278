// Messages that couldn't be delivered, in the dialog of webhooks: what they tell of, why not, and
// one by one sent again.

import { change, get } from "./api.js";
import { byId, element, keepingFocus, when } from "./dom.js";

const EVERY_MS = 3000;
const SHOWN = 20; // of a webhook, the newest

/** `nameOf` gives the name of a camera. */
export function setUpDeadLetters({ nameOf }) {
  const dialog = byId("webhooks-dialog");
  byId("show-webhooks").addEventListener("click", async () => {
    byId("dead-letters").hidden = true;
    while (dialog.open) {
      await show(nameOf);
      await new Promise((resolve) => { setTimeout(resolve, EVERY_MS); });
    }
  });
}

async function show(nameOf) {
  try {
    const { items: webhooks } = await get("/webhooks");
    const found = await Promise.all(webhooks.map(deadOf));
    const entries = webhooks.flatMap((webhook, place) =>
      found[place].items.map((letter) => entry(webhook, letter, nameOf)),
    );
    byId("dead-more").hidden = found.every(({ next }) => next === null);
    byId("dead-letters").hidden = entries.length === 0;
    keepingFocus(byId("dead-list"), () => byId("dead-list").replaceChildren(...entries));
    byId("dead-error").textContent = "";
  } catch (error) {
    byId("dead-error").textContent = error.message;
  }
}

function entry(webhook, letter, nameOf) {
  const { id, event_type: type, stream_id: streamId, created_at: made } = letter;
  const button = element("button", {
    type: "button",
    textContent: "Send again",
    dataset: { focus: `${webhook.id} ${id}` },
    "aria-label": `Send ${type} of ${when(made)} again`,
  });
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await change("POST", `/webhooks/${webhook.id}/deliveries/${encodeURIComponent(id)}/replay`);
    } catch (error) {
      byId("dead-error").textContent = error.message;
      button.disabled = false;
      return;
    }
    await show(nameOf);
    byId("webhooks-dialog").querySelector("#dead-list button, form.buttons [type=submit]").focus();
  });
  return element(
    "li",
    {},
    element("span", { className: "letter", textContent: `${type} · ${nameOf(streamId)}` }),
    element("span", {
      className: "muted",
      textContent: `${when(made)} · to ${webhook.name || webhook.url}`,
    }),
    element("span", { className: "error", textContent: failure(letter) }),
    element("div", { className: "buttons" }, button),
  );
}

function deadOf({ id }) {
  return get(`/webhooks/${id}/deliveries?state=dead&limit=${SHOWN}`);
}

function failure({ attempts, last_status: status, last_error: error }) {
  const tried = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  return [tried, status === null ? null : `answer ${status}`, error].filter(Boolean).join(" · ");
}
