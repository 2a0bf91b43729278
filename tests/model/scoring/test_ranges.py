"""Running ranges: plain, relaxing, and of quantiles."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.scoring.normal_range import Interval
from model.scoring.ranges import QuantileRange, Range, RunningRange, make_range
from model.scoring.score_config import Normalisation, NormalisationKind
from tests.model import reference

VALUES = st.floats(-1e3, 1e3)
UNIT = Interval(0.0, 1.0)
KINDS = list(NormalisationKind)
each_kind = pytest.mark.parametrize("kind", KINDS)


def _make_range(kind: NormalisationKind, start: Interval = UNIT, least: float = 1e-6) -> Range:
    return make_range(Normalisation(kind, relax_frames=10.0), start, least_span=least)


def _place_and_learn(running: Range, value: float) -> float:
    """Place a value, and let the range learn it as that of a normal frame."""
    place = running.place(value)
    running.learn(value, abnormal=False)
    return place


def _make_quantiles(window: float = 100.0, tail: float = 0.01) -> QuantileRange:
    config = Normalisation(NormalisationKind.QUANTILE, window_frames=window, tail=tail)
    return QuantileRange(UNIT, config, least_span=1e-6)


@given(VALUES, st.floats(0, 1e3), st.lists(VALUES, min_size=1), st.sampled_from([1e-6, 1.0]))
def test_plain_running_min_max_is_the_references(
    low: float, width: float, values: list[float], least: float
) -> None:
    running = RunningRange(Interval(low, low + width), least_span=least)
    results = [_place_and_learn(running, value) for value in values]
    expected = reference.running_min_max(values, low, low + width, least)
    assert results == pytest.approx(expected, rel=1e-9)


@given(st.sampled_from(KINDS), st.lists(st.floats(-1e300, 1e300), min_size=1))
def test_what_is_normalised_lies_between_0_and_1(
    kind: NormalisationKind, values: list[float]
) -> None:
    running = _make_range(kind)
    assert all(0.0 <= _place_and_learn(running, value) <= 1.0 for value in values)
    assert math.isfinite(running.low) and running.low <= running.high < math.inf


@given(st.sampled_from(KINDS), st.lists(VALUES), VALUES, VALUES)
def test_a_place_in_a_range_uses_the_past_only(
    kind: NormalisationKind, past: list[float], one: float, other: float
) -> None:
    scores = []
    for future in (one, other):
        running = _make_range(kind)
        scores.append([_place_and_learn(running, value) for value in [*past, future]][: len(past)])
    assert scores[0] == scores[1]


@given(st.sampled_from(KINDS), st.lists(VALUES, max_size=20), VALUES, VALUES)
def test_of_two_values_the_larger_never_scores_lower(
    kind: NormalisationKind, past: list[float], one: float, other: float
) -> None:
    results = []
    for value in sorted((one, other)):
        running = _make_range(kind)
        for before in past:
            _place_and_learn(running, before)
        results.append(_place_and_learn(running, value))
    assert results[0] <= results[1] + 1e-9


@each_kind
def test_a_collapsed_measure_gives_0_not_noise(kind: NormalisationKind) -> None:
    running = _make_range(kind, Interval(0.1, 0.1), 0.01)
    assert _place_and_learn(running, 0.1) == pytest.approx(0.0, abs=1e-3)
    assert _place_and_learn(running, 0.1 + 1e-5) == pytest.approx(0.0, abs=1e-3)


@each_kind
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_range_is_never_poisoned(kind: NormalisationKind, bad: float) -> None:
    running = _make_range(kind)
    _place_and_learn(running, 3.0)
    before = (running.low, running.high)
    with pytest.raises(ValueError, match=str(bad)):
        _place_and_learn(running, bad)
    assert (running.low, running.high) == before


@each_kind
def test_headroom_puts_the_worst_of_normal_footage_at_its_share(kind: NormalisationKind) -> None:
    running = make_range(Normalisation(kind, headroom=2.0), Interval(3.0, 5.0), least_span=1e-6)
    assert _place_and_learn(running, 5.0) == pytest.approx(0.5, abs=1e-3)


def test_only_the_decayed_kind_relaxes() -> None:
    highs = {}
    for kind in KINDS:
        running = make_range(Normalisation(kind, 1.0, 10.0), UNIT, least_span=1e-6)
        _place_and_learn(running, 9.0)
        for _ in range(10):
            _place_and_learn(running, 0.5)
        highs[kind] = running.high
    assert highs[NormalisationKind.MIN_MAX] == 9.0
    assert highs[NormalisationKind.DECAYED] == pytest.approx(1.0 + 8.0 / 2)
    assert highs[NormalisationKind.QUANTILE] == pytest.approx(1.0, abs=0.01)


def test_what_widened_a_relaxing_range_is_gone_in_the_end() -> None:
    running = RunningRange(UNIT, least_span=1e-6, relax_frames=10.0)
    _place_and_learn(running, 9.0)
    _place_and_learn(running, -4.0)
    for _ in range(1000):
        _place_and_learn(running, 0.5)
    assert (running.low, running.high) == (pytest.approx(0.0), pytest.approx(1.0))


@pytest.mark.parametrize("glitch", [1e9, -1e9])
def test_a_glitch_moves_quantiles_by_one_small_step(glitch: float) -> None:
    running = _make_quantiles(window=100.0)
    _place_and_learn(running, glitch)
    assert (running.low, running.high) == (pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01))


def _follow(values: Callable[[int], float], count: int, running: QuantileRange) -> list[float]:
    return [_place_and_learn(running, values(index)) for index in range(count)]


def test_quantiles_follow_a_shift_at_a_width_a_window() -> None:
    running = _make_quantiles(window=100.0)
    _follow(lambda _: 5.0, 100, running)
    assert running.high == pytest.approx(1.99, abs=0.02)
    _follow(lambda _: 5.0, 1000, running)
    assert running.high == pytest.approx(5.0, abs=0.02)


def test_quantiles_of_a_steady_stream_are_its_quantiles() -> None:
    random = np.random.default_rng(0)
    values = random.normal(0.5, 0.2, 20_000)
    running = _make_quantiles(window=500.0, tail=0.05)
    lows, highs = [], []
    for value in values:
        _place_and_learn(running, float(value))
        lows.append(running.low)
        highs.append(running.high)
    expected = np.quantile(values, [0.05, 0.95])
    assert [np.mean(lows[5000:]), np.mean(highs[5000:])] == pytest.approx(expected, abs=0.02)


def test_quantiles_never_narrow_to_the_noise_of_an_empty_scene() -> None:
    running = _make_quantiles(window=10.0, tail=0.4)
    scores = _follow(lambda index: 0.3 + 1e-4 * (index % 2), 2000, running)
    assert running.high - running.low < 0.1
    assert max(scores[1000:]) < 0.05


def test_quantiles_distinguish_large_errors() -> None:
    places = [
        _place_and_learn(_make_quantiles(window=1e6), value) for value in (0.5, 1.0, 2.0, 4.0, 40.0)
    ]
    assert places == pytest.approx([0.25, 0.5, 0.75, 0.875, 0.9875], abs=1e-4)


def test_abnormal_frames_teach_quantiles_a_tenth() -> None:
    normal, abnormal = _make_quantiles(), _make_quantiles()
    for _ in range(50):
        normal.learn(5.0, abnormal=False)
        abnormal.learn(5.0, abnormal=True)
    assert abnormal.high - 1.0 == pytest.approx(0.1 * (normal.high - 1.0))
    assert abnormal.low == pytest.approx(0.1 * normal.low)


def test_a_plain_range_holds_abnormal_values_too() -> None:
    running = RunningRange(UNIT, least_span=1e-6)
    assert running.place(3.0) == 1.0
    running.learn(3.0, abnormal=True)
    assert (running.low, running.high) == (0.0, 3.0)
