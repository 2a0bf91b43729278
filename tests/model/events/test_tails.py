"""Thresholds from peaks whose distribution is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import genpareto

from model.events.peaks import to_magnitude, to_score
from model.events.tails import (
    DAY_S,
    LEAST_PEAKS,
    LEAST_THRESHOLD,
    MOST_THRESHOLD,
    Stretch,
    TooFewPeaks,
    find_threshold,
)

PER_HOUR = 600.0
BASE, SCALE = 0.1, 0.05


def _draw_peaks(seed: int, hours: float, shape: float) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    count = random.poisson(PER_HOUR * hours)
    drawn: NDArray[np.float64] = BASE + genpareto.rvs(
        shape, scale=SCALE, size=count, random_state=random
    )
    return drawn


def _find_true_level(per_day: float, shape: float) -> float:
    """The score that is reached so often, by the formula."""
    return to_score(BASE + float(genpareto.isf(per_day / (24 * PER_HOUR), shape, scale=SCALE)))


def _make_stretch(peaks: NDArray[np.float64], hours: float, limit: float = math.inf) -> Stretch:
    return Stretch(3600.0 * hours, tuple(peaks[peaks < limit].tolist()), limit=limit)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_much_footage_gives_the_threshold_itself(shape: float) -> None:
    found = find_threshold([_make_stretch(_draw_peaks(1, 240.0, shape), 240.0)], 1.0)
    true = _find_true_level(1.0, shape)
    assert found.low <= true <= found.high
    assert to_magnitude(found.threshold) == pytest.approx(to_magnitude(true), rel=0.1)


@pytest.mark.parametrize("hours", [0.5, 3.0])
def test_the_interval_holds_the_truth_nearly_always(hours: float) -> None:
    true = _find_true_level(1.0, -0.1)
    made = [
        find_threshold([_make_stretch(_draw_peaks(s, hours, -0.1), hours)], 1.0) for s in range(15)
    ]
    assert sum(each.low <= true <= each.high for each in made) >= 13


def test_with_little_footage_it_lies_higher() -> None:
    true = _find_true_level(1.0, -0.1)
    little = [
        find_threshold([_make_stretch(_draw_peaks(s, 0.25, -0.1), 0.25)], 1.0) for s in range(12)
    ]
    assert sum(each.threshold >= true for each in little) >= 10


def test_the_expected_rate_is_the_promised_one() -> None:
    """Over many cameras with an hour of footage each, the true rates average to the promise or
    less."""
    rates = []
    for seed in range(25):
        found = find_threshold([_make_stretch(_draw_peaks(seed, 1.0, -0.1), 1.0)], 10.0)
        excess = to_magnitude(found.threshold) - BASE
        rates.append(24 * PER_HOUR * float(genpareto.sf(excess, -0.1, scale=SCALE)))
    assert 0.3 < np.mean(rates) < 15.0


def test_fewer_alarms_need_a_higher_threshold() -> None:
    stretch = [_make_stretch(_draw_peaks(2, 5.0, 0.0), 5.0)]
    thresholds = [find_threshold(stretch, promise).threshold for promise in (100.0, 10.0, 1.0, 0.1)]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[-1]


def test_the_same_footage_gives_the_same_threshold() -> None:
    stretch = [_make_stretch(_draw_peaks(3, 1.0, 0.0), 1.0)]
    assert find_threshold(stretch, 1.0) == find_threshold(stretch, 1.0)


def test_what_was_never_seen_above_the_threshold_in_force_does_not_lower_it() -> None:
    """Peaks above 0.3 became events, and are left out: the tail goes on beyond them all the
    same, where footage that ended at 0.3 by nature would have none."""
    peaks = _draw_peaks(4, 48.0, 0.0)
    cut_off = find_threshold([_make_stretch(peaks, 48.0, limit=0.3)], 1.0)
    blind = find_threshold([Stretch(48 * 3600.0, tuple(peaks[peaks < 0.3].tolist()))], 1.0)
    true = _find_true_level(1.0, 0.0)
    assert cut_off.low <= true <= cut_off.high
    assert cut_off.threshold > 0.9 * true
    assert blind.threshold < 0.7 * true


def test_a_lower_threshold_in_force_does_not_lead_to_a_still_lower_one() -> None:
    """Ten rounds of 6 h each, nobody labels anything."""
    limit, kept = 0.25, list[Stretch]()
    for round_ in range(10):
        kept.append(_make_stretch(_draw_peaks(10 + round_, 6.0, -0.1), 6.0, limit))
        limit = to_magnitude(find_threshold(kept, 1.0).threshold)
    assert to_score(limit) == pytest.approx(_find_true_level(1.0, -0.1), rel=0.15)


def test_events_that_were_called_normal_raise_it() -> None:
    peaks = _draw_peaks(5, 24.0, -0.1)
    limit = 0.3
    stretch = [_make_stretch(peaks, 24.0, limit)]
    before = find_threshold(stretch, 1.0)
    after = find_threshold(stretch, 1.0, confirmed=[0.55] * 10)
    assert after.threshold > max(before.threshold, 0.55)


def test_one_event_called_normal_of_many_does_not_lower_it_much() -> None:
    """Who says so of one event hasn't said that the others were abnormal."""
    peaks = _draw_peaks(6, 24.0, 0.0)
    limit = 0.25
    stretch = [_make_stretch(peaks, 24.0, limit)]
    before = find_threshold(stretch, 1.0)
    after = find_threshold(stretch, 1.0, confirmed=[float(peaks[peaks >= limit][0])])
    assert after.threshold > 0.9 * before.threshold


def test_footage_of_a_night_and_a_storm_gives_a_wider_interval_than_even_footage() -> None:
    random = np.random.default_rng(7)
    even = [_make_stretch(_draw_peaks(20 + i, 0.25, -0.1), 0.25) for i in range(48)]
    order = random.permutation(np.concatenate([np.array(s.peaks) for s in even]))
    parts = np.split(
        order,
        np.cumsum([round(0.06 * len(order)) if i % 4 else 0 for i in range(47)]).clip(
            0, len(order)
        ),
    )
    uneven = [Stretch(900.0, tuple(part.tolist())) for part in parts]
    assert len(uneven) == len(even)
    calm, stormy = find_threshold(even, 1.0), find_threshold(uneven, 1.0)
    assert stormy.tail.dispersion > 2.0 > calm.tail.dispersion
    assert stormy.high - stormy.low > calm.high - calm.low


def test_it_is_never_below_what_was_seen_while_no_alarm_is_due() -> None:
    peaks = np.concatenate((np.full(200, 0.2), [0.48]))
    found = find_threshold([Stretch(3600.0, tuple(peaks.tolist()))], 1.0)
    assert found.threshold >= found.highest == pytest.approx(0.48)


def test_thresholds_stay_within_bounds() -> None:
    quiet = np.linspace(0.001, 0.002, 100)
    wild = np.geomspace(1.0, 9000.0, 100)
    assert find_threshold([_make_stretch(quiet, 100.0)], 1.0).threshold == LEAST_THRESHOLD
    assert find_threshold([_make_stretch(wild, 1.0)], 0.1).threshold == MOST_THRESHOLD


def test_peaks_that_are_all_alike_are_no_obstacle() -> None:
    found = find_threshold([Stretch(DAY_S, (0.3,) * 50)], 1.0)
    assert 0.3 <= found.threshold < 0.5


def test_bad_input_is_refused() -> None:
    with pytest.raises(TooFewPeaks, match=f"{LEAST_PEAKS} peaks are needed, there are 3"):
        find_threshold([Stretch(1000.0, (0.1, 0.2, 0.3))], 1.0)
    for promise in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="false alarms a day must be above 0"):
            find_threshold([Stretch(1000.0, (0.1,) * 50)], promise)
    with pytest.raises(ValueError, match="there is no footage"):
        find_threshold([], 1.0)
