// The form that adds somebody who is told.

import { change } from "./api.js";
import { byId, element } from "./dom.js";
import { fieldsOf, showErrors } from "./form_errors.js";

export function setUpWebhookForm({ onAdded }) {
  const form = byId("webhook-form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true; // a look at a URL of Apprise's takes a moment
    resetWebhookForm({ keep: true });
    try {
      const made = await change("POST", "/webhooks", described(form));
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

/** Forget a secret that was shown, and what was wrong; `keep` leaves what was typed. */
export function resetWebhookForm({ keep = false } = {}) {
  const form = byId("webhook-form");
  if (!keep) form.reset();
  showErrors(form, []);
  showSecret(null);
}

function described(form) {
  const body = { url: form.url.value.trim() };
  const name = form.elements.namedItem("name").value.trim();
  if (name) body.name = name;
  if (form.events.value) body.event_types = form.events.value.split(" ");
  return body;
}

function showSecret(secret) {
  const place = byId("webhook-secret");
  place.hidden = !secret;
  place.replaceChildren(
    ...(secret
      ? ["Its secret, which is not shown again: ", element("code", { textContent: secret })]
      : []),
  );
}
