// The score curve: the last frames, the threshold as it was at each, and what is at or above it
// filled in red.

import { clock } from "./dom.js";

const MAX_SCORES = 600;
const LEFT = 34;
const RIGHT = 40; // the threshold in force is written there
const TOP = 8;
const BOTTOM = 20;

export class Curve {
  constructor(canvas, readout) {
    this.canvas = canvas;
    this.readout = readout;
    this.items = [];
    this.threshold = null;
    this.pointed = null;
    this.due = false;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    canvas.addEventListener("pointerleave", () => this.point(null));
  }

  clear() {
    this.items = [];
    this.pointed = null;
    this.draw();
  }

  add(items) {
    const last = this.items.at(-1)?.frame ?? -1;
    this.items.push(...items.filter((item) => item.frame > last));
    this.items.splice(0, Math.max(0, this.items.length - MAX_SCORES));
    this.draw();
  }

  setThreshold(threshold) {
    if (threshold === this.threshold) return;
    this.threshold = threshold;
    this.draw();
  }

  point(x) {
    this.pointed = x;
    this.draw();
  }

  draw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.paint();
    });
  }

  paint() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const style = getComputedStyle(canvas);
    this.colour = (name) => style.getPropertyValue(name).trim();
    this.plot = { width: width - LEFT - RIGHT, height: height - TOP - BOTTOM };
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = `11px ${style.fontFamily}`;
    this.paintGrid(pen);
    this.paintScores(pen);
    this.paintThreshold(pen);
    this.paintPointer(pen);
  }

  x(place) {
    // A short history starts at the left and grows; a long one fills the width.
    return LEFT + (place / Math.max(MAX_SCORES / 4, this.items.length - 1)) * this.plot.width;
  }

  y(score) {
    return TOP + (1 - Math.min(1, Math.max(0, score))) * this.plot.height;
  }

  limit(item) {
    return item.threshold ?? this.threshold ?? Infinity;
  }

  paintGrid(pen) {
    pen.strokeStyle = this.colour("--line");
    pen.fillStyle = this.colour("--muted");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const level of [0, 0.25, 0.5, 0.75, 1]) {
      const y = Math.round(this.y(level)) + 0.5;
      pen.beginPath();
      pen.moveTo(LEFT, y);
      pen.lineTo(LEFT + this.plot.width, y);
      pen.stroke();
      pen.fillText(level.toFixed(2), LEFT - 6, y);
    }
    pen.textBaseline = "top";
    const count = this.items.length;
    for (const [place, align] of count > 1 ? [[0, "left"], [count - 1, "right"]] : []) {
      const isLast = place > 0;
      if (isLast && this.x(place) < LEFT + 150) continue;
      pen.textAlign = align;
      const text = clock(this.items[place].captured_at);
      pen.fillText(text, this.x(place), TOP + this.plot.height + 5);
    }
  }

  paintScores(pen) {
    pen.lineWidth = 1.6;
    pen.lineJoin = "round";
    for (let place = 1; place < this.items.length; place += 1) {
      const [before, item] = [this.items[place - 1], this.items[place]];
      if (before.score === null || item.score === null) continue;
      const isAlarm = item.score >= this.limit(item);
      const [x0, x1] = [this.x(place - 1), this.x(place)];
      if (isAlarm) {
        pen.fillStyle = this.colour("--alarm-soft");
        pen.fillRect(x0, TOP, x1 - x0 + 0.5, this.plot.height);
      }
      pen.strokeStyle = this.colour(isAlarm ? "--alarm" : "--accent");
      pen.beginPath();
      pen.moveTo(x0, this.y(before.score));
      pen.lineTo(x1, this.y(item.score));
      pen.stroke();
    }
  }

  /** Draw the threshold as it was at each score; from the newest on, the one in force. */
  paintThreshold(pen) {
    const steps = this.items.flatMap(({ threshold }, place) =>
      threshold === null ? [] : [[this.x(place), threshold]],
    );
    if (this.threshold !== null) steps.push([this.x(Math.max(0, this.items.length - 1)), this.threshold]);
    if (!steps.length) return;
    const line = (threshold) => Math.round(this.y(threshold)) + 0.5;
    pen.strokeStyle = this.colour("--alarm");
    pen.lineWidth = 1;
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(LEFT, line(steps[0][1]));
    steps.forEach(([x, threshold], place) => {
      const isOther = place > 0 && threshold !== steps[place - 1][1];
      if (isOther) {
        pen.lineTo(x, line(steps[place - 1][1]));
        pen.lineTo(x, line(threshold));
      }
    });
    const end = LEFT + this.plot.width;
    pen.lineTo(end, line(steps.at(-1)[1]));
    pen.stroke();
    pen.setLineDash([]);
    if (this.threshold === null) return;
    const y = line(this.threshold);
    pen.beginPath();
    pen.moveTo(end, y);
    pen.lineTo(end + 6, y);
    pen.stroke();
    pen.fillStyle = this.colour("--alarm");
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    pen.fillText(this.threshold.toFixed(2), end + 9, y);
  }

  paintPointer(pen) {
    const newest = this.items.length - 1;
    let place = newest;
    if (this.pointed !== null && newest >= 0) {
      const steps = Math.max(MAX_SCORES / 4, newest);
      place = Math.round(((this.pointed - LEFT) / this.plot.width) * steps);
      place = Math.min(newest, Math.max(0, place));
      const x = Math.round(this.x(place)) + 0.5;
      pen.strokeStyle = this.colour("--muted");
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(x, TOP);
      pen.lineTo(x, TOP + this.plot.height);
      pen.stroke();
    }
    const item = this.items[place];
    const score = item?.score;
    const value = score === null ? "warming" : score?.toFixed(3);
    this.readout.value = item ? `${value} · frame ${item.frame} · ${clock(item.captured_at)}` : "";
    this.canvas.setAttribute("aria-label", item ? `Score, newest ${value}` : "No scores yet");
  }
}
