"""Measures what a disturbance of the picture does to causal scores, by form of normalisation.

    python scripts/studies/study_range.py PED2 --bundle ped2-judged --json F --plot F [--keep F]

Every disturbed clip goes through the network once, without memory updates; its measures are kept,
and scored by each form of normalisation. PED2 holds training/ and testing/ with labels.
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
    add_noise,
    apply_infrared,
    blacken,
    dim,
    disturb,
    lose_lower_half,
    smear_grey,
)
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.calibration_config import NormalRange
from model.bundles.catalog import find_bundle
from model.data.datasets import load_test_clips
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.evaluation.accuracy import Labels, Scores, compute_accuracy, to_array
from model.evaluation.event_figures import find_runs, measure_events
from model.events.event_detection import EventRules
from model.footage.clips import Clip, read_clips
from model.footage.footage_search import find_footage
from model.network.update_rules import UPDATE_RULES
from model.scoring.measures import Measures
from model.scoring.score_config import PAPER, Normalisation, NormalisationKind, ScoreConfig
from model.training.bundle_calibration import (
    compute_threshold,
    measure_clips,
    measure_normal_range,
    score_causally,
    split_clips,
)

FPS = 10.0
HOLD_OUT = 0.125
LEAST_NORMAL = 60
"""A test clip needs at least this many normal frames to take part."""
IR_FRAMES = 600
LIGHT = (1.0, 0.6, 0.35)
"""Gains of the dusk, in equal shares of an hour."""
NOISE = (0.0, 4.0, 8.0)
"""The same for the night: sigma of the noise from a camera's own gain, in grey levels."""
STEP_FRAMES = 12_000
LOOP_FRAMES = 90
TAIL_FRAMES = 6000
NEAR = 0.05
"""A score is usable again if it is this near to the one without the disturbance."""

FORMS = {
    "min_max": PAPER.normalisation,
    "min_max, headroom 2": replace(PAPER.normalisation, headroom=2.0),
    "decayed": Normalisation(NormalisationKind.DECAYED),
    "quantile": Normalisation(NormalisationKind.QUANTILE),
}

GLITCHES = {"grey smear": smear_grey, "black": blacken, "half decoded": lose_lower_half}

Rows = NDArray[np.float64]
"""P, D, E_t and the pooled error of each frame; NaN before there were enough frames."""


@dataclass(frozen=True)
class StreamPiece:
    """Consecutive frames of a stream, after a cut."""

    rows: Rows
    abnormal: Labels
    part: str = "after"
    """`before`, `during` or `after` the disturbance, or `tests` in between."""


@dataclass(frozen=True)
class RangeOutcome:
    """The result of one form of normalisation on one part of a stream."""

    stream: str
    form: str
    part: str
    auc: float | None
    false_events: int
    normal_minutes: float
    found: int
    labelled: int
    usable_after: int | None
    """Frames until the scores are usable again; None if that isn't measured."""


class MeasuredClips:
    """The measures of clips, by name; each is computed once, and kept in a file if one is given."""

    def __init__(self, bundle: Bundle, keep: Path | None) -> None:
        self._detector = Detector(bundle)
        self._key = bundle.score.error.key
        self._keep = keep
        self._known: dict[str, Rows] = {}
        if keep is not None and keep.is_file():
            with np.load(keep) as saved:
                self._known = {name: saved[name] for name in saved.files}

    def measure(self, name: str, clip: Clip) -> Rows:
        """Measure the clip's frames."""
        if name not in self._known:
            measured = measure_clips(
                self._detector, [clip], CameraOptions(update=UPDATE_RULES["held"])
            )[0]
            self._known[name] = np.array([self._to_numbers(row) for row in measured])
            print(f"measured {name}: {len(clip)} frames", flush=True)
            if self._keep is not None:
                np.savez(self._keep, allow_pickle=False, **self._known)
        return self._known[name]

    def measure_disturbed_clip(
        self, name: str, clip: Clip, transform: Transform, start: int, stop: int
    ) -> Rows:
        """Measure the clip with the transform on the frames from `start` up to `stop`.

        The memory isn't updated, so only disturbed frames and those right after them differ.
        """
        context = self._detector.bundle.config.context
        first, last = max(0, start - context), min(len(clip), stop + context)
        frames = disturb(clip, transform, start, stop).frames[first:last]
        changed = self.measure(f"{name} {clip.name}", Clip(clip.name, frames))
        rows = self.measure(f"clean {clip.name}", clip).copy()
        rows[start:last] = changed[start - first :]
        return rows

    def _to_numbers(self, row: Measures | None) -> list[float]:
        if row is None:
            return [np.nan] * 4
        return [row.psnr, row.distance, row.gate_error, row.errors[self._key]]


def make_streams(
    network: MeasuredClips, held: Sequence[Clip], tests: Sequence[tuple[Clip, Labels]]
) -> Iterator[tuple[str, list[StreamPiece]]]:
    """Make a stream of each disturbance: normal footage, the disturbance, labelled footage."""
    before = [_make_normal(network.measure(f"clean {clip.name}", clip), "before") for clip in held]
    after = [
        StreamPiece(network.measure(f"clean test {clip.name}", clip), labels)
        for clip, labels in tests
    ]
    yield "none", before + after
    middle = len(held[0]) // 2
    for name, transform in GLITCHES.items():
        rows = network.measure_disturbed_clip(name, held[0], transform, middle, middle + 1)
        yield f"glitch: {name}", [*before, _make_normal(rows, "during"), *after]
    yield "infrared", [*before, *_make_infrared_pieces(network, held[0], tests), *after]
    for name, steps, kind in (("dusk", LIGHT, dim), ("night", NOISE, add_noise)):
        transforms = [kind(step) for step in steps]
        yield name, before + list(_make_light(network, name, transforms, held[0], tests[-1]))


def _make_normal(rows: Rows, part: str) -> StreamPiece:
    return StreamPiece(rows, np.zeros(len(rows), bool), part)


def _make_infrared_pieces(
    network: MeasuredClips, normal: Clip, tests: Sequence[tuple[Clip, Labels]]
) -> Iterator[StreamPiece]:
    """Make IR_FRAMES of infrared, from amid a normal clip, over labelled ones, to amid another."""
    middle = len(normal) // 2
    rows = network.measure_disturbed_clip(
        "infrared on", normal, apply_infrared, middle, len(normal)
    )
    yield _make_normal(rows, "during")
    left = IR_FRAMES - len(normal)
    for clip, labels in tests:
        part = Clip(clip.name, clip.frames[:left])
        if len(part):
            rows = network.measure(f"infrared test {clip.name}", disturb(part, apply_infrared))
            yield StreamPiece(rows, labels[: len(part)], "during")
        left = max(0, left - len(part))
    yield _make_normal(
        network.measure_disturbed_clip("infrared off", normal, apply_infrared, 0, middle), "during"
    )


def _make_light(
    network: MeasuredClips,
    name: str,
    steps: Sequence[Transform],
    normal: Clip,
    test: tuple[Clip, Labels],
) -> Iterator[StreamPiece]:
    """Make an hour with equal shares of each step: a repeated normal loop, then labelled frames."""
    loop = Clip(normal.name, normal.frames[:LOOP_FRAMES])
    clip, labels = test
    at = max(0, int(labels.argmax()) - LOOP_FRAMES // 2)
    window = slice(at, at + LOOP_FRAMES)
    for index, transform in enumerate(steps):
        rows = network.measure(f"{name} {index} loop", disturb(loop, transform))
        for _ in range(STEP_FRAMES // len(loop)):
            yield _make_normal(rows, "during")
        dim_test = disturb(Clip(clip.name, clip.frames[window]), transform)
        yield StreamPiece(
            network.measure(f"{name} {index} test", dim_test), labels[window], "tests"
        )


def score_all(
    pieces: Sequence[StreamPiece], score: ScoreConfig, normal: NormalRange, limit: float
) -> list[Scores]:
    """Compute a stream's causal scores, as in the service; NaN where there is none."""
    clips = [[_to_measures(row, score) for row in piece.rows.tolist()] for piece in pieces]
    scored = score_causally(clips, score, normal, limit)
    return [to_array(clip) for clip in scored]


def _to_measures(row: Sequence[float], score: ScoreConfig) -> Measures | None:
    psnr, distance, gate_error, error = row
    if np.isnan(psnr):
        return None
    return Measures(psnr, distance, gate_error, {score.error.key: error})


def count_until_usable(
    pieces: Sequence[StreamPiece], score: ScoreConfig, normal: NormalRange
) -> int:
    """Count frames of normal footage after the disturbance until all scores are near those without
    it; TAIL_FRAMES stands for more."""
    before = [piece for piece in pieces if piece.part == "before"]
    during = [piece for piece in pieces if piece.part == "during"]
    tail = before * (TAIL_FRAMES // sum(len(piece.rows) for piece in before) + 1)
    limit = find_threshold(pieces, score, normal)
    after = score_all([*before, *during, *tail], score, normal, limit)[-len(tail) :]
    return _count_far(after, score_all([*before, *tail], score, normal, limit)[-len(tail) :])


def _count_far(scores: Sequence[Scores], reference: Sequence[Scores]) -> int:
    """Count frames until all later scores are near the reference's."""
    far = np.abs(np.concatenate(scores) - np.concatenate(reference)) > NEAR
    return min(int(np.flatnonzero(far)[-1]) + 1, TAIL_FRAMES) if far.any() else 0


def find_threshold(pieces: Sequence[StreamPiece], score: ScoreConfig, normal: NormalRange) -> float:
    """Find this form's threshold from normal footage, before the disturbance."""
    rows = [piece.rows.tolist() for piece in pieces if piece.part == "before"]
    return compute_threshold(
        [[_to_measures(row, score) for row in each] for each in rows], score, normal
    )


def measure_parts(
    stream: str, pieces: Sequence[StreamPiece], score: ScoreConfig, normal: NormalRange
) -> Iterator[RangeOutcome]:
    """Yield a line for each part of the stream."""
    limit = find_threshold(pieces, score, normal)
    scores = score_all(pieces, score, normal, limit)
    parts = dict.fromkeys(piece.part for piece in pieces if piece.part != "before")
    for part in parts:
        chosen = [(p.abnormal, s) for p, s in zip(pieces, scores, strict=True) if p.part == part]
        labels, values = [each[0] for each in chosen], [each[1] for each in chosen]
        usable = count_until_usable(pieces, score, normal) if part != "during" else None
        yield _measure_part((stream, score.name, part), labels, values, limit, usable)


def _measure_part(
    names: tuple[str, str, str],
    labels: Sequence[Labels],
    scores: Sequence[Scores],
    limit: float,
    usable: int | None,
) -> RangeOutcome:
    result = measure_events(scores, labels, limit, EventRules(), FPS)
    auc = compute_accuracy(labels, scores).micro
    return RangeOutcome(
        *names,
        auc,
        false_events=result.false_events,
        normal_minutes=60.0 * result.normal_hours,
        found=result.found,
        labelled=result.labelled,
        usable_after=usable,
    )


def measure_cold_starts(
    before: Sequence[StreamPiece],
    tests: Sequence[StreamPiece],
    score: ScoreConfig,
    saved: NormalRange,
) -> Iterator[RangeOutcome]:
    """Score the test clips from the first frame on, from the saved range or from less."""
    rows = [_to_measures(row, score) for row in before[0].rows.tolist()]
    first = [_to_measures(row, score) for row in tests[0].rows.tolist() if not np.isnan(row[0])][:1]
    starts = {
        "saved range": saved,
        "range of one normal clip": measure_normal_range([rows]),
        "range of the first frame": measure_normal_range([first]),
    }
    limit = find_threshold(before, score, saved)
    labels = [piece.abnormal for piece in tests]
    reference = score_all(tests, score, saved, limit)
    for name, normal in starts.items():
        scores = score_all(tests, score, normal, limit)
        names = (f"cold start: {name}", score.name, "after")
        yield _measure_part(names, labels, scores, limit, _count_far(scores, reference))


def draw(
    path: Path,
    found: dict[str, list[StreamPiece]],
    scores: Sequence[ScoreConfig],
    normal: NormalRange,
) -> None:
    """Draw scores over their thresholds: a glitch, the infrared, and the two hours of light."""
    drawn = ["glitch: black", "infrared", "dusk", "night"]
    figure = Figure(figsize=(12, 12), layout="constrained")
    for axes, stream in zip(figure.subplots(len(drawn)), drawn, strict=True):
        pieces = found[stream]
        frames = sum(len(piece.rows) for piece in pieces)
        every = 1 if frames < STEP_FRAMES else 100
        for score in scores:
            limit = find_threshold(pieces, score, normal)
            values = np.concatenate(score_all(pieces, score, normal, limit)) / limit
            values = np.nan_to_num(values)  # the first frames after a cut, without a score
            highest = [values[at : at + every].max() for at in range(0, frames, every)]
            axes.plot(
                np.arange(len(highest)) * every / FPS / 60.0, highest, lw=0.9, label=score.name
            )
        for start, stop in find_runs(np.concatenate([piece.abnormal for piece in pieces])):
            axes.axvspan(start / FPS / 60.0, stop / FPS / 60.0, color="#d64545", alpha=0.15)
        axes.axhline(1.0, color="#8a94a3", linestyle="--", linewidth=1)
        axes.set(title=stream, ylabel="score / threshold", xlim=(0, frames / FPS / 60.0))
    axes.set_xlabel("minutes")
    axes.legend(loc="upper left", fontsize="small", ncols=len(scores))
    figure.savefig(path, dpi=100, format="png")


def read_footage(
    bundle: Bundle, folder: Path
) -> Iterator[tuple[list[Clip], list[tuple[Clip, Labels]]]]:
    """Read normal clips not used in training, and test clips with normal and abnormal frames."""
    labelled = [
        clip
        for clip in load_test_clips(folder)
        if clip.abnormal.any() and (~clip.abnormal).sum() >= LEAST_NORMAL
    ]
    sources = find_footage([str(folder / "training" / "frames")]).sources
    needed = [*sources, *(clip.source for clip in labelled)]
    clips = read_clips(needed, bundle.frame_shape, whole=True)
    _, held = split_clips(clips[: len(sources)], HOLD_OUT, bundle.config.context)
    tests = clips[len(sources) :]
    yield held, [(clip, each.abnormal) for clip, each in zip(tests, labelled, strict=True)]


def main() -> None:
    """Measure, score, write."""
    parser = argparse.ArgumentParser(description="What disturbances do to causal scores.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", default="ped2-judged")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument(
        "--keep", type=Path, help="measures, .npz: read from there, or written there"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bundle = bundles.load(find_bundle(arguments.bundle))
    normal = bundle.calibration.normal
    if normal is None:
        raise SystemExit(f"bundle {bundle.name} has no range of normal footage")
    network = MeasuredClips(bundle, arguments.keep)
    for held, tests in read_footage(bundle, arguments.folder):
        found = dict(make_streams(network, held, tests))
    scores = [replace(bundle.score, name=name, normalisation=form) for name, form in FORMS.items()]
    before = [piece for piece in found["none"] if piece.part == "before"]
    after = [piece for piece in found["none"] if piece.part == "after"]
    lines = [line for score in scores for line in measure_cold_starts(before, after, score, normal)]
    lines += [
        line
        for stream, pieces in found.items()
        for score in scores
        for line in measure_parts(stream, pieces, score, normal)
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
