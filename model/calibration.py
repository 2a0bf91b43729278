"""What held-out normal footage says: γ, the ranges that scores start from, a threshold a score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from model.bundle import Bundle
from model.config import NormalRange, ScoreConfig, Span, compositions
from model.detector import Detector
from model.footage import Clip
from model.observation import CameraOptions
from model.rules import LIVE_UPDATE, UPDATE_RULES
from model.score import Measures, Scorer

GATE_QUANTILE = 0.99
"""γ lies where this share of normal frames falls below it: they go on teaching the memory."""

THRESHOLD_MARGIN = 1.15
"""The threshold lies this many times as high as the highest score of held-out normal footage."""

LEAST_THRESHOLD = 0.1
"""Where held-out footage hardly scores (it is too short, or nothing moves), so much is no event."""

LEAST_MEASURED = 2
"""Frames of a held-out clip that can be scored, at least: a range has two ends."""


def split(clips: Sequence[Clip], share: float, context: int = 0) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and normal footage kept back, about `share` of the frames.

    Of many clips whole ones are kept, evenly spread; of few, the end of each that is long enough.

    Args:
        context: frames that come before the first one that can be scored.
    Raises: ValueError: the share isn't in (0, 0.5], or the footage is too short.
    """
    if not 0.0 < share <= 0.5:
        raise ValueError(f"the share to hold out must be above 0 and at most 0.5, got {share!r}")
    every = round(1.0 / share)
    least = context + LEAST_MEASURED
    training: list[Clip] = []
    held: list[Clip] = []
    if len(clips) >= every:
        for index, clip in enumerate(clips):
            (held if index % every == every // 2 else training).append(clip)
    else:
        for clip in clips:
            tail = max(least, round(share * len(clip)))
            cut = len(clip) - tail if len(clip) - tail >= least else len(clip)
            training.append(Clip(clip.name, clip.frames[:cut]))
            held.append(Clip(clip.name, clip.frames[cut:]))
    if max(map(len, held), default=0) < least:
        raise ValueError(f"the footage is too short: {least} frames in a row are to be kept back")
    return training, [clip for clip in held if len(clip)]


def measure(
    detector: Detector,
    clips: Sequence[Clip],
    options: CameraOptions | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> list[list[Measures | None]]:
    """Show the clips to one camera, in order, a cut between each two; the measures of each frame.

    None stands where there weren't enough frames yet.
    """
    camera = detector.start()
    results: list[list[Measures | None]] = []
    for clip in clips:
        camera.cut()
        rows: list[Measures | None] = []
        for frame in clip.frames:
            rows.append(
                detector.observe([camera], [frame], [options or CameraOptions()])[0].measures
            )
            on_frame()
        results.append(rows)
    return results


def calibrate(bundle: Bundle, held_out: Sequence[Clip]) -> Bundle:
    """The bundle with γ, ranges and thresholds measured on normal footage it wasn't trained on.

    Raises: ValueError: the footage is too short for one measure.
    """
    scores = compositions(bundle.score)
    frozen = _flat(measure(Detector(bundle), held_out, CameraOptions(update=UPDATE_RULES["held"])))
    if not frozen:
        raise ValueError("the held-out footage is too short: no frame of it could be measured")
    gamma = float(np.quantile([row.gate_error for row in frozen], GATE_QUANTILE))
    calibration = replace(bundle.calibration, gamma=gamma)
    detector = Detector(replace(bundle, calibration=calibration), scores=tuple(scores.values()))
    clips = measure(detector, held_out, CameraOptions(update=LIVE_UPDATE))
    normal = normal_range(clips)
    thresholds = {name: threshold(clips, score, normal) for name, score in scores.items()}
    return replace(bundle, calibration=replace(calibration, normal=normal, thresholds=thresholds))


def normal_range(clips: Sequence[Sequence[Measures | None]]) -> NormalRange:
    """The span of each measure that these clips of normal footage hold.

    Raises: ValueError: no frame of them was measured.
    """
    rows = _flat(clips)
    if not rows:
        raise ValueError("the normal footage is too short: no frame of it could be measured")
    return NormalRange(
        distance=_span([row.distance for row in rows]),
        errors={key: _span([row.errors[key] for row in rows]) for key in rows[0].errors},
    )


def threshold(
    clips: Sequence[Sequence[Measures | None]], score: ScoreConfig, normal: NormalRange
) -> float:
    """What no score of this normal footage reaches, by a margin; at most halfway up to 1.

    Scores end at 1: a margin without that limit could put the threshold out of their reach.
    """
    scores = [s for clip in causal_scores(clips, score, normal) for s in clip if s is not None]
    highest = max(scores)
    return max(LEAST_THRESHOLD, min(THRESHOLD_MARGIN * highest, (1.0 + highest) / 2.0))


def causal_scores(
    clips: Sequence[Sequence[Measures | None]],
    score: ScoreConfig,
    normal: NormalRange,
    threshold: float | None = None,
) -> list[list[float | None]]:
    """Scores as the service gives them: one camera, its ranges carried from clip to clip."""
    scorer = Scorer(score, normal)
    results: list[list[float | None]] = []
    for clip in clips:
        scorer.cut()
        results.append(
            [None if row is None else scorer.score(row, threshold=threshold) for row in clip]
        )
    return results


def _flat(clips: Sequence[Sequence[Measures | None]]) -> list[Measures]:
    return [row for clip in clips for row in clip if row is not None]


def _span(values: Sequence[float]) -> Span:
    return Span(min(values), max(values))
