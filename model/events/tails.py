"""Finds the threshold that normal footage would reach only so many times a day.

Pure statistics of peaks (`model.events.peaks`) and seconds. Peaks above a level are modelled as a
Poisson process whose excesses have a generalised Pareto distribution (Pickands, 1975). They are
observed through a window: a peak that reached the threshold of its time may have been abnormal, and
is left out. Shape and scale are integrated over a grid, which needs no random numbers and can't
diverge.

The distribution is implemented here, because importing `scipy.stats` costs 74 MB; results agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.events.peaks import to_score

DAY_S = 86400.0
LEAST_THRESHOLD = 0.1
"""A lower threshold would turn noise into events."""
MOST_THRESHOLD = 0.99
"""A higher threshold could hardly be reached."""
LEAST_PEAKS = 20
"""Fewer peaks say too little about a tail."""
TAIL_SHARE = 0.25
"""The share of all known peaks that the tail holds."""
SMALL_TAIL, LARGE_TAIL = 30, 800
"""The fewest and the most peaks that the tail holds."""
SHAPE_LIMIT = 0.5
SHAPE_MEAN = -0.1
SHAPE_DEVIATION = 0.15
"""The prior of the shape: means over many cells and frames tend to have tails lighter than an
exponential's. It is as narrow as hydrology's prior (Martins and Stedinger, 2000); hours of footage
overrule it."""
MOST_DISPERSION = 10.0
COVERED = 0.95
"""The probability of the interval."""
_Grid = NDArray[np.float64]
"""Values at the points of the grid of shapes, scales and rates."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Normal footage, and its peaks between two magnitudes."""

    seconds: float
    peaks: tuple[float, ...]
    """The peaks above `low` and below `limit`."""
    low: float = 0.0
    """Lower peaks weren't kept."""
    limit: float = math.inf
    """A peak that reached this was an event, and is left out."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The estimated tail of a stream's peaks, in magnitudes and days."""

    level: float
    """The tail begins here."""
    shape: float
    """The posterior mean, as are the next two."""
    scale: float
    per_day: float
    """Peaks above the level in a day."""
    peaks: int
    """The number of peaks above the level."""
    dispersion: float
    """How many times as uneven in time as chance makes them; it widens the posterior."""


@dataclass(frozen=True, slots=True)
class FoundThreshold:
    """A threshold, as a score, with its interval and the footage behind it."""

    threshold: float
    low: float
    """The lower end of its 95 % interval."""
    high: float
    seconds: float
    highest: float
    """The score of the footage's highest peak."""
    tail: Tail


class TooFewPeaks(ValueError):
    """There are too few peaks for a threshold; the text says how many."""


def find_threshold(
    stretches: Sequence[Stretch], per_day: float, confirmed: Sequence[float] = ()
) -> FoundThreshold:
    """Find the score that normal footage like this would reach `per_day` times a day.

    At that score the *expected* number equals `per_day`, averaged over the posterior of shape,
    scale and rate. With little footage the posterior is wide, and the score lies above the best
    guess. While fewer than one alarm is due in the footage, it also isn't below the highest peak.

    Args:
        confirmed: magnitudes of events that people marked normal. Similar events may have been left
            unmarked, so these raise the estimate if there are more than expected, and never lower
            it.
    Raises:
        ValueError: `per_day` isn't above 0, or the footage has no length.
        TooFewPeaks: fewer than `LEAST_PEAKS` peaks lie in the windows.
    """
    seconds = sum(stretch.seconds for stretch in stretches)
    if not (per_day > 0.0 and math.isfinite(per_day)):
        raise ValueError(f"false alarms a day must be above 0, got {per_day!r}")
    if not seconds > 0.0:
        raise ValueError("there is no footage")
    level = _find_level(stretches)
    posterior = _weigh_grid(stretches, level, confirmed)
    target = posterior.find_expected_level(per_day)
    low, high = posterior.find_interval(per_day)
    highest = max((*confirmed, *(max(s.peaks) for s in stretches if s.peaks)))
    if seconds * per_day < DAY_S:
        target = max(target, highest)
    threshold = _to_threshold(target)
    return FoundThreshold(
        threshold=threshold,
        low=min(_to_threshold(low), threshold),
        high=max(_to_threshold(high), threshold),
        seconds=seconds,
        highest=to_score(highest),
        tail=posterior.summarise(),
    )


def _to_threshold(z: float) -> float:
    return float(min(max(to_score(z), LEAST_THRESHOLD), MOST_THRESHOLD))


def _find_level(stretches: Sequence[Stretch]) -> float:
    """Find the level above which the highest share of the peaks lies: the tail."""
    known = sorted((peak for stretch in stretches for peak in stretch.peaks), reverse=True)
    if len(known) < LEAST_PEAKS:
        raise TooFewPeaks(f"{LEAST_PEAKS} peaks are needed, there are {len(known)}")
    count = min(max(SMALL_TAIL, round(TAIL_SHARE * len(known))), LARGE_TAIL, len(known) - 1)
    # Peaks that are all equal must lie above it, too.
    return known[count] * (1.0 - 1e-6)


@dataclass(frozen=True, slots=True)
class _Posterior:
    """Shapes (n, 1, 1), scales (1, n, 1) and peaks a day (n, n, n), with their probabilities."""

    level: float
    shapes: _Grid
    scales: _Grid
    rates: _Grid
    weights: _Grid
    """The probabilities, which sum to 1."""
    peaks: int
    dispersion: float

    def find_expected_level(self, per_day: float) -> float:
        """Find the magnitude that is reached this often on the posterior average."""
        rates = (self.weights * self.rates).sum(axis=2, keepdims=True)
        if rates.sum() <= per_day:
            return self.level
        low, high = 0.0, 1.0
        while self._count_peaks_above(rates, high) > per_day and high < 1e6:
            high *= 2.0
        for _ in range(40):
            middle = 0.5 * (low + high)
            low, high = (
                (middle, high)
                if self._count_peaks_above(rates, middle) > per_day
                else (low, middle)
            )
        return self.level + high

    def _count_peaks_above(self, rates: _Grid, excess: float) -> float:
        return float((rates * _compute_survival(excess, self.shapes, self.scales)).sum())

    def find_interval(self, per_day: float) -> tuple[float, float]:
        """Find the 95 % interval of the magnitude that is reached this often."""
        growth = np.log(np.maximum(self.rates / per_day, 1.0))
        levels = (self.level + self.scales * _expm1_over(self.shapes, growth)).ravel()
        order = np.argsort(levels)
        shares = np.cumsum(self.weights.ravel()[order])
        tail = 0.5 * (1.0 - COVERED)
        places = np.searchsorted(shares, (tail, 1.0 - tail)).clip(0, len(order) - 1)
        return float(levels[order[places[0]]]), float(levels[order[places[1]]])

    def summarise(self) -> Tail:
        """Return the posterior means."""

        def mean(values: _Grid) -> float:
            return float((self.weights * values).sum())

        return Tail(
            level=self.level,
            shape=mean(self.shapes),
            scale=mean(self.scales),
            per_day=mean(self.rates),
            peaks=self.peaks,
            dispersion=self.dispersion,
        )


def _weigh_grid(
    stretches: Sequence[Stretch], level: float, confirmed: Sequence[float]
) -> _Posterior:
    """Weigh a grid of shapes, scales and rates by prior and likelihood."""
    within = [peak for stretch in stretches for peak in stretch.peaks if peak > level]
    above = [peak for peak in confirmed if peak > level]
    excesses = np.array([*within, *above]) - level
    shapes = np.linspace(-SHAPE_LIMIT, SHAPE_LIMIT, 41)[:, None, None]
    scales = float(excesses.mean()) * np.geomspace(0.2, 5.0, 49)[None, :, None]
    window = _collect_windows(stretches, level)
    seen = _count_exposed_days(window, shapes, scales)
    steps = np.linspace(-4.0, 4.0, 25) / math.sqrt(len(within))
    rates = len(within) / seen * np.exp(steps)[None, None, :]
    log_weights = (
        -0.5 * ((shapes - SHAPE_MEAN) / SHAPE_DEVIATION) ** 2
        + _sum_log_densities(excesses, shapes, scales)
        + len(within) * np.log(rates)
        - rates * seen
    )
    if above:
        days = sum(stretch.seconds for stretch in stretches) / DAY_S
        log_weights = log_weights + _weigh_confirmed(len(above), rates, rates * (days - seen))
    dispersion = _estimate_dispersion(stretches, level)
    weights = np.exp((log_weights - log_weights.max()) / dispersion)
    weights /= weights.sum()
    return _Posterior(level, shapes, scales, rates, weights, len(within), dispersion)


def _weigh_confirmed(count: int, rates: _Grid, expected: _Grid) -> _Grid:
    """Compute the log-likelihood of `count` confirmed events above the windows: of all that are
    expected there, or of the share that explains the count best."""
    share = np.minimum(1.0, count / np.maximum(expected, 1e-300))
    found: _Grid = count * np.log(rates * share) - share * expected
    return found


def _collect_windows(
    stretches: Sequence[Stretch], level: float
) -> list[tuple[float, float, float]]:
    """Collect the days of footage in which peaks between two excesses were observed."""
    days: dict[tuple[float, float], float] = {}
    for stretch in stretches:
        low, limit = max(stretch.low, level) - level, stretch.limit - level
        if limit > low:
            days[low, limit] = days.get((low, limit), 0.0) + stretch.seconds / DAY_S
    return [(*window, length) for window, length in days.items()]


def _count_exposed_days(
    windows: Sequence[tuple[float, float, float]], shapes: _Grid, scales: _Grid
) -> _Grid:
    """Sum up the days, each weighed by the share of the tail that was observed in it."""
    total = np.zeros(np.broadcast_shapes(shapes.shape, scales.shape))
    for low, limit, days in windows:
        beyond = _compute_survival(limit, shapes, scales) if math.isfinite(limit) else 0.0
        total += days * (_compute_survival(low, shapes, scales) - beyond)
    return np.maximum(total, 1e-12)


def _compute_survival(excess: float, shapes: _Grid, scales: _Grid) -> _Grid:
    """Compute the share of the tail above an excess."""
    survival: _Grid = np.exp(-_compute_hazard(excess / scales, shapes))
    return survival


def _sum_log_densities(excesses: _Grid, shapes: _Grid, scales: _Grid) -> _Grid:
    """Sum the log densities of all excesses: (n, n, 1)."""
    hazard = _compute_hazard(excesses[None, None, :] / scales, shapes)
    logs: _Grid = -(1.0 + shapes) * hazard.sum(axis=2, keepdims=True) - len(excesses) * np.log(
        scales
    )
    return logs


def _compute_hazard(ratio: _Grid, shapes: _Grid) -> _Grid:
    """Compute log(1 + shape x ratio) / shape; the ratio if shape is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        curved = np.log1p(np.maximum(shapes * ratio, -1.0)) / shapes
    hazard: _Grid = np.where(np.abs(shapes) < 1e-9, ratio, curved)
    return hazard


def _expm1_over(shapes: _Grid, growth: _Grid) -> _Grid:
    """Compute (exp(shape x growth) - 1) / shape; the growth if the shape is 0."""
    safe = np.where(np.abs(shapes) < 1e-9, 1.0, shapes)
    found: _Grid = np.where(np.abs(shapes) < 1e-9, growth, np.expm1(safe * growth) / safe)
    return found


def _estimate_dispersion(stretches: Sequence[Stretch], level: float) -> float:
    """Estimate the variance of the stretches' counts over their mean; 1 if chance explains it."""
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
