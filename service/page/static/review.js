// Two small buttons that label an event; pressing the active one again removes the label.

import { change } from "./api.js";
import { element } from "./dom.js";

const LABELS = ["real", "normal"];

export class Review {
  constructor({ onJudged }) {
    this.event = null;
    this.onJudged = onJudged;
    this.buttons = LABELS.map((label) => {
      const textContent = label[0].toUpperCase() + label.slice(1);
      const button = element("button", { type: "button", textContent, dataset: { label } });
      button.addEventListener("click", () => this.judge(label));
      return button;
    });
    this.error = element("span", { className: "error", role: "alert" });
    const group = { className: "review", role: "group", "aria-label": "What it was" };
    this.item = element("div", group, ...this.buttons, this.error);
  }

  show(event) {
    this.event = event;
    for (const button of this.buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.label === event.label));
    }
    this.item.title = event.note ?? "";
  }

  async judge(label) {
    this.error.textContent = "";
    try {
      const body = { label: label === this.event.label ? null : label };
      this.onJudged(await change("PATCH", `/events/${this.event.id}`, body));
    } catch (error) {
      this.error.textContent = error.message;
    }
  }
}
