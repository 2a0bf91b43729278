// Zones while they are edited: polygons, the chosen one, the one that is being drawn, and earlier
// states. It knows nothing of the page; points are shares of the picture.

export const MOST_ZONES = 20;
export const LEAST_POINTS = 3;
export const MOST_POINTS = 50;
const MOST_UNDONE = 200;
const DIGITS = 4;

export class ZoneDraft {
  constructor(zones) {
    this.zones = zones.map(({ kind, points }) => ({ kind, points: points.map(([x, y]) => [x, y]) }));
    this.chosen = zones.length ? 0 : null;
    this.drawing = null; // the zone whose outline isn't closed yet
    this.past = [];
    this.lastStep = null;
    this.saved = JSON.stringify(this.zones);
  }

  get isEdited() {
    return this.drawing?.points.length > 0 || JSON.stringify(this.zones) !== this.saved;
  }

  /** The zone whose points can be moved: the one that is drawn, else the chosen one. */
  get current() {
    return this.drawing ?? this.zones[this.chosen] ?? null;
  }

  get mayAdd() {
    return this.drawing === null && this.zones.length < MOST_ZONES;
  }

  get mayAddPoint() {
    return this.current !== null && this.current.points.length < MOST_POINTS;
  }

  get mayDeletePoint() {
    return this.drawing !== null || this.current !== null && this.current.points.length > LEAST_POINTS;
  }

  get mayClose() {
    return this.drawing !== null && this.drawing.points.length >= LEAST_POINTS;
  }

  choose(place) {
    this.chosen = place;
    this.lastStep = null;
  }

  draw(kind) {
    if (!this.mayAdd) return;
    this.step();
    this.drawing = { kind, points: [] };
  }

  addRectangle(kind) {
    if (!this.mayAdd) return;
    this.step();
    this.zones.push({ kind, points: [[0.35, 0.35], [0.65, 0.35], [0.65, 0.65], [0.35, 0.65]] });
    this.chosen = this.zones.length - 1;
  }

  /** Add a point after the last one of the zone that is being drawn. */
  addPoint(point, step = null) {
    this.step(step);
    this.drawing.points.push(clampPoint(point));
  }

  /** Insert a point between this one and the next. */
  insertPoint(place, point, step = null) {
    this.step(step);
    this.current.points.splice(place + 1, 0, clampPoint(point));
  }

  close() {
    if (!this.mayClose) return;
    this.step();
    this.zones.push(this.drawing);
    this.drawing = null;
    this.chosen = this.zones.length - 1;
  }

  abandon() {
    this.step();
    this.drawing = null;
  }

  /** Move a point; moves with the same `step` are undone as one. */
  movePoint(place, point, step) {
    this.step(step);
    this.current.points[place] = clampPoint(point);
  }

  deletePoint(place) {
    if (!this.mayDeletePoint) return;
    this.step();
    this.current.points.splice(place, 1);
  }

  deleteZone() {
    if (this.drawing) {
      this.abandon();
      return;
    }
    this.step();
    this.zones.splice(this.chosen, 1);
    this.chosen = this.zones.length ? Math.min(this.chosen, this.zones.length - 1) : null;
  }

  setKind(kind) {
    this.step();
    this.current.kind = kind;
  }

  undo() {
    const before = this.past.pop();
    if (before === undefined) return;
    Object.assign(this, JSON.parse(before));
    this.lastStep = null;
  }

  step(name = null) {
    if (name !== null && name === this.lastStep) return;
    this.lastStep = name;
    const { zones, chosen, drawing } = this;
    this.past.push(JSON.stringify({ zones, chosen, drawing }));
    if (this.past.length > MOST_UNDONE) this.past.shift();
  }
}

/** Find the longest side: the point before it, and its middle. */
export function findLongestSide(points) {
  let found = { place: 0, length: -1, middle: points[0] };
  points.forEach(([x, y], place) => {
    const [nextX, nextY] = points[(place + 1) % points.length];
    const length = Math.hypot(nextX - x, nextY - y);
    if (length > found.length) found = { place, length, middle: [(x + nextX) / 2, (y + nextY) / 2] };
  });
  return found;
}

function clampPoint(point) {
  return point.map((share) => Number(Math.min(1, Math.max(0, share)).toFixed(DIGITS)));
}
