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
    explainModel(form);
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
  showModels(form, []);
  form.dispatchEvent(new Event("change"));
  showErrors(form, []);
  dialog.showModal();
  try {
    showModels(form, (await get("/models")).items);
  } catch (error) {
    showErrors(form, fieldsOf(error));
  }
}

function showModels(form, models) {
  // Where the operator set a default, a camera can't be without a model.
  const none = models.some((model) => model.is_default)
    ? []
    : [element("option", { value: "", selected: true, textContent: "None yet: let it learn" })];
  const options = models.map(({ name, width, height, channels, frame_rate: fps, is_default: selected }) =>
    element("option", {
      value: name,
      selected,
      dataset: { fps: fps ?? "" },
      textContent: `${name} (${width}×${height}, ${channels === 1 ? "grey" : "colour"})`,
    }),
  );
  form.model.replaceChildren(...none, ...options);
  explainModel(form);
}

function explainModel(form) {
  const { value, dataset } = form.model.selectedOptions[0];
  const rate = dataset.fps ? `, at ${Number(dataset.fps)} frames a second` : "";
  byId("model-note").className = value ? "warning" : "muted";
  byId("model-note").textContent = value
    ? `A model knows one camera only: the one it was trained with${rate}. To it, any other camera looks abnormal.`
    : form.kind.value === "upload"
      ? "It learns from videos first, then it accepts pictures."
      : "Its picture is shown at once. Learning what is normal there is the next step.";
}

function readForm(form) {
  const body = {
    name: form.elements.namedItem("name").value,
    source: form.kind.value === "upload" ? "upload" : form.source.value.trim(),
  };
  body.model = form.model.value || null;
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
