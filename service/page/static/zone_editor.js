// The editor of one camera's zones: its tools, and saving the draft.

import { change } from "./api.js";
import { byId, element, keepingFocus } from "./dom.js";
import { fieldsOf } from "./form_errors.js";
import { ZoneCanvas } from "./zone_canvas.js";
import { LEAST_POINTS, findLongestSide, MOST_POINTS, MOST_ZONES, ZoneDraft } from "./zone_draft.js";
import { drawZones } from "./zones.js";

const FIRST_CORNERS = [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]]; // for users without a pointer

export class ZoneEditor {
  constructor({ picture, onChange }) {
    this.picture = picture;
    this.onChange = onChange;
    this.stream = null;
    this.draft = null;
    this.opened = "";
    this.form = byId("zone-editor");
    this.figure = this.form.closest("figure");
    this.canvas = new ZoneCanvas(byId("zones"), picture.image, { onChange: () => this.render() });
    picture.image.addEventListener("load", () => this.showSaved());
    byId("zones-edit").addEventListener("click", () => this.open());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    this.figure.addEventListener("keydown", (event) => this.key(event));
    for (const [id, work] of Object.entries(this.tools())) {
      byId(id).addEventListener("click", () => {
        this.fail("");
        work();
        this.render();
      });
    }
    for (const choice of this.form.elements.kind) {
      choice.addEventListener("change", () => {
        if (this.draft.current) this.draft.setKind(choice.value);
        this.render();
      });
    }
  }

  tools() {
    const { canvas } = this;
    return {
      "zone-draw": () => {
        this.draft.draw(this.kind);
        canvas.point = null;
        this.render();
        byId("zone-add-point").focus({ preventScroll: true });
      },
      "zone-rectangle": () => {
        this.draft.addRectangle(this.kind);
        canvas.focusPoint(0);
      },
      "zone-outline": () => canvas.closeOutline(),
      "zone-undo": () => this.undo(),
      "zone-add-point": () => this.addPoint(),
      "zone-delete-point": () => canvas.deletePoint(canvas.point),
      "zone-delete": () => {
        this.draft.deleteZone();
        canvas.point = null;
        this.render();
        byId("zone-undo").focus({ preventScroll: true });
      },
      "zone-cancel": () => this.close(),
    };
  }

  /** Is true while changes aren't saved. */
  get isEdited() {
    return this.draft?.isEdited ?? false;
  }

  get kind() {
    return this.form.elements.kind.value;
  }

  begin(stream) {
    this.stream = stream;
    this.end();
  }

  update(stream) {
    this.stream = stream;
    if (this.draft === null) this.showSaved();
    else if (JSON.stringify(stream.zones) !== this.opened) {
      byId("zone-notice").textContent = "Somebody else changed the zones meanwhile. Saving replaces theirs.";
    }
  }

  showSaved() {
    if (this.draft === null) drawZones(byId("zones"), this.picture.image, this.stream?.zones ?? []);
  }

  async open() {
    const { stream } = this;
    byId("zones-error").textContent = "";
    try {
      await this.picture.keep();
    } catch (error) {
      byId("zones-error").textContent = error.message;
    }
    if (stream !== this.stream && stream.id !== this.stream?.id) return;
    if (!this.picture.isThere) {
      this.picture.release();
      byId("zones-error").textContent ||= "There is no picture of this camera yet to draw on.";
      return;
    }
    this.draft = new ZoneDraft(this.stream.zones ?? []);
    this.opened = JSON.stringify(this.stream.zones);
    byId("zone-notice").textContent = "";
    this.fail("");
    this.form.hidden = false;
    byId("zones-edit").hidden = true;
    this.figure.classList.add("editing");
    this.canvas.open(this.draft);
    if (!this.draft.zones.length) this.draft.draw(this.kind);
    this.draft.past = [];
    this.render();
    byId(this.draft.drawing ? "zone-add-point" : "zone-draw").focus({ preventScroll: true });
    this.figure.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.end();
    byId("zones-edit").focus({ preventScroll: true });
  }

  end() {
    this.draft = null;
    this.canvas.close();
    this.picture.release();
    this.form.hidden = true;
    byId("zones-edit").hidden = false;
    byId("zones-error").textContent = "";
    this.figure.classList.remove("editing");
    this.showSaved();
  }

  addPoint() {
    const { draft, canvas } = this;
    if (!draft.mayAddPoint) return;
    const { points } = draft.current;
    if (draft.drawing && points.length < FIRST_CORNERS.length) {
      draft.addPoint(FIRST_CORNERS[points.length]);
      canvas.focusPoint(points.length - 1);
      return;
    }
    const { place, middle } = findLongestSide(points);
    draft.insertPoint(place, middle);
    canvas.focusPoint(place + 1);
  }

  undo() {
    this.draft.undo();
    this.canvas.point = null;
    this.render();
    if (byId("zone-undo").disabled) byId("zone-draw").focus({ preventScroll: true });
  }

  key(event) {
    if (this.draft === null) return;
    if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) this.undo();
    else if (event.key === "Escape" && this.draft.drawing) {
      this.draft.abandon();
      this.render();
      byId("zone-draw").focus({ preventScroll: true });
    } else return;
    event.preventDefault();
  }

  render() {
    const { draft, canvas } = this;
    if (draft === null) return;
    canvas.draw();
    const { current } = draft;
    byId("zone-count").textContent = `${draft.zones.length} of ${MOST_ZONES}`;
    byId("zone-help").textContent = describeHelp(draft);
    byId("zone-draw").disabled = byId("zone-rectangle").disabled = !draft.mayAdd;
    byId("zone-outline").hidden = draft.drawing === null;
    byId("zone-outline").disabled = !draft.mayClose;
    byId("zone-undo").disabled = draft.past.length === 0;
    const isPoint = Number.isInteger(canvas.point) && canvas.point < (current?.points.length ?? 0);
    byId("zone-add-point").disabled = !draft.mayAddPoint;
    byId("zone-delete-point").disabled = !isPoint || !draft.mayDeletePoint;
    byId("zone-delete").disabled = current === null;
    byId("zone-chosen-name").textContent = draft.drawing
      ? "New zone"
      : current ? `Zone ${draft.chosen + 1}` : "Next zone";
    if (current) this.form.elements.kind.value = current.kind;
    this.renderList();
  }

  renderList() {
    const { draft } = this;
    keepingFocus(byId("zone-list"), () => byId("zone-list").replaceChildren(
      ...draft.zones.map(({ kind, points }, place) => {
        const isChosen = !draft.drawing && place === draft.chosen;
        const button = element("button", {
          type: "button",
          textContent: `${place + 1} · ${kind}`,
          dataset: { kind, focus: `zone-${place}` },
          disabled: draft.drawing !== null,
          "aria-pressed": String(isChosen),
          "aria-label": `Zone ${place + 1}, ${kind}, ${points.length} corners`,
        });
        button.addEventListener("click", () => {
          draft.choose(place);
          this.canvas.point = null;
          this.render();
        });
        return element("li", {}, button);
      }),
    ));
  }

  async save() {
    const { draft, stream } = this;
    if (draft.drawing?.points.length === 0) draft.abandon();
    if (draft.drawing && !draft.mayClose) {
      this.fail(`The zone that is being drawn needs at least ${LEAST_POINTS} corners.`);
      return;
    }
    if (draft.drawing) draft.close();
    this.render();
    const button = this.form.querySelector("[type=submit]");
    button.disabled = true;
    this.fail("");
    try {
      const zones = draft.zones.length ? draft.zones : null;
      const saved = await change("PATCH", `/streams/${stream.id}`, { zones });
      if (this.draft !== draft) return; // the page shows another camera by now
      this.stream = saved;
      this.close();
      await this.onChange();
    } catch (error) {
      if (this.draft === draft) this.showRefusal(fieldsOf(error));
    } finally {
      button.disabled = false;
    }
  }

  showRefusal(fields) {
    const found = fields.map(({ field, reason }) => {
      const [, place, rest] = /^zones\[(\d+)\]\.?(.*)$/.exec(field) ?? [];
      return place === undefined
        ? { text: field ? `${field}: ${reason}` : reason }
        : { place: Number(place), text: `Zone ${Number(place) + 1}${rest ? `, ${rest}` : ""}: ${reason}` };
    });
    const wrong = found.find(({ place }) => place !== undefined);
    if (wrong) {
      this.draft.choose(wrong.place);
      this.canvas.point = null;
      this.render();
    }
    this.fail(found.map(({ text }) => text).join("; "));
  }

  fail(text) {
    byId("zone-error").textContent = text;
  }
}

function describeHelp(draft) {
  if (draft.drawing) {
    if (!draft.mayAddPoint) return `A zone has at most ${MOST_POINTS} corners: close the outline.`;
    return draft.mayClose
      ? "Add corners, or close the outline at its first corner, by a double tap or with Enter."
      : "Tap or click the picture where the zone’s corners are, one after the other.";
  }
  if (draft.current) {
    return "Drag its corners, or move them with the arrow keys (Shift: further). "
      + "Tap or click a side for another corner.";
  }
  return "Without zones the whole picture counts. Draw one to watch, or one to ignore.";
}
