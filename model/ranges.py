"""Running ranges of what is usual: where a measure lies between the low and the high of the past.

Each starts from the range that normal footage gave, keeps two numbers, and uses the past only.
"""

from __future__ import annotations

import math
from typing import Protocol

from model.config import Normalisation, NormalisationKind, Span


class Range(Protocol):
    """What moves with the values that it places. `low <= high`, both finite; they can be saved."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Where the value lies in the range: g(value), in [0, 1]. A range that must hold all that
        it has seen takes it in first.

        Raises: ValueError: the value is NaN or infinite; the range is left as it was.
        """

    def learn(self, value: float, *, abnormal: bool) -> None:
        """Follow the value that was placed; less, where the frame's score was abnormal."""


def _require_finite(value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"a value to normalise must be finite, got {value!r}")


class RunningRange:
    """Minimum and maximum of what has been seen: g(x) = (x - low) / (high - low).

    Plain (`relax_frames` 0) it keeps every extreme for ever, so that one glitch squeezes all later
    scores. Relaxing, whatever widened it fades with that half-life, back to the range at the start.
    """

    def __init__(self, start: Span, *, least_span: float, relax_frames: float = 0.0) -> None:
        self._start = start
        self._least_span = least_span
        self._keep = 0.5 ** (1.0 / relax_frames) if relax_frames > 0.0 else 1.0
        self.low = start.low
        self.high = start.high

    def place(self, value: float) -> float:
        """See `Range`; the range takes the value in before it is placed."""
        _require_finite(value)
        low = self._start.low + (self.low - self._start.low) * self._keep
        high = self._start.high + (self.high - self._start.high) * self._keep
        self.low = min(low, value)
        self.high = max(high, value)
        return (value - self.low) / max(self.high - self.low, self._least_span)

    def learn(self, value: float, *, abnormal: bool) -> None:
        """See `Range`; nothing is left to do."""


class QuantileRange:
    """Running quantiles, which one frame moves a little, whatever its value.

    Stochastic approximation with a constant gain (Tierney, 1983): a frame moves the estimate q of
    the quantile p by p w / window where it lies above q, by -(1 - p) w / window where it doesn't,
    w the width at the start. So a shift of the picture is followed at one width a window at most,
    and a glitch is nothing. The place in the range, z = (x - low) / (headroom (high - low)), isn't
    cut off at 1, which would make all large errors alike: above 1/2, g = 1 - 1 / (4 z). It never
    divides by less than w: a quiet night must not turn the noise of an empty scene into scores.

    A frame whose score is abnormal moves the estimates by a share of that (`abnormal_gain`), as the
    memory leaves frames out whose error reaches γ: else an hour of something unusual would become
    the new normal. Not by nothing: what has changed for good is to be followed in the end.
    """

    def __init__(self, start: Span, config: Normalisation, *, least_span: float) -> None:
        width = max(start.high - start.low, least_span)
        self._gain = width / config.window_frames
        self._abnormal_gain = self._gain * config.abnormal_gain
        self._tail = config.tail
        self._headroom = config.headroom
        self._least_span = width
        self.low = start.low
        self.high = start.high

    def place(self, value: float) -> float:
        """See `Range`."""
        _require_finite(value)
        span = self._headroom * max(self.high - self.low, self._least_span)
        place = max(value - self.low, 0.0) / span
        return place if place <= 0.5 else 1.0 - 0.25 / place

    def learn(self, value: float, *, abnormal: bool) -> None:
        """See `Range`."""
        gain = self._abnormal_gain if abnormal else self._gain
        low = self.low + gain * (self._tail if value > self.low else self._tail - 1.0)
        self.high += gain * (1.0 - self._tail if value > self.high else -self._tail)
        self.low = min(low, self.high)


def running_range(config: Normalisation, start: Span, *, least_span: float) -> Range:
    """The range of the named kind, from what normal footage gave.

    Args:
        least_span: below so much the measure has collapsed; it is never divided by less.
    """
    if config.kind is NormalisationKind.QUANTILE:
        return QuantileRange(start, config, least_span=least_span)
    reach = Span(start.low, start.low + config.headroom * (start.high - start.low))
    relax = config.relax_frames if config.kind is NormalisationKind.DECAYED else 0.0
    return RunningRange(reach, least_span=least_span, relax_frames=relax)
