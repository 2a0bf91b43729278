"""Simulated scores whose tail and autocorrelation are those of real ones, and events in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz
from scipy.ndimage import minimum_filter1d
from scipy.signal import lfilter
from scipy.stats import genpareto, norm

from model.evaluation.events import Alarm, alarms
from model.events import EventRules
from model.peaks import magnitude

FPS = 10.0
ORDER = 12
"""Of the autoregression: so many frames back are seen to matter."""
TAIL_FROM = 0.95
"""Quantile above which scores are continued by a fitted tail."""
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """An autoregression of normal scores, mapped to magnitudes as the real ones are spread."""

    coefficients: Values
    noise: float
    """Standard deviation."""
    body: Values
    """Sorted real magnitudes."""
    level: float
    shape: float
    scale: float
    slow: float
    """Share of the variance that swings slowly, over about half an hour."""

    def scores(self, frames: int, random: np.random.Generator) -> Values:
        """So many scores in a row."""
        warm = 2000
        drive = random.normal(0.0, self.noise, frames + warm)
        fast = lfilter([1.0], np.concatenate(([1.0], -self.coefficients)), drive)[warm:]
        if self.slow:
            keep = np.exp(-1.0 / (1800.0 * FPS))
            start = random.normal()
            swing, _ = lfilter(
                [np.sqrt(1.0 - keep**2)],
                [1.0, -keep],
                random.normal(size=frames),
                zi=[keep * start],
            )
            fast = np.sqrt(1.0 - self.slow) * fast + np.sqrt(self.slow) * swing
        z = self._magnitudes(fast)
        return np.where(z <= 0.5, z, 1.0 - 0.25 / np.maximum(z, 0.5))

    def _magnitudes(self, values: Values) -> Values:
        shares = norm.cdf(values)
        z = np.quantile(self.body, np.minimum(shares, TAIL_FROM))
        high = shares > TAIL_FROM
        # The upper tail's own probability: 1 - share would be rounded off.
        beyond = norm.sf(values[high]) / (1.0 - TAIL_FROM)
        z[high] = self.level + genpareto.isf(beyond, self.shape, scale=self.scale)
        return z


def modelled(
    clips: Sequence[Sequence[float | None]], *, slow: float = 0.0, shape: float | None = None
) -> Model:
    """From scores of real normal footage; `shape` stands for the shape of their tail."""
    runs = [np.array([magnitude(s) for s in clip if s is not None]) for clip in clips]
    body = np.sort(np.concatenate(runs))
    level = float(np.quantile(body, TAIL_FROM))
    excesses = body[body > level] - level
    fitted, _, scale = genpareto.fit(excesses, floc=0.0)
    if shape is not None:
        fitted, scale = shape, float(excesses.mean()) * (1.0 - shape)
    ranks = [norm.ppf((np.searchsorted(body, run, "right") - 0.5) / len(body)) for run in runs]
    long = [each for each in ranks if len(each) > 3 * ORDER]
    covariance = np.array([_covariance(long, lag) for lag in range(ORDER + 1)])
    correlation = covariance / covariance[0]
    coefficients = solve_toeplitz(correlation[:-1], correlation[1:])
    noise = float(np.sqrt(1.0 - coefficients @ correlation[1:]))
    return Model(coefficients, noise, body, level, float(fitted), float(scale), slow)


def _covariance(runs: Sequence[Values], lag: int) -> float:
    products = [run[lag:] * run[: len(run) - lag] for run in runs]
    return float(np.concatenate(products).mean())


@dataclass(frozen=True)
class Watched:
    """A long run of scores, in which events are counted at many thresholds."""

    scores: Values
    levels: Values
    """At each frame the lowest of the newest `min_frames` scores."""
    rules: EventRules

    @classmethod
    def of(cls, scores: Values, rules: EventRules) -> Watched:
        """Reckon the levels once."""
        size = rules.min_frames
        lowest = minimum_filter1d(scores, size, origin=(size - 1) // 2, mode="constant", cval=0.0)
        return cls(scores, lowest, rules)

    def events(self, threshold: float) -> list[Alarm]:
        """Those that the service's machine makes; it is shown only where any could be."""
        places = np.flatnonzero(self.levels >= threshold)
        after = 50 * self.rules.quiet_frames
        found: list[Alarm] = []
        for group in np.split(places, np.flatnonzero(np.diff(places) > after) + 1):
            if not len(group):
                continue
            first = max(0, int(group[0]) - self.rules.min_frames)
            part = self.scores[first : group[-1] + after]
            found += [
                Alarm(first + a.first_frame, first + a.raised_frame, first + a.last_frame)
                for a in alarms(part, threshold, self.rules, FPS)
            ]
        return found

    def count(self, threshold: float) -> int:
        """How many there are: as many as stretches in which events could start, apart by enough
        quiet. The same as `events` gives, and far quicker."""
        places = np.flatnonzero(self.levels >= threshold)
        if not len(places):
            return 0
        gaps = np.flatnonzero(np.diff(places) > self.rules.quiet_frames)
        return 1 + sum(self._ends(int(places[i]), int(places[i + 1]), threshold) for i in gaps)

    def _ends(self, start: int, stop: int, threshold: float) -> bool:
        """Whether an event ends between two frames."""
        kept = self.scores[start:stop] >= self.rules.release * threshold
        ends = np.flatnonzero(np.concatenate(([True], kept, [True])))
        return bool(np.diff(ends).max() > self.rules.quiet_frames)
