"""The rate of a camera's frames over the last seconds, and their ages when they were scored."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

RATE_WINDOW_S = 5.0
AGE_WINDOW_S = 30.0
MAX_AGES = 600


class FrameRate:
    """Frames a second over the last few seconds. One thread adds; any may read."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1000)

    def add(self, now: float) -> None:
        """Add a frame."""
        self._times.append(now)

    def compute_per_second(self, now: float) -> float:
        """Compute the rate as of now."""
        times = tuple(self._times)
        return (len(times) - bisect_left(times, now - RATE_WINDOW_S)) / RATE_WINDOW_S


@dataclass(frozen=True, slots=True)
class AgeQuantiles:
    """Score time less capture time, in seconds."""

    p50: float
    p99: float


class FrameAges:
    """How old frames were when they were scored, over the last half minute."""

    def __init__(self) -> None:
        self._ages: deque[tuple[float, float]] = deque(maxlen=MAX_AGES)

    def add(self, now: float, age_s: float) -> None:
        """Add the age of a frame that is scored now."""
        self._ages.append((now, age_s))

    def compute_quantiles(self, now: float) -> AgeQuantiles | None:
        """Compute the quantiles as of now; None where no frame was scored in that time."""
        recent = sorted(age for at, age in tuple(self._ages) if now - at <= AGE_WINDOW_S)
        if not recent:
            return None
        last = len(recent) - 1
        return AgeQuantiles(recent[round(0.5 * last)], recent[round(0.99 * last)])
