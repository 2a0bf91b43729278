"""How often normal footage would raise an event, and the threshold at which that is rare enough.

Pure statistics of peaks (`model.peaks`) and seconds. The peaks above a level are taken for a
Poisson process whose excesses have a generalised Pareto distribution (Pickands, 1975), seen
through a window: above the threshold that was in force nothing can be said, as what reached it may
have been abnormal. Shape and scale are integrated over a grid: no chance, no search that fails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.peaks import score_of

DAY_S = 86400.0
LEAST_THRESHOLD = 0.1
"""A lower threshold would make events of noise."""
MOST_THRESHOLD = 0.99
"""A higher one could hardly be reached."""
LEAST_PEAKS = 20
"""Fewer don't tell of a tail."""
TAIL_SHARE = 0.25
"""Of all peaks that are known, so many are of the tail, ..."""
SMALL_TAIL, LARGE_TAIL = 30, 800
"""... but so many at least, if there are, and no more."""
SHAPE_LIMIT = 0.5
SHAPE_MEAN = -0.1
SHAPE_DEVIATION = 0.15
"""What is held of the shape before any footage: means over many cells and frames have tails that
are lighter than an exponential's, if anything. As narrow as hydrology's prior (Martins and
Stedinger, 2000); footage of hours overrules it."""
MOST_DISPERSION = 10.0
COVERED = 0.95
"""Of the interval."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Normal footage, and its peaks between two magnitudes."""

    seconds: float
    peaks: tuple[float, ...]
    """Above `low`, below `limit`."""
    low: float = 0.0
    """Lower ones weren't kept."""
    limit: float = math.inf
    """What reached this was an event, and is left out."""


@dataclass(frozen=True, slots=True)
class Tail:
    """What was found of a stream's peaks; magnitudes and days."""

    level: float
    """The tail begins here."""
    shape: float
    """Mean of what is likely, as are the next two."""
    scale: float
    per_day: float
    """Peaks above the level, in a day."""
    peaks: int
    """So many lie above the level."""
    dispersion: float
    """How many times as uneven in time as chance would have them: it widens what is likely."""


@dataclass(frozen=True, slots=True)
class Found:
    """A threshold, as a score, and what it rests on."""

    threshold: float
    low: float
    """Its 95 % interval."""
    high: float
    seconds: float
    highest: float
    """Score of the highest peak of the footage."""
    tail: Tail


class TooFew(ValueError):
    """There are too few peaks for a threshold; the text says how many."""


def find_threshold(
    stretches: Sequence[Stretch], per_day: float, confirmed: Sequence[float] = ()
) -> Found:
    """The score that normal footage like this would reach `per_day` times a day.

    It is the one at which the *expected* number is that, over all shapes, scales and rates that
    are likely: with little footage, where much is likely, it lies higher than the best guess. While
    fewer than one alarm is due in the footage, it doesn't lie below what was seen, either.

    Args:
        confirmed: magnitudes of events that somebody called normal. Others of that kind may not
            have been told of: they raise the estimate where they are more than expected, and never
            lower it.
    Raises:
        ValueError: `per_day` isn't above 0, or the footage has no length.
        TooFew: fewer than `LEAST_PEAKS` peaks lie in the windows.
    """
    seconds = sum(stretch.seconds for stretch in stretches)
    if not (per_day > 0.0 and math.isfinite(per_day)):
        raise ValueError(f"false alarms a day must be above 0, got {per_day!r}")
    if not seconds > 0.0:
        raise ValueError("there is no footage")
    level = _level(stretches)
    likely = _likely(stretches, level, confirmed)
    wanted = likely.expected_level(per_day)
    low, high = likely.interval(per_day)
    highest = max((*confirmed, *(max(s.peaks) for s in stretches if s.peaks)))
    if seconds * per_day < DAY_S:
        wanted = max(wanted, highest)
    threshold = _bounded(wanted)
    return Found(
        threshold=threshold,
        low=min(_bounded(low), threshold),
        high=max(_bounded(high), threshold),
        seconds=seconds,
        highest=score_of(highest),
        tail=likely.tail(),
    )


def _bounded(z: float) -> float:
    return float(min(max(score_of(z), LEAST_THRESHOLD), MOST_THRESHOLD))


def _level(stretches: Sequence[Stretch]) -> float:
    """Where the tail begins: the highest share of the peaks lies above it."""
    known = sorted((peak for stretch in stretches for peak in stretch.peaks), reverse=True)
    if len(known) < LEAST_PEAKS:
        raise TooFew(f"{LEAST_PEAKS} peaks are needed, there are {len(known)}")
    wanted = min(max(SMALL_TAIL, round(TAIL_SHARE * len(known))), LARGE_TAIL)
    count = min(wanted, len(known) - 1)
    # Peaks that are all alike lie above it, too.
    return known[count] * (1.0 - 1e-6)


@dataclass(frozen=True, slots=True)
class _Likely:
    """Shapes (n, 1, 1), scales (1, n, 1) and peaks a day (n, n, n), with how likely each is."""

    level: float
    shapes: NDArray[np.float64]
    scales: NDArray[np.float64]
    rates: NDArray[np.float64]
    weights: NDArray[np.float64]
    """Sum to 1."""
    peaks: int
    dispersion: float

    def expected_level(self, per_day: float) -> float:
        """The magnitude that is reached so often, on the average of what is likely."""
        rates = (self.weights * self.rates).sum(axis=2, keepdims=True)
        if rates.sum() <= per_day:
            return self.level
        low, high = 0.0, 1.0
        while self._expected(rates, high) > per_day and high < 1e6:
            high *= 2.0
        for _ in range(40):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self._expected(rates, middle) > per_day else (low, middle)
        return self.level + high

    def _expected(self, rates: NDArray[np.float64], excess: float) -> float:
        return float((rates * _survival(excess, self.shapes, self.scales)).sum())

    def interval(self, per_day: float) -> tuple[float, float]:
        """In which the magnitude that is reached so often lies, with 95 %."""
        growth = np.log(np.maximum(self.rates / per_day, 1.0))
        levels = (self.level + self.scales * _expm1_over(self.shapes, growth)).ravel()
        order = np.argsort(levels)
        shares = np.cumsum(self.weights.ravel()[order])
        tail = 0.5 * (1.0 - COVERED)
        places = np.searchsorted(shares, (tail, 1.0 - tail)).clip(0, len(order) - 1)
        return float(levels[order[places[0]]]), float(levels[order[places[1]]])

    def tail(self) -> Tail:
        """The means."""

        def mean(values: NDArray[np.float64]) -> float:
            return float((self.weights * values).sum())

        return Tail(
            level=self.level,
            shape=mean(self.shapes),
            scale=mean(self.scales),
            per_day=mean(self.rates),
            peaks=self.peaks,
            dispersion=self.dispersion,
        )


def _likely(stretches: Sequence[Stretch], level: float, confirmed: Sequence[float]) -> _Likely:
    """Weigh a grid by prior and likelihood."""
    within = [peak for stretch in stretches for peak in stretch.peaks if peak > level]
    above = [peak for peak in confirmed if peak > level]
    excesses = np.array([*within, *above]) - level
    shapes = np.linspace(-SHAPE_LIMIT, SHAPE_LIMIT, 41)[:, None, None]
    scales = float(excesses.mean()) * np.geomspace(0.2, 5.0, 49)[None, :, None]
    window = _windows(stretches, level)
    seen = _exposure(window, shapes, scales)
    steps = np.linspace(-4.0, 4.0, 25) / math.sqrt(len(within))
    rates = len(within) / seen * np.exp(steps)[None, None, :]
    log_weights = (
        -0.5 * ((shapes - SHAPE_MEAN) / SHAPE_DEVIATION) ** 2
        + _log_densities(excesses, shapes, scales)
        + len(within) * np.log(rates)
        - rates * seen
    )
    if above:
        days = sum(stretch.seconds for stretch in stretches) / DAY_S
        log_weights = log_weights + _told(len(above), rates, rates * (days - seen))
    dispersion = _dispersion(stretches, level)
    weights = np.exp((log_weights - log_weights.max()) / dispersion)
    weights /= weights.sum()
    return _Likely(level, shapes, scales, rates, weights, len(within), dispersion)


def _told(
    count: int, rates: NDArray[np.float64], expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log-likelihood of so many normal events that somebody told of, of those above the windows:
    all of them, or the share that explains the count best."""
    share = np.minimum(1.0, count / np.maximum(expected, 1e-300))
    found: NDArray[np.float64] = count * np.log(rates * share) - share * expected
    return found


def _windows(stretches: Sequence[Stretch], level: float) -> list[tuple[float, float, float]]:
    """Days of footage in which peaks were seen between two excesses over the level."""
    days: dict[tuple[float, float], float] = {}
    for stretch in stretches:
        low, limit = max(stretch.low, level) - level, stretch.limit - level
        if limit > low:
            days[low, limit] = days.get((low, limit), 0.0) + stretch.seconds / DAY_S
    return [(*window, length) for window, length in days.items()]


def _exposure(
    windows: Sequence[tuple[float, float, float]],
    shapes: NDArray[np.float64],
    scales: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Days, each weighed by the share of the tail that was seen in it."""
    total = np.zeros(np.broadcast_shapes(shapes.shape, scales.shape))
    for low, limit, days in windows:
        beyond = _survival(limit, shapes, scales) if math.isfinite(limit) else 0.0
        total += days * (_survival(low, shapes, scales) - beyond)
    return np.maximum(total, 1e-12)


def _survival(
    excess: float, shapes: NDArray[np.float64], scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the tail that lies above an excess."""
    ratio = excess / scales
    grown = np.maximum(1.0 + shapes * ratio, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        curved = np.exp(-np.log(grown) / shapes)
    found: NDArray[np.float64] = np.where(
        np.abs(shapes) < 1e-9, np.exp(-ratio), np.where(grown > 0.0, curved, 0.0)
    )
    return found


def _log_densities(
    excesses: NDArray[np.float64], shapes: NDArray[np.float64], scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum over the excesses of the log of their density: (n, n, 1)."""
    ratio = excesses[None, None, :] / scales
    grown = 1.0 + shapes * ratio
    with np.errstate(divide="ignore", invalid="ignore"):
        curved = -(1.0 + 1.0 / shapes) * np.log(np.maximum(grown, 0.0))
    logs = np.where(np.abs(shapes) < 1e-9, -ratio, np.where(grown > 0.0, curved, -np.inf))
    found: NDArray[np.float64] = logs.sum(axis=2, keepdims=True) - len(excesses) * np.log(scales)
    return found


def _expm1_over(shapes: NDArray[np.float64], growth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(exp(shape x growth) - 1) / shape, growth itself where the shape is 0."""
    safe = np.where(np.abs(shapes) < 1e-9, 1.0, shapes)
    found: NDArray[np.float64] = np.where(
        np.abs(shapes) < 1e-9, growth, np.expm1(safe * growth) / safe
    )
    return found


def _dispersion(stretches: Sequence[Stretch], level: float) -> float:
    """Variance of the stretches' counts over their mean, 1 where chance explains it."""
    whole = [s for s in stretches if s.low <= level < s.limit and s.seconds > 0.0]
    if len(whole) < 5:
        return 1.0
    counts = np.array([sum(peak > level for peak in s.peaks) for s in whole], np.float64)
    seconds = np.array([s.seconds for s in whole])
    expected = counts.sum() * seconds / seconds.sum()
    if not expected.min() > 0.0:
        return 1.0
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    return min(max(chi_square / (len(whole) - 1), 1.0), MOST_DISPERSION)
