// A finished learning: the verdict on its model, figures, pictures, and what can be done.

import { picture } from "./api.js";
import { byId, element, figures, setText, when } from "./dom.js";
import {
  capitalise, captionOf, describeFalse, describeFound, listAucs, listFootage, listKinds, listSkipped, sortPictures,
  titleOf,
} from "./learn_texts.js";

export class LearnReport {
  constructor() {
    this.key = "";
    this.turn = 0;
    this.urls = [];
  }

  /** Show a learning; what hasn't changed stays in place. */
  show(learning) {
    const key = JSON.stringify(learning);
    if (key === this.key) return;
    const before = this.key ? JSON.parse(this.key) : null;
    this.key = key;
    this.render(learning);
    if (before?.id !== learning.id || before.pictures.join() !== learning.pictures.join()) {
      this.showPictures(learning);
    }
  }

  clear() {
    this.key = "";
    this.turn += 1;
    for (const url of this.urls) URL.revokeObjectURL(url);
    this.urls = [];
    byId("done-pictures").replaceChildren();
  }

  render(learning) {
    const { state, check, footage, model, is_in_use: isInUse } = learning;
    setText(byId("done-title"), titleOf(learning));
    byId("done-pill").hidden = !check;
    setText(byId("done-pill"), check?.is_passed ? "passed the check" : "failed the check");
    byId("done-pill").dataset.passed = String(check?.is_passed ?? false);
    const ended = learning.finished_at ? when(learning.finished_at) : "";
    setText(byId("done-when"), [ended, model].filter(Boolean).join(" · "));
    setText(byId("done-verdict"), capitalise(check?.verdict || learning.reason));
    setText(byId("done-reason"), learning.reason === check?.verdict || !check ? "" : capitalise(learning.reason));
    byId("done-verdict").dataset.state = state;
    byId("done-reason").hidden = !byId("done-reason").textContent;
    byId("done-check").hidden = !check;
    if (check) renderCheck(check);
    byId("done-kinds").hidden = !check?.kinds.length;
    byId("done-report").hidden = learning.pictures.length === 0;
    byId("done-footage").hidden = !footage;
    if (footage) renderFootage(footage);
    const button = byId("done-activate");
    button.hidden = !model || isInUse || !check;
    button.textContent = check?.is_passed ? "Put live" : "Put live anyway";
  }

  async showPictures(learning) {
    const key = this.key;
    this.clear();
    this.key = key;
    const { turn } = this;
    for (const name of sortPictures(learning.pictures)) {
      try {
        const { url } = await picture(`/learnings/${learning.id}/report/${encodeURIComponent(name)}`);
        if (turn !== this.turn) return URL.revokeObjectURL(url);
        this.urls.push(url);
        const textContent = captionOf(name);
        byId("done-pictures").append(
          element(
            "figure",
            {},
            element("img", { src: url, alt: textContent }),
            element("figcaption", { textContent }),
          ),
        );
      } catch (error) {
        if (error.status !== 404) return; // the banner reports it
      }
    }
  }
}

function renderCheck(check) {
  setText(byId("done-found"), describeFound(check));
  setText(byId("done-false"), describeFalse(check));
  byId("done-aucs").replaceChildren(
    ...listAucs(check).map(([name, share, text]) =>
      element(
        "li",
        {},
        element("span", { textContent: name }),
        makeBar(name, share),
        element("span", { className: "muted", textContent: text }),
      ),
    ),
  );
  fill(byId("done-kinds").querySelector("ul"), listKinds(check));
}

function makeBar(name, share) {
  const value = String(Math.round(100 * share));
  const filled = element("span");
  filled.style.width = `${value}%`;
  const properties = { className: "share", role: "meter", "aria-label": name, "aria-valuenow": value };
  return element("span", { ...properties, "aria-valuemin": "0", "aria-valuemax": "100" }, filled);
}

function renderFootage(footage) {
  const place = byId("done-footage");
  setText(place.querySelector("p"), capitalise(footage.advice));
  figures(place.querySelector("dl"), listFootage(footage, null));
  fill(place.querySelector("ul"), listSkipped(footage));
}

function fill(list, texts) {
  list.replaceChildren(...texts.map((textContent) => element("li", { textContent })));
}
