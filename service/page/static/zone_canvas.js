// Zones on the picture while they are edited: pointers and keys change the draft.

import { keepingFocus } from "./dom.js";
import { drawZones, formatPoints, shape } from "./zones.js";

const HANDLE_PX = 7;
const REACH_PX = { mouse: 12, pen: 16, touch: 24 }; // a finger hides what it aims at
const SNAP_PX = 6; // so near to the picture's edge, a corner lies on it
const DOUBLE_TAP_MS = 500;
const KEY_STEP = 0.005; // of the picture
const KEY_STEP_FAR = 0.05;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class ZoneCanvas {
  constructor(svg, image, { onChange }) {
    this.svg = svg;
    this.image = image;
    this.onChange = onChange;
    this.draft = null;
    this.point = null; // the chosen corner of the current zone
    this.drag = null;
    this.drags = 0;
    this.tapped = null; // the place and time of the last tap
    svg.addEventListener("pointerdown", (event) => this.press(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    svg.addEventListener("pointerup", (event) => this.release(event));
    svg.addEventListener("pointercancel", () => { this.drag = null; });
    svg.addEventListener("keydown", (event) => this.key(event));
    svg.addEventListener("focusin", ({ target }) => this.choosePoint(Number(target.dataset.place)));
    new ResizeObserver(() => this.draw()).observe(svg);
    image.addEventListener("load", () => {
      const box = `0 0 ${image.naturalWidth} ${image.naturalHeight}`;
      if (svg.getAttribute("viewBox") !== box) this.draw(); // else what has the focus stays
    });
  }

  open(draft) {
    this.draft = draft;
    this.point = this.drag = null;
    this.svg.removeAttribute("aria-hidden");
    this.svg.setAttribute("role", "group");
    this.svg.setAttribute("aria-label", "Corners of the zone on the picture");
  }

  close() {
    this.draft = this.drag = null;
    this.svg.setAttribute("aria-hidden", "true");
    this.svg.removeAttribute("role");
  }

  choosePoint(place) {
    if (place === this.point) return;
    this.point = place;
    this.onChange();
  }

  focusPoint(place) {
    this.point = place;
    this.onChange();
    this.svg.querySelector(`[data-place="${place}"]`)?.focus({ preventScroll: true });
  }

  deletePoint(place) {
    this.draft.deletePoint(place);
    const left = this.draft.current.points.length;
    if (left) this.focusPoint(Math.min(place, left - 1));
    else this.choosePoint(null);
    this.onChange();
  }

  draw() {
    if (this.draft === null) return;
    const { draft, svg, image } = this;
    keepingFocus(svg, () => {
      if (!drawZones(svg, image, draft.zones)) return;
      const { naturalWidth: width, naturalHeight: height } = image;
      const chosen = draft.drawing ? null : svg.children[draft.chosen];
      if (chosen) chosen.dataset.chosen = "true";
      if (draft.drawing) {
        const { kind, points } = draft.drawing;
        svg.append(shape("polyline", { points: formatPoints(points, width, height) }, { kind }));
      }
      const radius = HANDLE_PX * this.unit();
      svg.append(...(draft.current?.points ?? []).map(([x, y], place) => {
        const isChosen = place === this.point;
        const name = `Corner ${place + 1} of ${draft.current.points.length}`;
        return shape(
          "circle",
          {
            cx: x * width,
            cy: y * height,
            r: isChosen ? 1.3 * radius : radius,
            tabindex: 0,
            role: "button",
            "aria-label": `${name}: ${percent(x)} from the left, ${percent(y)} from the top`,
            "aria-describedby": "zone-help",
          },
          { place, focus: `point-${place}`, chosen: String(isChosen) },
        );
      }));
    });
  }

  /** Return how many pixels of the picture are one of the screen. */
  unit() {
    const scale = this.svg.getScreenCTM()?.a;
    return scale ? 1 / scale : 1;
  }

  /** Return where a pointer is on the picture, in shares of it. */
  place(event) {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const inverse = this.svg.getScreenCTM().inverse();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(inverse);
    return [x / width, y / height];
  }

  press(event) {
    if (this.draft === null || !event.isPrimary || event.button !== 0) return;
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    const at = this.place(event);
    const reach = (REACH_PX[event.pointerType] ?? REACH_PX.mouse) * this.unit();
    const { draft } = this;
    const step = `drag ${++this.drags}`;
    let place = this.nearestPoint(at, reach);
    this.drag = { step, isNew: place === null, start: at, moved: false };
    if (place === null) place = this.newPoint(at, reach / 2, step);
    if (place === null) {
      this.drag = null;
      const found = draft.drawing ? -1 : draft.zones.findLastIndex(({ points }) => isInside(at, points));
      if (found >= 0 && found !== draft.chosen) {
        draft.choose(found);
        this.point = null;
        this.onChange();
      }
      return;
    }
    this.focusPoint(place);
  }

  newPoint(at, reach, step) {
    const { draft } = this;
    if (!draft.mayAddPoint) return null;
    if (draft.drawing) {
      draft.addPoint(this.snap(at), step);
      return draft.drawing.points.length - 1;
    }
    const side = draft.current.points.findIndex((_, place) => this.toSide(at, place) <= reach);
    if (side < 0) return null;
    draft.insertPoint(side, at, step);
    return side + 1;
  }

  move(event) {
    const { drag } = this;
    if (drag === null) return;
    const at = this.place(event);
    if (!drag.moved && this.distance(at, drag.start) < 3 * this.unit()) return; // a tap is never quite still
    drag.moved = true;
    this.draft.movePoint(this.point, this.snap(at), drag.step);
    this.onChange();
  }

  release({ timeStamp }) {
    const { drag, tapped, point } = this;
    this.drag = null;
    if (drag === null || drag.moved || !this.draft.drawing) return;
    this.tapped = { point, timeStamp };
    const isDouble = tapped?.point === point && timeStamp - tapped.timeStamp < DOUBLE_TAP_MS;
    if (!drag.isNew && (point === 0 || isDouble)) this.closeOutline();
  }

  closeOutline() {
    if (!this.draft?.mayClose) return;
    this.draft.close();
    this.focusPoint(0);
  }

  key(event) {
    const place = Number(event.target.dataset.place);
    const { draft } = this;
    if (draft === null || Number.isNaN(place)) return;
    const way = KEYS[event.key];
    if (way) {
      const far = event.shiftKey ? KEY_STEP_FAR : KEY_STEP;
      const [x, y] = draft.current.points[place];
      draft.movePoint(place, [x + far * way[0], y + far * way[1]], `keys ${place}`);
      this.onChange();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.deletePoint(place);
    } else if (event.key === "Enter") {
      this.closeOutline();
    } else {
      return;
    }
    event.preventDefault();
  }

  nearestPoint(at, reach) {
    let [found, least] = [null, reach];
    (this.draft.current?.points ?? []).forEach((point, place) => {
      const distance = this.distance(at, point);
      if (distance <= least) [found, least] = [place, distance];
    });
    return found;
  }

  distance([x, y], [otherX, otherY]) {
    return Math.hypot((x - otherX) * this.image.naturalWidth, (y - otherY) * this.image.naturalHeight);
  }

  toSide(at, place) {
    const { points } = this.draft.current;
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const [[x, y], [x0, y0], [x1, y1]] = [at, points[place], points[(place + 1) % points.length]]
      .map(([left, top]) => [left * width, top * height]);
    const length = (x1 - x0) ** 2 + (y1 - y0) ** 2;
    const share = length ? ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length : 0;
    const along = Math.min(1, Math.max(0, share));
    return Math.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0));
  }

  snap([x, y]) {
    const snapShare = (share, size) => {
      const margin = (SNAP_PX * this.unit()) / size;
      return share < margin ? 0 : share > 1 - margin ? 1 : share;
    };
    return [snapShare(x, this.image.naturalWidth), snapShare(y, this.image.naturalHeight)];
  }
}

function isInside([x, y], points) {
  let inside = false;
  points.forEach(([x0, y0], place) => {
    const [x1, y1] = points[(place + 1) % points.length];
    if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
  });
  return inside;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
