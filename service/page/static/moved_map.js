// A map of where something moved in a camera's footage, drawn over its picture.

import { byId } from "./dom.js";
import { shape } from "./zones.js";

const FAINTEST = 0.15;
const STRONGEST = 0.7;

export class MovedMap {
  constructor({ picture }) {
    this.image = picture.image;
    this.svg = byId("moved");
    this.rows = [];
    this.image.addEventListener("load", () => this.draw());
  }

  /** Show how often something moved in each cell (0 to 1), by rows from the top; [] hides it. */
  show(rows) {
    if (JSON.stringify(rows) === JSON.stringify(this.rows)) return;
    this.rows = rows;
    this.draw();
  }

  draw() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const { rows } = this;
    const isEmpty = rows.length === 0 || !width;
    this.svg.toggleAttribute("hidden", isEmpty);
    byId("moved-legend").hidden = isEmpty;
    if (isEmpty) return;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const most = Math.max(...rows.flat(), 1e-9);
    const cells = rows.flatMap((row, y) =>
      row.map((share, x) => (share > 0 ? this.cell(x, y, row.length, share / most) : null)),
    );
    this.svg.replaceChildren(...cells.filter(Boolean));
  }

  cell(x, y, columns, strength) {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const [w, h] = [width / columns, height / this.rows.length];
    return shape("rect", {
      x: x * w, y: y * h, width: w, height: h,
      "fill-opacity": (FAINTEST + (STRONGEST - FAINTEST) * Math.sqrt(strength)).toFixed(2),
    });
  }
}
