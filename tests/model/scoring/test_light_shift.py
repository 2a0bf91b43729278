"""What a change of the light does to the ranges of a score."""

from __future__ import annotations

import pytest

from model.scoring.light_shift import EASE_FRAMES, EASE_MARGIN, LARGEST_DRIFT, LARGEST_SHIFT
from model.scoring.measures import Measures
from model.scoring.normal_range import Interval, NormalRange
from model.scoring.score_config import LIVE
from model.scoring.scorer import Scorer

KEY = LIVE.error.key
NORMAL = NormalRange(Interval(0.0, 0.2), {KEY: Interval(0.02, 0.04)})


def _make_row(value: float) -> Measures:
    return Measures(30.0, 0.1, 0.1, {KEY: value})


def test_ranges_move_with_a_light_and_are_back_when_it_is() -> None:
    scorer = Scorer(LIVE, NORMAL)
    for _ in range(400):
        scorer.score(_make_row(0.025))
    before = scorer.to_numbers()
    for value in (0.035,) * 15 + (0.9,) * 5:
        scorer.sample(_make_row(value))
    scorer.settle(known=False)
    moved = scorer.to_numbers()
    assert moved[f"low.{KEY}"] - before[f"low.{KEY}"] == pytest.approx(0.01, abs=1e-3)
    widths = [each[f"high.{KEY}"] - each[f"low.{KEY}"] for each in (before, moved)]
    assert widths[1] / widths[0] == pytest.approx(0.035 / 0.025, abs=0.05)
    restored = Scorer(LIVE, NORMAL)
    restored.restore(moved)
    assert restored.to_numbers() == moved
    restored.settle(known=True)
    assert restored.to_numbers() == before


def test_a_light_moves_a_range_so_far_at_most() -> None:
    scorer = Scorer(LIVE, NORMAL)
    for _ in range(20):
        scorer.sample(_make_row(0.9))
    scorer.settle(known=False)
    low = scorer.to_numbers()[f"low.{KEY}"]
    assert low == pytest.approx(0.02 + LARGEST_SHIFT * 0.02)


def test_an_anomaly_that_goes_on_through_a_change_of_light_is_not_learned() -> None:
    scorer = Scorer(LIVE, NORMAL)
    for _ in range(30):
        score = scorer.score(_make_row(0.2), threshold=0.5)
    before = scorer.to_numbers()
    for _ in range(20):
        scorer.sample(_make_row(0.2))
    scorer.settle(known=False)
    assert scorer.to_numbers() == before
    assert score > 0.5


def test_a_drift_of_the_light_moves_a_range_little() -> None:
    scorer = Scorer(LIVE, NORMAL)
    for _ in range(20):
        scorer.sample(_make_row(0.9))
    scorer.settle(known=False, drifted=True)
    low = scorer.to_numbers()[f"low.{KEY}"]
    assert low == pytest.approx(0.02 + LARGEST_DRIFT * 0.02)


def test_what_a_range_learned_of_an_anomaly_in_a_new_light_is_taken_back() -> None:
    scorer = Scorer(LIVE, NORMAL)
    for _ in range(50):
        scorer.score(_make_row(0.03))
    before = scorer.to_numbers()[f"low.{KEY}"]
    for _ in range(20):
        scorer.sample(_make_row(0.9))
    scorer.settle(known=False)
    for _ in range(EASE_FRAMES - 1):
        scorer.score(_make_row(0.03))
    assert scorer.to_numbers()[f"low.{KEY}"] > before + 0.02
    scorer.score(_make_row(0.03))
    low = scorer.to_numbers()[f"low.{KEY}"]
    # What is usual was followed from 0.024 on, where a range starts.
    assert low <= before + 0.03 - 0.024 + EASE_MARGIN * 0.02
    assert scorer.score(_make_row(0.09), threshold=0.5) > 0.5
