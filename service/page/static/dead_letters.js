// Messages that couldn't be delivered, in the dialog of receivers: what they are about, why they
// failed, and a button to send each again.

import { change, get } from "./api.js";
import { byId, element, keepingFocus, when } from "./dom.js";

const EVERY_MS = 3000;
const DISPLAYED = 20; // of each receiver, the newest

/** `nameOf` gives the name of a camera. */
export function setUpDeadLetters({ nameOf }) {
  const dialog = byId("receivers-dialog");
  byId("show-receivers").addEventListener("click", async () => {
    byId("dead-letters").hidden = true;
    while (dialog.open) {
      await show(nameOf);
      await new Promise((resolve) => { setTimeout(resolve, EVERY_MS); });
    }
  });
}

async function show(nameOf) {
  try {
    const { items: receivers } = await get("/receivers");
    const found = await Promise.all(receivers.map(getDead));
    const entries = receivers.flatMap((receiver, place) =>
      found[place].items.map((letter) => makeEntry(receiver, letter, nameOf)),
    );
    byId("dead-more").hidden = found.every(({ next }) => next === null);
    byId("dead-letters").hidden = entries.length === 0;
    keepingFocus(byId("dead-list"), () => byId("dead-list").replaceChildren(...entries));
    byId("dead-error").textContent = "";
  } catch (error) {
    byId("dead-error").textContent = error.message;
  }
}

function makeEntry(receiver, letter, nameOf) {
  const { id, event_type: type, stream_id: streamId, created_at: made } = letter;
  const button = element("button", {
    type: "button",
    textContent: "Send again",
    dataset: { focus: `${receiver.id} ${id}` },
    "aria-label": `Send ${type} of ${when(made)} again`,
  });
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await change("POST", `/receivers/${receiver.id}/deliveries/${encodeURIComponent(id)}/replay`);
    } catch (error) {
      byId("dead-error").textContent = error.message;
      button.disabled = false;
      return;
    }
    await show(nameOf);
    byId("receivers-dialog").querySelector("#dead-list button, form.buttons [type=submit]").focus();
  });
  return element(
    "li",
    {},
    element("span", { className: "letter", textContent: `${type} · ${nameOf(streamId)}` }),
    element("span", {
      className: "muted",
      textContent: `${when(made)} · to ${receiver.name || receiver.url}`,
    }),
    element("span", { className: "error", textContent: describeFailure(letter) }),
    element("div", { className: "buttons" }, button),
  );
}

function getDead({ id }) {
  return get(`/receivers/${id}/deliveries?state=dead&limit=${DISPLAYED}`);
}

function describeFailure({ attempts, last_status: status, last_error: error }) {
  const tried = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  return [tried, status === null ? null : `answer ${status}`, error].filter(Boolean).join(" · ");
}
