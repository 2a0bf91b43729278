// The form that adds a receiver.

import { change } from "./api.js";
import { byId, element } from "./dom.js";
import { fieldsOf, showErrors } from "./form_errors.js";

export function setUpReceiverForm({ onAdded }) {
  const form = byId("receiver-form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true; // checking one of Apprise's URLs takes a moment
    resetReceiverForm({ keep: true });
    try {
      const made = await change("POST", "/receivers", readForm(form));
      form.reset();
      showSecret(made.secret);
      await onAdded();
    } catch (error) {
      showErrors(form, fieldsOf(error));
    } finally {
      button.disabled = false;
    }
  });
}

/** Remove a displayed secret and error messages; `keep` leaves what was typed. */
export function resetReceiverForm({ keep = false } = {}) {
  const form = byId("receiver-form");
  if (!keep) form.reset();
  showErrors(form, []);
  showSecret(null);
}

function readForm(form) {
  const body = { url: form.url.value.trim() };
  const name = form.elements.namedItem("name").value.trim();
  if (name) body.name = name;
  if (form.events.value) body.event_types = form.events.value.split(" ");
  return body;
}

function showSecret(secret) {
  const place = byId("receiver-secret");
  place.hidden = !secret;
  place.replaceChildren(
    ...(secret
      ? ["Its secret, which won't be displayed again: ", element("code", { textContent: secret })]
      : []),
  );
}
