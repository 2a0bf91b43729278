// Puts the API's errors next to the fields that they are about.

import { ApiError } from "./api.js";

const PLAINER = [
  [/^String should have at least 1 character$/, "must not be empty"],
  [/^String should have at most (\d+) characters$/, "must have no more than $1 characters"],
  [/^Input should be /, "must be "],
];

/** Return the fields that an error names; a single one without a name where it names none. */
export function fieldsOf(error) {
  if (error instanceof ApiError && error.fields.length) {
    return error.fields.map(({ field, reason }) => ({ field, reason: say(reason) }));
  }
  return [{ field: "", reason: error.message }];
}

/**
 * Put each reason into the element whose data-field is the field's name or a beginning of it, and
 * what has none into the last.
 */
export function showErrors(form, fields) {
  const places = [...form.querySelectorAll("[data-field]")];
  const texts = new Map(places.map((place) => [place, []]));
  for (const { field, reason } of fields) {
    const own = places.find(({ dataset }) => isWithin(field, dataset.field));
    const rest = own ? field.slice(own.dataset.field.length).replace(/^\./, "") : field;
    texts.get(own ?? places.at(-1)).push(rest ? `${rest}: ${reason}` : reason);
  }
  for (const [place, reasons] of texts) place.textContent = reasons.join("; ");
}

function say(reason) {
  const [pattern, text] = PLAINER.find(([known]) => known.test(reason)) ?? [];
  return pattern ? reason.replace(pattern, text) : reason;
}

function isWithin(field, name) {
  if (name === "") return false;
  return field === name || field.startsWith(`${name}.`) || field.startsWith(`${name}[`);
}
