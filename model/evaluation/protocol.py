"""Scores labelled footage by two protocols, and measures how well abnormal frames stand out.

`offline` is the papers': each clip is normalised by its own minimum and maximum, future included.
`causal` is what a live service can do: one camera whose ranges start from those saved
with the model, and nothing from the future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluation.accuracy import Accuracy, Labels, Scores, compute_accuracy, to_array
from model.scoring.measures import Measures
from model.scoring.normal_range import NormalRange
from model.scoring.score_config import ErrorStep, ScoreConfig
from model.scoring.scorer import DISTANCE, LEAST_SPAN
from model.training.bundle_calibration import score_causally


@dataclass(frozen=True, slots=True)
class ScoredClip:
    """A test clip's scores; NaN before there were enough frames."""

    name: str
    abnormal: Labels
    offline: Scores
    causal: Scores


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of one score composition on one set of test clips."""

    score: ScoreConfig
    clips: tuple[ScoredClip, ...]
    offline: Accuracy
    causal: Accuracy


def evaluate_scores(
    score: ScoreConfig,
    normal: NormalRange,
    names: Sequence[str],
    measured: Sequence[Sequence[Measures | None]],
    abnormal: Sequence[Labels],
    *,
    skip: int = 0,
    threshold: float | None = None,
) -> Evaluation:
    """Score measured clips by both protocols.

    Args:
        normal: causal scores start from it; if it lacks this score's error, there are none.
        skip: this many of the first measured frames get no causal score.
        threshold: the causal score's; see `Scorer.score`.
    """
    causal = _score_causally(score, normal, _skip_first(measured, skip), threshold)
    offline = [score_offline(rows, score) for rows in measured]
    clips = tuple(
        ScoredClip(name, labels, off, live)
        for name, labels, off, live in zip(names, abnormal, offline, causal, strict=True)
    )
    return Evaluation(
        score, clips, compute_accuracy(abnormal, offline), compute_accuracy(abnormal, causal)
    )


def _score_causally(
    score: ScoreConfig,
    normal: NormalRange,
    measured: Sequence[Sequence[Measures | None]],
    threshold: float | None,
) -> list[Scores]:
    if not normal.covers(score):
        return [np.full(len(rows), np.nan) for rows in measured]
    return [to_array(scores) for scores in score_causally(measured, score, normal, threshold)]


def _skip_first(
    measured: Sequence[Sequence[Measures | None]], skip: int
) -> list[list[Measures | None]]:
    kept: list[list[Measures | None]] = []
    for rows in measured:
        kept.append([])
        for row in rows:
            kept[-1].append(row if skip <= 0 else None)
            skip -= row is not None
    return kept


def score_offline(rows: Sequence[Measures | None], score: ScoreConfig) -> Scores:
    """Compute S_t by the papers' protocol: g's extremes are those of the whole clip.

    Frames whose error or judgement wasn't measured are NaN.
    """
    distance = to_array([row.distance if row else None for row in rows])
    distance = _min_max(smooth(distance, score.smoothing), LEAST_SPAN[DISTANCE])
    weight = score.appearance_weight
    mixed = weight * _normalise(rows, score.error, score.smoothing) + (1.0 - weight) * distance
    if score.judgement is None:
        return mixed
    share = score.judgement_weight
    return (1.0 - share) * mixed + share * _normalise(rows, score.judgement, score.smoothing)


def _normalise(rows: Sequence[Measures | None], step: ErrorStep, smoothing: float) -> Scores:
    values = to_array([row.errors.get(step.key) if row else None for row in rows])
    return _min_max(smooth(values, smoothing), LEAST_SPAN[step.kind])


def smooth(values: Scores, newest_weight: float) -> Scores:
    """Compute the causal exponential average; NaN before the first value."""
    result = values.copy()
    for index in range(1, len(values)):
        if not np.isnan(result[index - 1]):
            result[index] = result[index - 1] + newest_weight * (values[index] - result[index - 1])
    return result


def _min_max(values: Scores, least_span: float) -> Scores:
    known = values[~np.isnan(values)]
    if not known.size:
        return values
    span = max(float(known.max() - known.min()), least_span)
    return np.asarray((values - known.min()) / span, np.float64)
