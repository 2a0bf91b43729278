"""Measures γ, normal ranges and thresholds on held-out normal footage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from model.bundles.bundle import Bundle
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.engines.crops import Crops
from model.footage.clips import Clip
from model.network.update_rules import LIVE_UPDATE, UPDATE_RULES
from model.scene.features import extract
from model.scene.stillness import Stillness
from model.scoring.measures import Measures
from model.scoring.normal_range import Interval, NormalRange
from model.scoring.score_config import ScoreConfig, list_scores
from model.scoring.scorer import Scorer
from model.training.score_composition import choose_composition

GATE_QUANTILE = 0.99
"""γ lies where this share of normal frames falls below it: they go on teaching the memory."""

THRESHOLD_MARGIN = 1.15
"""The threshold lies this many times as high as the highest score of held-out normal footage."""

LEAST_THRESHOLD = 0.1
"""A threshold is never lower, however little held-out footage scores."""

MOST_STILL_DIFFERENCE = 0.05
"""A score, from 0 to 1, may change by so much where only what changes is computed."""

LEAST_MEASURED = 2
"""Frames of a held-out clip that can be scored, at least: a range has two ends."""


def split_clips(
    clips: Sequence[Clip], share: float, context: int = 0
) -> tuple[list[Clip], list[Clip]]:
    """Split clips into those to train on and those held out, about `share` of the frames.

    Of many clips whole ones are held out, evenly spread; of few, the end of each long one.

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


def measure_clips(
    detector: Detector,
    clips: Sequence[Clip],
    options: CameraOptions | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> list[list[Measures | None]]:
    """Measure each frame of the clips with one camera, in order, with a cut between each two.

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
    """Add γ, ranges and thresholds to the bundle, measured on normal footage it wasn't trained on,
    and whether its scores stay what they are where only what changes is computed. If its network
    judges, choose the judgement's weight in the score.

    Raises: ValueError: the footage is too short for one measure.
    """
    scores = list_scores(bundle.score)
    frozen_options = CameraOptions(update=UPDATE_RULES["held"], skip_still=False)
    frozen = _list_measured(measure_clips(Detector(bundle), held_out, frozen_options))
    if not frozen:
        raise ValueError("the held-out footage is too short: no frame of it could be measured")
    gamma = float(np.quantile([row.gate_error for row in frozen], GATE_QUANTILE))
    calibration = replace(bundle.calibration, gamma=gamma)
    detector = Detector(replace(bundle, calibration=calibration), scores=tuple(scores.values()))
    clips = measure_clips(detector, held_out, CameraOptions(update=LIVE_UPDATE, skip_still=False))
    normal = measure_normal_range(clips)
    bundle = _choose_score(replace(bundle, calibration=calibration), held_out, normal)
    scores |= {bundle.score.name: bundle.score}
    thresholds = {name: compute_threshold(clips, score, normal) for name, score in scores.items()}
    calibration = replace(calibration, normal=normal, thresholds=thresholds)
    skips_still = not _skips_places(bundle, held_out) or _have_close_scores(
        score_causally(clips, bundle.score, normal),
        score_causally(
            measure_clips(detector, held_out, CameraOptions(update=LIVE_UPDATE, skip_still=True)),
            bundle.score,
            normal,
        ),
    )
    return replace(bundle, calibration=replace(calibration, skips_still=skips_still))


def _choose_score(bundle: Bundle, held_out: Sequence[Clip], normal: NormalRange) -> Bundle:
    if bundle.score.judgement is None:
        return bundle
    score, composition = choose_composition(bundle, held_out, normal)
    provenance = replace(bundle.provenance, composition=composition)
    return replace(bundle, score=score, provenance=provenance)


def _skips_places(bundle: Bundle, clips: Sequence[Clip]) -> bool:
    """Returns whether any frame of the clips would be skipped, or computed in part."""
    crops = Crops(bundle.config)
    stillness = Stillness(bundle.config.context, bundle.provenance.frame_rate or 10.0)
    for clip in clips:
        stillness.cut()
        for frame in clip.frames:
            features = extract(frame)
            active = stillness.find_active(features)
            if active is not None and (not active.any() or crops.find(active)):
                return True
            stillness.add_inferred(features)
    return False


def _have_close_scores(one: list[list[float | None]], other: list[list[float | None]]) -> bool:
    """Returns whether no score of a clip differs by more than `MOST_STILL_DIFFERENCE`."""
    pairs = (pair for clips in zip(one, other, strict=True) for pair in zip(*clips, strict=True))
    return all(
        mine is None or theirs is None or abs(mine - theirs) <= MOST_STILL_DIFFERENCE
        for mine, theirs in pairs
    )


def measure_normal_range(clips: Sequence[Sequence[Measures | None]]) -> NormalRange:
    """Measure the range of each measure over these clips of normal footage.

    Raises: ValueError: no frame of them was measured.
    """
    rows = _list_measured(clips)
    if not rows:
        raise ValueError("the normal footage is too short: no frame of it could be measured")
    return NormalRange(
        distance=_find_interval([row.distance for row in rows]),
        errors={key: _find_interval([row.errors[key] for row in rows]) for key in rows[0].errors},
    )


def compute_threshold(
    clips: Sequence[Sequence[Measures | None]], score: ScoreConfig, normal: NormalRange
) -> float:
    """Compute a threshold that no score of this normal footage reaches, by a margin.

    It is at most halfway up to 1, where scores end: else it could be out of their reach.
    """
    scores = [s for clip in score_causally(clips, score, normal) for s in clip if s is not None]
    highest = max(scores)
    return max(LEAST_THRESHOLD, min(THRESHOLD_MARGIN * highest, (1.0 + highest) / 2.0))


def score_causally(
    clips: Sequence[Sequence[Measures | None]],
    score: ScoreConfig,
    normal: NormalRange,
    threshold: float | None = None,
) -> list[list[float | None]]:
    """Score the clips as the service would: one camera, its ranges carried from clip to clip."""
    scorer = Scorer(score, normal)
    results: list[list[float | None]] = []
    for clip in clips:
        scorer.cut()
        results.append(
            [None if row is None else scorer.score(row, threshold=threshold) for row in clip]
        )
    return results


def _list_measured(clips: Sequence[Sequence[Measures | None]]) -> list[Measures]:
    return [row for clip in clips for row in clip if row is not None]


def _find_interval(values: Sequence[float]) -> Interval:
    return Interval(min(values), max(values))
