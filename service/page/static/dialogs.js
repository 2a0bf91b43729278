// The forms: adding a camera, and the API key.

import { change, get } from "./api.js";
import { byId, element } from "./dom.js";
import { fieldsOf, showErrors } from "./form_errors.js";

export function setUpAdding({ onAdded }) {
  const dialog = byId("add-dialog");
  const form = byId("add-form");
  byId("add").addEventListener("click", () => open(dialog, form));
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  form.addEventListener("change", () => {
    const isUpload = form.kind.value === "upload";
    byId("source-field").hidden = isUpload;
    byId("upload-note").hidden = !isUpload;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true; // checking a camera may take some seconds
    showErrors(form, []);
    try {
      const stream = await change("POST", "/streams", readForm(form));
      dialog.close();
      await onAdded(stream);
    } catch (error) {
      showErrors(form, fieldsOf(error));
    } finally {
      button.disabled = false;
    }
  });
}

async function open(dialog, form) {
  form.reset();
  form.dispatchEvent(new Event("change"));
  showErrors(form, []);
  dialog.showModal();
  try {
    const { items } = await get("/models");
    form.model.replaceChildren(
      ...items.map((model) =>
        element("option", {
          value: model.name,
          selected: model.is_default,
          textContent: `${model.name} (${model.width}×${model.height}, ${model.channels === 1 ? "grey" : "colour"})`,
        }),
      ),
    );
  } catch (error) {
    showErrors(form, fieldsOf(error));
  }
}

function readForm(form) {
  const body = {
    name: form.elements.namedItem("name").value,
    source: form.kind.value === "upload" ? "upload" : form.source.value.trim(),
  };
  if (form.model.value) body.model = form.model.value;
  return body;
}

/** Ask for the API key; resolves with it. */
export function askForKey(wasRefused) {
  const dialog = byId("key-dialog");
  const form = byId("key-form");
  byId("key-error").textContent = wasRefused ? "That key is not known." : "";
  form.reset();
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
  return new Promise((resolve) => {
    form.addEventListener("submit", () => resolve(form.key.value.trim()), { once: true });
  });
}
