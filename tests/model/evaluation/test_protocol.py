"""Scores of clips under both protocols."""

from __future__ import annotations

import numpy as np
import pytest

from model.evaluation.protocol import evaluate_scores, score_offline, smooth
from model.scoring.measures import Measures
from model.scoring.normal_range import Interval, NormalRange
from model.scoring.score_config import LIVE, PAPER, SCORES

NORMAL = NormalRange(
    Interval(0.1, 0.2),
    {LIVE.error.key: Interval(0.02, 0.04), PAPER.error.key: Interval(-40.0, -30.0)},
)


def _make_row(error: float, distance: float = 0.15) -> Measures:
    """`error` is the pooled error; P is 40 dB less 500 times as much."""
    psnr = 40.0 - 500.0 * error
    errors = {LIVE.error.key: error, PAPER.error.key: -psnr}
    return Measures(psnr=psnr, distance=distance, gate_error=0.0, errors=errors)


def _evaluate(score: str, *clips: list[Measures | None], skip: int = 0) -> list[np.ndarray]:
    labels = [np.zeros(len(rows), bool) for rows in clips]
    names = [str(index) for index in range(len(clips))]
    judged = evaluate_scores(SCORES[score], NORMAL, names, clips, labels, skip=skip)
    return [clip.causal for clip in judged.clips]


def test_offline_each_clip_fills_the_whole_range() -> None:
    usual = [None, *map(_make_row, (0.020, 0.021, 0.022))]
    unusual = [None, *map(_make_row, (0.20, 0.21, 0.22))]
    for rows in (usual, unusual):
        scores = score_offline(rows, SCORES["pooled"])
        assert np.isnan(scores[0])
        assert scores[1:] == pytest.approx([0.0, 0.5, 1.0])


def test_causal_an_unusual_clip_stays_above_a_usual_one() -> None:
    usual, unusual = _evaluate("live", [_make_row(0.03)] * 5, [_make_row(0.2)] * 5)
    assert usual.max() < unusual.min()


def test_the_paper_mixes_both_measures() -> None:
    rows = [_make_row(0.0, 0.1), _make_row(0.02, 0.1), _make_row(0.0, 0.2)]
    scores = score_offline(rows, PAPER)
    assert scores == pytest.approx([0.0, 0.6, 0.4])  # λ = 0.6


@pytest.mark.parametrize("score", ["paper", "live"])
def test_causal_scores_do_not_change_when_the_future_does(score: str) -> None:
    past = [_make_row(0.02), _make_row(0.05), _make_row(0.03)]
    one, two = (_evaluate(score, past, [*past, _make_row(future)]) for future in (0.01, 0.9))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1][:3], two[1][:3])
    offline = [score_offline([*past, _make_row(future)], SCORES[score]) for future in (0.01, 0.9)]
    assert not np.array_equal(offline[0][:3], offline[1][:3])


def test_skipped_frames_have_no_causal_score_and_leave_no_trace() -> None:
    first, second = (
        [None, _make_row(0.9), _make_row(0.8)],
        [_make_row(0.7), _make_row(0.03), _make_row(0.02)],
    )
    scores = _evaluate("live", first, second, skip=3)
    assert np.isnan(scores[0]).all()
    assert np.isnan(scores[1][0])
    (alone,) = _evaluate("live", [_make_row(0.03), _make_row(0.02)])
    assert np.array_equal(scores[1][1:], alone)


def test_an_error_that_was_not_measured_has_no_scores() -> None:
    (causal,) = _evaluate("absolute", [_make_row(0.02), _make_row(0.03)])
    assert np.isnan(causal).all()
    assert np.isnan(score_offline([_make_row(0.02), _make_row(0.03)], SCORES["absolute"])).all()


def test_smoothing_is_an_average_of_the_past() -> None:
    values = np.array([np.nan, 1.0, 0.0, 0.0])
    assert smooth(values, 0.5)[1:] == pytest.approx([1.0, 0.5, 0.25])
    assert np.array_equal(smooth(values, 1.0), values, equal_nan=True)
