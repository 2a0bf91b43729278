"""Draws the report of a check: what was learned, what is found and missed, and false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.evaluation.check_drawing import Curve, draw_footage, draw_with_curve, outline
from model.evaluation.model_check import CheckedScene, ModelCheck

PEAKS = 3
"""So many held-out frames with the highest scores are drawn."""
PEAK_APART_S = 3.0
QUALITY = 85
PAGE = "index.html"


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A picture of the report. Its name says what it shows, without its suffix."""

    name: str
    caption: str
    picture: NDArray[np.uint8]
    """(H, W, 3), BGR."""


def save_report(check: ModelCheck, folder: Path) -> None:
    """Write pictures and a page into a folder.

    The pictures are `learned.jpg`, `KIND-found.jpg` and `KIND-missed.jpg`, as far as there are such
    scenes, and `normal-1.jpg` and so on: held-out frames with the highest scores. The page,
    `index.html`, needs nothing from outside the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [*_draw_footage(check), *_draw_scenes(check), *_draw_peaks(check)]
    for each in drawn:
        done, encoded = cv2.imencode(".jpg", each.picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not done:
            raise OSError(f"picture {each.name} can't be encoded")
        (folder / f"{each.name}.jpg").write_bytes(encoded.tobytes())
    (folder / PAGE).write_text(_make_page(check, drawn), encoding="utf-8")


def _draw_footage(check: ModelCheck) -> list[_Drawn]:
    if not check.learned:
        return []
    picture = draw_footage(check.learned, check.fps)
    return [
        _Drawn("learned", "What was learned: red is where something moved most often.", picture)
    ]


def _draw_scenes(check: ModelCheck) -> list[_Drawn]:
    """Draw one found and one missed scene of each kind."""
    drawn: dict[str, _Drawn] = {}
    for each in check.checked:
        is_found = each.delay_s is not None
        kind = each.scene.kind.value
        name = f"{kind}-{'found' if is_found else 'missed'}"
        if name in drawn:
            continue
        caption = f"{kind}: " + (f"found after {each.delay_s:.1f} s" if is_found else "missed")
        drawn[name] = _Drawn(name, caption, _draw_scene(check, each))
    return [drawn[name] for name in sorted(drawn)]


def _draw_scene(check: ModelCheck, checked: CheckedScene) -> NDArray[np.uint8]:
    scene = checked.scene
    shown = scene.abnormal & ~np.isnan(checked.scores)
    shown = shown if shown.any() else scene.abnormal
    sizes = np.where(shown, scene.masks.sum(axis=(1, 2)), -1)
    ranks = sizes if checked.delay_s is None else np.where(shown, checked.scores, -np.inf)
    frame = int(np.argmax(ranks))
    picture = outline(scene.clip.frames[frame], scene.masks[frame])
    return draw_with_curve(picture, Curve(checked.scores, check.threshold, frame, scene.abnormal))


def _draw_peaks(check: ModelCheck) -> list[_Drawn]:
    """Draw the held-out frames with the highest scores."""
    places = [
        (float(score), index, frame)
        for index, each in enumerate(check.normal)
        for frame, score in enumerate(each.scores)
        if not np.isnan(score)
    ]
    chosen: list[tuple[float, int, int]] = []
    apart = PEAK_APART_S * check.fps
    for place in sorted(places, reverse=True):
        if all(place[1] != other[1] or abs(place[2] - other[2]) >= apart for other in chosen):
            chosen.append(place)
        if len(chosen) == PEAKS:
            break
    drawn: list[_Drawn] = []
    for number, (score, index, frame) in enumerate(chosen, 1):
        each = check.normal[index]
        meaning = "it would count towards a false alarm" if score >= check.threshold else "no alarm"
        caption = f"normal, score {score:.2f} of {check.threshold:.2f}: {meaning}"
        picture = outline(each.clip.frames[frame])
        curve = Curve(each.scores, check.threshold, frame)
        drawn.append(_Drawn(f"normal-{number}", caption, draw_with_curve(picture, curve)))
    return drawn


def _make_page(check: ModelCheck, drawn: Sequence[_Drawn]) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.kind)}</td><td>{100.0 * each.auc:.0f} %</td>"
        f"<td>{each.found} of {each.scenes}</td></tr>"
        for each in check.kinds
    )
    figures = "".join(
        f'<figure><img src="{escape(each.name)}.jpg" alt="">'
        f"<figcaption>{escape(each.caption)}</figcaption></figure>"
        for each in drawn
    )
    current = "" if check.current_auc is None else f", the model in use {_show(check.current_auc)}"
    delay = "" if check.delay_s is None else f", after {check.delay_s:.1f} s (median)"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Check of a model</title>
<style>body{{font:16px/1.5 sans-serif;max-width:84rem;margin:2rem auto;padding:0 1rem}}
figure{{display:inline-block;margin:.5rem;width:20rem;vertical-align:top}}img{{width:100%}}
td,th{{padding:.1rem .8rem;text-align:left}}</style></head><body>
<h1>Check of a model: {"passed" if check.is_passed else "not passed"}</h1>
<p>{escape(check.verdict)}</p>
<ul>
<li>AUC {_show(check.auc)} ({_show(check.auc_low)} to {_show(check.auc_high)}); frame difference
{_show(check.frame_difference_auc)}{current}</li>
<li>{check.found} of {check.scenes} made-up anomalies found{delay}</li>
<li>{check.false_events} false events in {check.normal_s:.0f} s of normal footage: at most
{check.false_events_per_day_high:.0f} a day can be promised from so much footage</li>
</ul>
<table><tr><th>kind</th><th>AUC</th><th>found</th></tr>{rows}</table>
<p>Below each picture: the score over time, the threshold (dashed), the abnormal part (shaded).</p>
{figures}
</body></html>
"""


def _show(auc: float) -> str:
    return f"{100.0 * auc:.0f} %"
