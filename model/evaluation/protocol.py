"""Scores of labelled footage, and how well they tell abnormal frames from normal ones.

Two protocols, always named: `offline` is the papers' (each clip normalised with its own minimum and
maximum, its future included); `causal` is what a live service can emit (one camera, ranges carried
on from the ones saved with the model, nothing from the future).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.calibration import causal_scores
from model.config import ErrorStep, NormalRange, ScoreConfig
from model.evaluation.accuracy import Accuracy, Labels, Scores, accuracy
from model.score import DISTANCE, LEAST_SPAN, Measures


@dataclass(frozen=True, slots=True)
class ScoredClip:
    """A test clip's scores; NaN before there were frames enough."""

    name: str
    abnormal: Labels
    offline: Scores
    causal: Scores


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One score composition on one set of test clips."""

    score: ScoreConfig
    clips: tuple[ScoredClip, ...]
    offline: Accuracy
    causal: Accuracy


def evaluation(
    score: ScoreConfig,
    normal: NormalRange,
    names: Sequence[str],
    measured: Sequence[Sequence[Measures | None]],
    abnormal: Sequence[Labels],
    *,
    skip: int = 0,
    threshold: float | None = None,
) -> Evaluation:
    """Score clips that were measured, both ways.

    Args:
        normal: where causal scores start from; if it lacks this score's error, there are none.
        skip: so many of the first measured frames get no causal score.
        threshold: of the causal score; see `Scorer.score`.
    """
    causal = _causal(score, normal, _skipped(measured, skip), threshold)
    offline = [offline_scores(rows, score) for rows in measured]
    clips = tuple(
        ScoredClip(name, labels, off, live)
        for name, labels, off, live in zip(names, abnormal, offline, causal, strict=True)
    )
    return Evaluation(score, clips, accuracy(abnormal, offline), accuracy(abnormal, causal))


def _causal(
    score: ScoreConfig,
    normal: NormalRange,
    measured: Sequence[Sequence[Measures | None]],
    threshold: float | None,
) -> list[Scores]:
    if not normal.covers(score):
        return [np.full(len(rows), np.nan) for rows in measured]
    return [_array(scores) for scores in causal_scores(measured, score, normal, threshold)]


def _skipped(
    measured: Sequence[Sequence[Measures | None]], skip: int
) -> list[list[Measures | None]]:
    kept: list[list[Measures | None]] = []
    for rows in measured:
        kept.append([])
        for row in rows:
            kept[-1].append(row if skip <= 0 else None)
            skip -= row is not None
    return kept


def _array(values: Sequence[float | None]) -> Scores:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def offline_scores(rows: Sequence[Measures | None], score: ScoreConfig) -> Scores:
    """S_t of one clip under the papers' protocol: g's extremes are those of the whole clip.

    NaN where the score's error or judgement wasn't measured.
    """
    distance = _array([row.distance if row else None for row in rows])
    distance = _min_max(smooth(distance, score.smoothing), LEAST_SPAN[DISTANCE])
    weight = score.appearance_weight
    mixed = weight * _placed(rows, score.error, score.smoothing) + (1.0 - weight) * distance
    if score.judgement is None:
        return mixed
    share = score.judgement_weight
    return (1.0 - share) * mixed + share * _placed(rows, score.judgement, score.smoothing)


def _placed(rows: Sequence[Measures | None], step: ErrorStep, smoothing: float) -> Scores:
    values = _array([row.errors.get(step.key) if row else None for row in rows])
    return _min_max(smooth(values, smoothing), LEAST_SPAN[step.form])


def smooth(values: Scores, newest_weight: float) -> Scores:
    """Causal exponential average; NaN before the first value."""
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
