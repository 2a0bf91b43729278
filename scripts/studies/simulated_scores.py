"""Simulates scores with the tail and autocorrelation of real ones, and finds events in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz
from scipy.ndimage import minimum_filter1d
from scipy.signal import lfilter
from scipy.stats import genpareto, norm

from model.events.event_detection import ROUNDING_S, EventRules
from model.events.peaks import to_magnitude

FPS = 10.0
ORDER = 12
"""The order of the autoregression: this many past frames matter."""
TAIL_FROM = 0.95
"""Above this quantile, a fitted tail continues the scores."""
Values = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreModel:
    """An autoregression of normal scores, mapped to magnitudes as the real ones are spread."""

    coefficients: Values
    noise: float
    """The standard deviation of the noise."""
    body: Values
    """The sorted real magnitudes."""
    level: float
    shape: float
    scale: float
    slow: float
    """The share of the variance that swings slowly, over about half an hour."""

    def simulate(self, frames: int, random: np.random.Generator) -> Values:
        """Simulate scores in a row."""
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
        z: Values = np.quantile(self.body, np.minimum(shares, TAIL_FROM))
        high = shares > TAIL_FROM
        # The upper tail's own probability: 1 - share would be rounded off.
        beyond = norm.sf(values[high]) / (1.0 - TAIL_FROM)
        z[high] = self.level + genpareto.isf(beyond, self.shape, scale=self.scale)
        return z


def fit_model(
    clips: Sequence[Sequence[float | None]], *, slow: float = 0.0, shape: float | None = None
) -> ScoreModel:
    """Fit a model to scores of real normal footage; `shape` overrides the shape of their tail."""
    runs = [np.array([to_magnitude(s) for s in clip if s is not None]) for clip in clips]
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
    return ScoreModel(coefficients, noise, body, level, float(fitted), float(scale), slow)


def _covariance(runs: Sequence[Values], lag: int) -> float:
    products = [run[lag:] * run[: len(run) - lag] for run in runs]
    return float(np.concatenate(products).mean())


def _count_frames(seconds: float) -> int:
    """Count the steps from frame to frame that last so long."""
    return int(np.ceil((seconds - ROUNDING_S) * FPS))


@dataclass(frozen=True)
class ScoredRun:
    """A long run of scores, in which events are counted at many thresholds."""

    scores: Values
    levels: Values
    """The lowest of the newest scores of `start_s` seconds at each frame."""
    rules: EventRules
    quiet_frames: int

    @classmethod
    def from_scores(cls, scores: Values, rules: EventRules) -> ScoredRun:
        """Compute the levels once."""
        size = max(2, 1 + _count_frames(rules.start_s))
        lowest = minimum_filter1d(scores, size, origin=(size - 1) // 2, mode="constant", cval=0.0)
        return cls(scores, lowest, rules, _count_frames(rules.quiet_s))

    def count(self, threshold: float) -> int:
        """Count the stretches in which events could start, with enough quiet in between. The result
        equals the number of events that the service would find, and is far quicker."""
        places = np.flatnonzero(self.levels >= threshold)
        if not len(places):
            return 0
        gaps = np.flatnonzero(np.diff(places) > self.quiet_frames)
        return 1 + sum(self._has_end(int(places[i]), int(places[i + 1]), threshold) for i in gaps)

    def _has_end(self, start: int, stop: int, threshold: float) -> bool:
        """Returns whether an event ends between two frames."""
        kept = self.scores[start:stop] >= self.rules.release * threshold
        ends = np.flatnonzero(np.concatenate(([True], kept, [True])))
        return bool(np.diff(ends).max() > self.quiet_frames)
