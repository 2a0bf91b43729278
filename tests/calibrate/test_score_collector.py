"""Scores into stretches: what counts as normal footage, and what is kept of it."""

from __future__ import annotations

import numpy as np
import pytest

from model.events.event_detection import EventRules
from service.calibrate.score_collector import (
    KEPT_PEAKS,
    STRETCH_S,
    CollectorState,
    EventFrames,
    FootageStretch,
    ScoreCollector,
    TimedScore,
    compute_guard_s,
    from_json,
    to_json,
)

RULES = EventRules(start_s=0.1, quiet_s=0.3, release=0.9, silence_s=10.0)
LIMIT = 0.5


def _scored(
    values: list[float | None], first: int = 0, threshold: float = LIMIT
) -> list[TimedScore]:
    return [TimedScore(first + i, (first + i) / 10, v, threshold) for i, v in enumerate(values)]


def _collected(scores: list[TimedScore], *events: EventFrames) -> list[FootageStretch]:
    collector = ScoreCollector(RULES, FootageStretch(None), CollectorState())
    collector.collect(scores, events)
    collector.finish()
    return collector.stretches


def _noise(count: int, seed: int = 0) -> list[float | None]:
    values: list[float | None] = list(np.random.default_rng(seed).uniform(0.1, 0.3, count))
    return values


def test_seconds_and_peaks_are_those_of_the_footage() -> None:
    (stretch,) = _collected(_scored([0.2, 0.4, 0.4, *[0.1] * 9]))
    assert stretch.seconds == pytest.approx(1.1)
    assert stretch.peaks == [0.4, 0.1]
    assert stretch.limit == LIMIT


def test_frames_without_a_score_are_no_footage() -> None:
    (stretch,) = _collected(_scored([0.2] * 10 + [None] * 10 + [0.2] * 10))
    assert stretch.seconds == pytest.approx(2.0, abs=0.15)


def test_time_in_which_nothing_came_is_no_footage() -> None:
    later = [TimedScore(10 + i, 1000.0 + i / 10, 0.2, LIMIT) for i in range(10)]
    backwards = [TimedScore(20 + i, 5.0 + i / 10, 0.2, LIMIT) for i in range(10)]
    (stretch,) = _collected([*_scored([0.2] * 10), *later, *backwards])
    assert stretch.seconds == pytest.approx(2.7)


def test_an_event_and_its_flanks_are_left_out_and_its_peak_is_kept() -> None:
    high = [0.7, 0.8, 0.75, 0.6]
    flank = [0.45] * 3
    values = [*[0.2] * 30, *flank, *high, *flank, *[0.2] * 30]
    (stretch,) = _collected(_scored(values), EventFrames(33, 36, 3.3))
    assert stretch.seconds == pytest.approx(
        (len(values) - 4) / 10 - 2 * compute_guard_s(RULES), abs=0.11
    )
    assert max(stretch.peaks) == pytest.approx(0.2)
    ((first, peak),) = stretch.events
    assert first == 33
    assert peak == pytest.approx(0.25 / (1.0 - 0.75))


def test_a_flank_lasts_as_long_at_each_rate_and_ends_at_a_jump() -> None:
    guard_s = compute_guard_s(RULES)
    for fps in (2.0, 10.0, 25.0):
        scores = [TimedScore(i, i / fps, 0.2, LIMIT) for i in range(400)]
        first, last = 180, 220
        event = EventFrames(first, last, first / fps)
        (stretch,) = _collected(scores, event)
        left_out = (last - first) / fps + 2 * guard_s
        assert stretch.seconds == pytest.approx(399 / fps - left_out, abs=2 / fps)
    before = _scored([0.2] * 10)
    high = [TimedScore(10 + i, 1000.0 + i / 10, 0.7, LIMIT) for i in range(5)]
    after = [TimedScore(15 + i, 2000.0 + i / 10, 0.2, LIMIT) for i in range(10)]
    (stretch,) = _collected([*before, *high, *after], EventFrames(10, 14, 1000.0))
    assert stretch.seconds == pytest.approx(1.8)


def test_a_peak_that_reaches_the_threshold_outside_of_events_is_not_known_to_be_normal() -> None:
    (stretch,) = _collected(_scored([0.2, 0.2, 0.9, 0.9, *[0.1] * 9]))
    assert all(peak < LIMIT for peak in stretch.peaks)


def test_another_threshold_begins_another_stretch() -> None:
    stretches = _collected([*_scored([0.2] * 20), *_scored([0.3] * 20, 20, threshold=0.6)])
    assert [each.limit for each in stretches] == [0.5, 0.6]
    assert [each.seconds for each in stretches] == pytest.approx([1.9, 2.0])


def test_long_footage_is_many_stretches_each_with_its_highest_peaks() -> None:
    values = _noise(round(25 * STRETCH_S))
    stretches = _collected(_scored(values))
    assert [each.seconds for each in stretches] == pytest.approx([900.0, 900.0, 450.0], abs=0.2)
    for stretch in stretches:
        assert len(stretch.peaks) <= KEPT_PEAKS
        assert stretch.low < min(stretch.peaks)


def test_it_goes_on_where_it_stood() -> None:
    values = _noise(3000, seed=1)
    values[1500:1520] = [0.8] * 20
    event = EventFrames(1500, 1519, 150.0)
    whole = _collected(_scored(values), event)
    collector = ScoreCollector(RULES, FootageStretch(None), CollectorState())
    for start in range(0, 3000, 170):
        collector.collect(_scored(values[start : start + 170], start), [event])
        standing = from_json(to_json(collector.save_state()))
        stretches = collector.stretches
        collector = ScoreCollector(RULES, stretches[-1], standing)
    collector.finish()
    assert collector.stretches[-1] == whole[-1]


def test_a_standing_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="quiet_s"):
        from_json({"quiet_s": "many"})
