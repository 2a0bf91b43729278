"""Running ranges of measures: each places a value between the low and the high of the past.

Each starts from the range of normal footage, keeps two numbers, and uses only the past.
"""

from __future__ import annotations

import math
from typing import Protocol

from model.scoring.normal_range import Interval
from model.scoring.score_config import Normalisation, NormalisationKind


class Range(Protocol):
    """A range that follows the values that it places. `low <= high`, both finite and saved."""

    low: float
    high: float

    def place(self, value: float, *, steps: float = 1.0) -> float:
        """Place the value in the range: g(value), in [0, 1]. A range that must contain all past
        values widens first.

        Args: steps: how many frames at the model's rate the frame stands for.
        Raises: ValueError: the value is NaN or infinite; the range is left as it was.
        """

    def learn(self, value: float, *, abnormal: bool, steps: float = 1.0) -> None:
        """Follow the value that was placed; less if the frame's score was abnormal."""


def _require_finite(value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"a value to normalise must be finite, got {value!r}")


class RunningRange:
    """The minimum and maximum of past values: g(x) = (x - low) / (high - low).

    With `relax_frames` 0 it keeps every extreme for ever, so that one glitch squeezes all later
    scores. Otherwise it relaxes with that half-life back to the range at the start.
    """

    def __init__(self, start: Interval, *, least_span: float, relax_frames: float = 0.0) -> None:
        self._start = start
        self._least_span = least_span
        self._keep = 0.5 ** (1.0 / relax_frames) if relax_frames > 0.0 else 1.0
        self.low = start.low
        self.high = start.high

    def place(self, value: float, *, steps: float = 1.0) -> float:
        """See `Range`; the range widens before it places the value."""
        _require_finite(value)
        keep = self._keep**steps
        low = self._start.low + (self.low - self._start.low) * keep
        high = self._start.high + (self.high - self._start.high) * keep
        self.low = min(low, value)
        self.high = max(high, value)
        return (value - self.low) / max(self.high - self.low, self._least_span)

    def learn(self, value: float, *, abnormal: bool, steps: float = 1.0) -> None:
        """See `Range`; `place` did it already."""


class QuantileRange:
    """Running quantiles, which one frame moves a little, however large its value is.

    Stochastic approximation with a constant gain (Tierney, 1983): a frame moves the estimate q of
    the quantile p by p w / window if it lies above q, else by -(1 - p) w / window, w the width at
    the start. A shift of the picture is followed by at most one width a window, and a glitch has
    no effect. The place in the range, z = (x - low) / (headroom (high - low)), isn't cut off at 1,
    which would make all large errors equal: above 1/2, g = 1 - 1 / (4 z). It never divides by less
    than w: a quiet night must not turn the noise of an empty scene into scores.

    A frame with an abnormal score moves the estimates only by `abnormal_gain` of that, as frames
    with errors at or above γ don't update the memory: otherwise an hour of something unusual would
    become normal. The gain isn't 0, so that a permanent change is followed in the end.
    """

    def __init__(self, start: Interval, config: Normalisation, *, least_span: float) -> None:
        width = max(start.high - start.low, least_span)
        self._gain = width / config.window_frames
        self._abnormal_gain = self._gain * config.abnormal_gain
        self._tail = config.tail
        self._headroom = config.headroom
        self._least_span = width
        self.low = start.low
        self.high = start.high

    def place(self, value: float, *, steps: float = 1.0) -> float:
        """See `Range`."""
        _require_finite(value)
        span = self._headroom * max(self.high - self.low, self._least_span)
        place = max(value - self.low, 0.0) / span
        return place if place <= 0.5 else 1.0 - 0.25 / place

    def learn(self, value: float, *, abnormal: bool, steps: float = 1.0) -> None:
        """See `Range`."""
        gain = steps * (self._abnormal_gain if abnormal else self._gain)
        low = self.low + gain * (self._tail if value > self.low else self._tail - 1.0)
        self.high += gain * (1.0 - self._tail if value > self.high else -self._tail)
        self.low = min(low, self.high)


def make_range(config: Normalisation, start: Interval, *, least_span: float) -> Range:
    """Make a range of the configured kind from that of normal footage.

    Args:
        least_span: a smaller span means that the measure has collapsed; it is the least divisor.
    """
    if config.kind is NormalisationKind.QUANTILE:
        return QuantileRange(start, config, least_span=least_span)
    reach = Interval(start.low, start.low + config.headroom * (start.high - start.low))
    relax = config.relax_frames if config.kind is NormalisationKind.DECAYED else 0.0
    return RunningRange(reach, least_span=least_span, relax_frames=relax)
