"""The running range under a microscope: what a disturbance of the picture does to causal scores.

    .venv/bin/python scripts/study_range.py PED2 --bundle ped2-small --json F --plot F [--keep F]

Every disturbed clip passes the network once, with the memory held still; its measures are kept, and
scored again by each form of normalisation. PED2 holds training/ and testing/ with labels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from disturbances import (
    Transform,
    black,
    dimmed,
    disturbed,
    grey_smear,
    half_decoded,
    infrared,
    noisy,
)
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model import bundle as bundles
from model.bundle import Bundle
from model.calibration import causal_scores, measure, normal_range, split, threshold
from model.catalog import find
from model.config import PAPER, Normalisation, NormalisationKind, NormalRange, ScoreConfig
from model.datasets import load
from model.detector import Detector
from model.evaluation.accuracy import Labels, Scores, accuracy
from model.evaluation.events import outcome, spans
from model.events import EventRules
from model.footage import Clip, discover, frame_store
from model.observation import CameraOptions
from model.rules import UPDATE_RULES
from model.score import Measures

FPS = 10.0
HOLD_OUT = 0.125
LEAST_NORMAL = 60
"""Normal frames of a test clip, at least, to be one of the study's."""
IR_FRAMES = 600
LIGHT = (1.0, 0.6, 0.35)
"""Steps of the light's hour: gain of the dusk."""
NOISE = (0.0, 4.0, 8.0)
"""The same for the night: sigma of the noise that a camera's own gain makes, in grey levels."""
STEP_FRAMES = 12_000
LOOP_FRAMES = 90
TAIL_FRAMES = 6000
NEAR = 0.05
"""A score so near to the one without the disturbance is usable again."""

FORMS = {
    "min_max": PAPER.normalisation,
    "min_max, headroom 2": replace(PAPER.normalisation, headroom=2.0),
    "decayed": Normalisation(NormalisationKind.DECAYED),
    "quantile": Normalisation(NormalisationKind.QUANTILE),
}

Rows = NDArray[np.float64]
"""Of each frame P, D, E_t and the pooled error; NaN before there were frames enough."""


@dataclass(frozen=True)
class Piece:
    """Consecutive frames of a stream, after a cut."""

    rows: Rows
    abnormal: Labels
    part: str = "after"
    """Of the stream: `before`, `during` or `after` the disturbance, or `tests` in between."""


@dataclass(frozen=True)
class Outcome:
    """What one form of normalisation made of one part of a stream."""

    stream: str
    form: str
    part: str
    auc: float | None
    false_events: int
    normal_minutes: float
    found: int
    labelled: int
    usable_after: int | None
    """Frames until the scores are usable again; None where that isn't asked."""


class Network:
    """Measures of clips, by name; each is computed once, and kept in a file if one is given."""

    def __init__(self, bundle: Bundle, keep: Path | None) -> None:
        self._detector = Detector(bundle)
        self._key = bundle.score.error.key
        self._keep = keep
        self._known: dict[str, Rows] = {}
        if keep is not None and keep.is_file():
            with np.load(keep) as saved:
                self._known = {name: saved[name] for name in saved.files}

    def rows(self, name: str, clip: Clip) -> Rows:
        """Measures of the clip's frames."""
        if name not in self._known:
            measured = measure(self._detector, [clip], CameraOptions(update=UPDATE_RULES["held"]))[
                0
            ]
            self._known[name] = np.array([self._numbers(row) for row in measured])
            print(f"measured {name}: {len(clip)} frames", flush=True)
            if self._keep is not None:
                np.savez(self._keep, allow_pickle=False, **self._known)
        return self._known[name]

    def disturbed_rows(
        self, name: str, clip: Clip, transform: Transform, start: int, stop: int
    ) -> Rows:
        """Measures of the clip with the transform on the frames from `start` up to `stop`.

        The memory is still, so that only frames that are disturbed, or follow such, differ.
        """
        context = self._detector.bundle.config.context
        first, last = max(0, start - context), min(len(clip), stop + context)
        frames = disturbed(clip, transform, start, stop).frames[first:last]
        changed = self.rows(f"{name} {clip.name}", Clip(clip.name, frames))
        rows = self.rows(f"clean {clip.name}", clip).copy()
        rows[start:last] = changed[start - first :]
        return rows

    def _numbers(self, row: Measures | None) -> list[float]:
        if row is None:
            return [np.nan] * 4
        return [row.psnr, row.distance, row.gate_error, row.errors[self._key]]


def streams(
    network: Network, held: Sequence[Clip], tests: Sequence[tuple[Clip, Labels]]
) -> Iterator[tuple[str, list[Piece]]]:
    """Each disturbance as a stream: normal footage, the disturbance, labelled footage."""
    before = [_normal(network.rows(f"clean {clip.name}", clip), "before") for clip in held]
    after = [Piece(network.rows(f"clean test {clip.name}", clip), labels) for clip, labels in tests]
    yield "none", before + after
    middle = len(held[0]) // 2
    for transform in (grey_smear, black, half_decoded):
        name = transform.__name__.replace("_", " ")
        rows = network.disturbed_rows(name, held[0], transform, middle, middle + 1)
        yield f"glitch: {name}", [*before, _normal(rows, "during"), *after]
    yield "infrared", [*before, *_infrared(network, held[0], tests), *after]
    for name, steps, kind in (("dusk", LIGHT, dimmed), ("night", NOISE, noisy)):
        transforms = [kind(step) for step in steps]
        yield name, before + list(_light(network, name, transforms, held[0], tests[-1]))


def _normal(rows: Rows, part: str) -> Piece:
    return Piece(rows, np.zeros(len(rows), bool), part)


def _infrared(
    network: Network, normal: Clip, tests: Sequence[tuple[Clip, Labels]]
) -> Iterator[Piece]:
    """IR_FRAMES of it: it comes amid a normal clip, stays for labelled ones, and goes likewise."""
    middle = len(normal) // 2
    rows = network.disturbed_rows("infrared on", normal, infrared, middle, len(normal))
    yield _normal(rows, "during")
    left = IR_FRAMES - len(normal)
    for clip, labels in tests:
        part = Clip(clip.name, clip.frames[:left])
        if len(part):
            rows = network.rows(f"infrared test {clip.name}", disturbed(part, infrared))
            yield Piece(rows, labels[: len(part)], "during")
        left = max(0, left - len(part))
    yield _normal(network.disturbed_rows("infrared off", normal, infrared, 0, middle), "during")


def _light(
    network: Network,
    name: str,
    steps: Sequence[Transform],
    normal: Clip,
    test: tuple[Clip, Labels],
) -> Iterator[Piece]:
    """An hour: an equal share of each step, a normal loop over and over, then labelled frames."""
    loop = Clip(normal.name, normal.frames[:LOOP_FRAMES])
    clip, labels = test
    at = max(0, int(labels.argmax()) - LOOP_FRAMES // 2)
    window = slice(at, at + LOOP_FRAMES)
    for index, transform in enumerate(steps):
        rows = network.rows(f"{name} {index} loop", disturbed(loop, transform))
        for _ in range(STEP_FRAMES // len(loop)):
            yield _normal(rows, "during")
        shown = disturbed(Clip(clip.name, clip.frames[window]), transform)
        yield Piece(network.rows(f"{name} {index} test", shown), labels[window], "tests")


def score_all(
    pieces: Sequence[Piece], score: ScoreConfig, normal: NormalRange, limit: float
) -> list[Scores]:
    """Causal scores of a stream, as the service gives them; NaN where there is none."""
    clips = [[_measures(row, score) for row in piece.rows.tolist()] for piece in pieces]
    scored = causal_scores(clips, score, normal, limit)
    return [np.array([np.nan if s is None else s for s in clip]) for clip in scored]


def _measures(row: Sequence[float], score: ScoreConfig) -> Measures | None:
    psnr, distance, gate_error, error = row
    if np.isnan(psnr):
        return None
    return Measures(psnr, distance, gate_error, {score.error.key: error})


def usable_after(pieces: Sequence[Piece], score: ScoreConfig, normal: NormalRange) -> int:
    """Frames of normal footage after the disturbance until all scores are near those without it;
    TAIL_FRAMES stands for more."""
    before = [piece for piece in pieces if piece.part == "before"]
    during = [piece for piece in pieces if piece.part == "during"]
    tail = before * (TAIL_FRAMES // sum(len(piece.rows) for piece in before) + 1)
    limit = form_threshold(pieces, score, normal)
    after = score_all([*before, *during, *tail], score, normal, limit)[-len(tail) :]
    return _far(after, score_all([*before, *tail], score, normal, limit)[-len(tail) :])


def _far(scores: Sequence[Scores], reference: Sequence[Scores]) -> int:
    """Frames until all later scores are near the reference's."""
    far = np.abs(np.concatenate(scores) - np.concatenate(reference)) > NEAR
    return min(int(np.flatnonzero(far)[-1]) + 1, TAIL_FRAMES) if far.any() else 0


def form_threshold(pieces: Sequence[Piece], score: ScoreConfig, normal: NormalRange) -> float:
    """The threshold that normal footage, before the disturbance, gives this form."""
    rows = [piece.rows.tolist() for piece in pieces if piece.part == "before"]
    return threshold([[_measures(row, score) for row in each] for each in rows], score, normal)


def outcomes(
    stream: str, pieces: Sequence[Piece], score: ScoreConfig, normal: NormalRange
) -> Iterator[Outcome]:
    """One line for each part of the stream."""
    limit = form_threshold(pieces, score, normal)
    scores = score_all(pieces, score, normal, limit)
    parts = dict.fromkeys(piece.part for piece in pieces if piece.part != "before")
    for part in parts:
        chosen = [(p.abnormal, s) for p, s in zip(pieces, scores, strict=True) if p.part == part]
        labels, values = [each[0] for each in chosen], [each[1] for each in chosen]
        usable = usable_after(pieces, score, normal) if part != "during" else None
        yield _outcome((stream, score.name, part), labels, values, limit, usable)


def _outcome(
    names: tuple[str, str, str],
    labels: Sequence[Labels],
    scores: Sequence[Scores],
    limit: float,
    usable: int | None,
) -> Outcome:
    result = outcome(scores, labels, limit, EventRules(), FPS)
    auc = accuracy(labels, scores).micro
    return Outcome(
        *names,
        auc,
        false_events=result.false_events,
        normal_minutes=60.0 * result.normal_hours,
        found=result.found,
        labelled=result.labelled,
        usable_after=usable,
    )


def cold_starts(
    before: Sequence[Piece], tests: Sequence[Piece], score: ScoreConfig, saved: NormalRange
) -> Iterator[Outcome]:
    """The test clips from the first frame on, from the saved range or from less."""
    rows = [_measures(row, score) for row in before[0].rows.tolist()]
    first = [_measures(row, score) for row in tests[0].rows.tolist() if not np.isnan(row[0])][:1]
    starts = {
        "saved range": saved,
        "range of one normal clip": normal_range([rows]),
        "range of the first frame": normal_range([first]),
    }
    limit = form_threshold(before, score, saved)
    labels = [piece.abnormal for piece in tests]
    reference = score_all(tests, score, saved, limit)
    for name, normal in starts.items():
        scores = score_all(tests, score, normal, limit)
        names = (f"cold start: {name}", score.name, "after")
        yield _outcome(names, labels, scores, limit, _far(scores, reference))


def draw(
    path: Path, found: dict[str, list[Piece]], scores: Sequence[ScoreConfig], normal: NormalRange
) -> None:
    """Scores over their thresholds: a glitch, the infrared, and the two hours of light."""
    shown = ["glitch: black", "infrared", "dusk", "night"]
    figure = Figure(figsize=(12, 12), layout="constrained")
    for axes, stream in zip(figure.subplots(len(shown)), shown, strict=True):
        pieces = found[stream]
        frames = sum(len(piece.rows) for piece in pieces)
        every = 1 if frames < STEP_FRAMES else 100
        for score in scores:
            limit = form_threshold(pieces, score, normal)
            values = np.concatenate(score_all(pieces, score, normal, limit)) / limit
            values = np.nan_to_num(values)  # the first frames after a cut, without a score
            highest = [values[at : at + every].max() for at in range(0, frames, every)]
            axes.plot(
                np.arange(len(highest)) * every / FPS / 60.0, highest, lw=0.9, label=score.name
            )
        for start, stop in spans(np.concatenate([piece.abnormal for piece in pieces])):
            axes.axvspan(start / FPS / 60.0, stop / FPS / 60.0, color="#d64545", alpha=0.15)
        axes.axhline(1.0, color="#8a94a3", linestyle="--", linewidth=1)
        axes.set(title=stream, ylabel="score / threshold", xlim=(0, frames / FPS / 60.0))
    axes.set_xlabel("minutes")
    axes.legend(loc="upper left", fontsize="small", ncols=len(scores))
    figure.savefig(path, dpi=100, format="png")


def footage(bundle: Bundle, folder: Path) -> Iterator[tuple[list[Clip], list[tuple[Clip, Labels]]]]:
    """Normal clips that the bundle wasn't trained on, and test clips of both kinds of frame."""
    labelled = [
        clip
        for clip in load(folder)
        if clip.abnormal.any() and (~clip.abnormal).sum() >= LEAST_NORMAL
    ]
    with frame_store(bundle.frame_shape) as store:
        sources = discover([str(folder / "training" / "frames")])
        for source in [*sources, *(clip.source for clip in labelled)]:
            store.add(source)
        clips = store.clips()
        _, held = split(clips[: len(sources)], HOLD_OUT, bundle.config.context)
        tests = clips[len(sources) :]
        yield held, [(clip, each.abnormal) for clip, each in zip(tests, labelled, strict=True)]


def main() -> None:
    """Measure, score, write."""
    parser = argparse.ArgumentParser(description="What disturbances do to causal scores.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", default="ped2-small")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--keep", type=Path, help="measures, .npz: taken from there, or put there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bundle = bundles.load(find(arguments.bundle))
    normal = bundle.calibration.normal
    if normal is None:
        raise SystemExit(f"bundle {bundle.name} has no range of normal footage")
    network = Network(bundle, arguments.keep)
    for held, tests in footage(bundle, arguments.folder):
        found = dict(streams(network, held, tests))
    scores = [replace(bundle.score, name=name, normalisation=form) for name, form in FORMS.items()]
    before = [piece for piece in found["none"] if piece.part == "before"]
    after = [piece for piece in found["none"] if piece.part == "after"]
    lines = [line for score in scores for line in cold_starts(before, after, score, normal)]
    lines += [
        line
        for stream, pieces in found.items()
        for score in scores
        for line in outcomes(stream, pieces, score, normal)
    ]
    for line in lines:
        auc = "     " if line.auc is None else f"{line.auc:5.1f}"
        usable = "" if line.usable_after is None else f"usable after {line.usable_after}"
        print(
            f"{line.stream:37} {line.form:20} {line.part:6} AUC {auc} false {line.false_events:3d} "
            f"in {line.normal_minutes:4.1f} min  found {line.found}/{line.labelled}  {usable}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n")
    if arguments.plot:
        draw(arguments.plot, found, scores, normal)


if __name__ == "__main__":
    main()
