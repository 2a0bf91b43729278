"""Peaks of scores, against the events that each threshold would have raised."""

from __future__ import annotations

import numpy as np
import pytest

from model.events.event_detection import (
    DetectionState,
    EventRules,
    EventStarted,
    ScoredFrame,
    observe_all,
)
from model.events.peaks import PeakFinder, find_peaks, to_magnitude, to_score

RULES = EventRules(start_s=0.2, quiet_s=0.4, release=0.9)
FPS = 10.0


def _count_events(scores: list[float | None], threshold: float, fps: float) -> int:
    frames = [ScoredFrame(i, i / fps, i / fps, score, threshold) for i, score in enumerate(scores)]
    changes = observe_all(DetectionState(), frames, RULES)[1]
    return sum(isinstance(change, EventStarted) for change in changes)


@pytest.mark.parametrize("score", [0.0, 0.2, 0.5, 0.75, 0.99])
def test_a_magnitude_is_the_score_without_its_bound(score: float) -> None:
    assert to_score(to_magnitude(score)) == pytest.approx(score)


def test_magnitudes_rise_with_scores_and_are_finite() -> None:
    values = [to_magnitude(score) for score in np.linspace(0.0, 1.0, 101)]
    assert values == sorted(values)
    assert to_magnitude(0.75) == 1.0
    assert np.isfinite(values).all()


def test_a_peak_is_what_so_many_scores_in_a_row_reach() -> None:
    assert find_peaks([0.1, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1], RULES, FPS) == [0.1]
    assert find_peaks([0.1, 0.4, 0.45, 0.41, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], RULES, FPS) == [
        0.4,
        0.1,
    ]


def test_a_peak_lasts_as_long_at_each_rate() -> None:
    for fps, high in ((5.0, 2), (10.0, 3), (25.0, 6)):
        for count, peak in ((high - 1, 0.1), (high, 0.4)):
            scores = [0.1] * 2 + [0.4] * count + [0.1] * round(fps)
            assert max(find_peaks(scores, RULES, fps)) == peak


def test_a_frame_without_a_score_interrupts_a_row() -> None:
    assert find_peaks([0.4, 0.4, None, 0.4, 0.4], RULES, FPS) == []
    assert find_peaks([0.4, 0.4, 0.4, None, 0.4], RULES, FPS) == [0.4]


def test_two_rises_are_two_peaks_only_after_enough_quiet() -> None:
    high, low = [0.4] * 4, [0.1]
    assert find_peaks([*high, *low * 3, *high], RULES, FPS) == [0.4]
    apart = find_peaks([*high, *low * 8, *high], RULES, FPS)
    assert apart.count(0.4) == 2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fps", [1.0, FPS, 25.0])
def test_peaks_count_the_events_of_every_high_threshold(seed: int, fps: float) -> None:
    """Against the event machine itself, on scores that come and go."""
    random = np.random.default_rng(seed)
    noise = np.convolve(random.normal(size=3000), np.ones(4) / 4, "same")
    scores: list[float | None] = np.clip(0.15 + 0.1 * noise, 0.0, 0.49).tolist()
    found = np.array(find_peaks(scores, RULES, fps))
    thresholds = np.quantile(found, [0.9, 0.95, 0.99])
    for threshold in thresholds.tolist():
        counted = int((found >= threshold).sum())
        raised = _count_events(scores, threshold, fps)
        # A shoulder just after a higher peak counts twice, never less than once.
        assert raised <= counted <= raised + max(2, raised // 4)
    assert _count_events(scores, float(found.max()), fps) == 1
    assert _count_events(scores, float(found.max()) + 1e-9, fps) == 0


def test_a_finder_goes_on_where_another_had_come() -> None:
    scores = np.clip(np.random.default_rng(1).normal(0.2, 0.1, 500), 0.0, 0.5).tolist()
    whole = find_peaks(scores, RULES, FPS)
    first = PeakFinder(RULES, [])
    found = [first.add(i / FPS, score) for i, score in enumerate(scores[:237])]
    second = PeakFinder.resume(RULES, first.row, first.highest, first.quiet_s, first.newest_at)
    found += [second.add(i / FPS, score) for i, score in enumerate(scores[237:], 237)]
    found.append(second.cut())
    assert [peak for peak in found if peak is not None] == whole
