"""What held-out normal footage says: γ, the ranges that scores start from, a threshold for each score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from model.bundle import Bundle
from model.config import SCORES, NormalRange, ScoreConfig, Span
from model.detector import CameraOptions, Detector
from model.footage import Clip
from model.score import Measures, Scorer

GATE_QUANTILE = 0.99
"""γ lies where this share of normal frames falls below it: they go on teaching the memory."""

THRESHOLD_MARGIN = 1.15
"""The threshold lies this many times as high as the highest score of held-out normal footage."""


def split(clips: Sequence[Clip], share: float) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and normal footage kept back, about `share` of the frames.

    Of many clips whole ones are kept, evenly spread; of few, the end of each.
    Raises: ValueError: the share isn't in (0, 0.5].
    """
    if not 0.0 < share <= 0.5:
        raise ValueError(f"the held-out share must be above 0 and at most 0.5, got {share!r}")
    every = round(1.0 / share)
    if len(clips) >= every:
        # Ped2's first clip holds the left-most people; the middle of each run of clips is as good.
        kept = set(range(every // 2, len(clips), every))
        return (
            [clip for i, clip in enumerate(clips) if i not in kept],
            [clip for i, clip in enumerate(clips) if i in kept],
        )
    training, held = [], []
    for clip in clips:
        cut = len(clip) - max(1, round(share * len(clip)))
        training.append(Clip(clip.name, clip.frames[:cut]))
        held.append(Clip(clip.name, clip.frames[cut:]))
    return training, held


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
    frozen = _flat(measure(Detector(bundle), held_out, CameraOptions(adapt=False)))
    if not frozen:
        raise ValueError("the held-out footage is too short: no frame of it could be measured")
    gamma = float(np.quantile([row.gate_error for row in frozen], GATE_QUANTILE))
    calibration = replace(bundle.calibration, gamma=gamma)
    clips = measure(Detector(replace(bundle, calibration=calibration)), held_out)
    rows = _flat(clips)
    normal = NormalRange(
        psnr=_span([row.psnr for row in rows]),
        distance=_span([row.distance for row in rows]),
        pooled=_span([row.pooled for row in rows]),
    )
    thresholds = {
        score.name: threshold(clips, score, normal)
        for score in {**SCORES, bundle.score.name: bundle.score}.values()
    }
    return replace(bundle, calibration=replace(calibration, normal=normal, thresholds=thresholds))


def threshold(
    clips: Sequence[Sequence[Measures | None]], score: ScoreConfig, normal: NormalRange
) -> float:
    """What no score of this normal footage reaches, by a margin."""
    scores = [s for clip in causal_scores(clips, score, normal) for s in clip if s is not None]
    return THRESHOLD_MARGIN * max(scores)


def causal_scores(
    clips: Sequence[Sequence[Measures | None]], score: ScoreConfig, normal: NormalRange
) -> list[list[float | None]]:
    """Scores as the service gives them: one camera, its ranges carried from clip to clip."""
    scorer = Scorer(score, normal)
    results: list[list[float | None]] = []
    for clip in clips:
        scorer.cut()
        results.append([None if row is None else scorer.score(row) for row in clip])
    return results


def _flat(clips: Sequence[Sequence[Measures | None]]) -> list[Measures]:
    return [row for clip in clips for row in clip if row is not None]


def _span(values: Sequence[float]) -> Span:
    return Span(min(values), max(values))
