"""How many of a camera's frames were scored or not, at which rate and how old, for its status."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

from model.detect.observation import Observation
from service.infer.frame_sources import SourceFrame

DEGRADED_S = 10.0
"""A camera counts as degraded for so long after a frame that there was no time to score."""
RATE_WINDOW_S = 5.0
AGE_WINDOW_S = 30.0
MAX_AGES = 600


class FrameRate:
    """Frames a second over the last few seconds. One thread adds; any may read."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1000)

    def add(self, now: float) -> None:
        self._times.append(now)

    def compute_per_second(self, now: float) -> float:
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
        self._ages.append((now, age_s))

    def compute_quantiles(self, now: float) -> AgeQuantiles | None:
        """Compute the quantiles as of now; None where no frame was scored in that time."""
        recent = sorted(age for at, age in tuple(self._ages) if now - at <= AGE_WINDOW_S)
        if not recent:
            return None
        last = len(recent) - 1
        return AgeQuantiles(recent[round(0.5 * last)], recent[round(0.99 * last)])


class FrameCounts:
    """Counts one camera's frames. The worker's thread adds; any thread may read."""

    def __init__(self) -> None:
        self.still = 0
        self.computed = 0.0
        """Pictures that the network ran for; a part of a picture counts as its share."""
        self.faults = 0
        self.unscored = 0
        """Frames that there was no time to score."""
        self.displayed = 0
        """Frames of the camera while it had no model."""
        self.newest_age_s: float | None = None
        self._unscored_at = float("-inf")
        self._rate = FrameRate()
        self._ages = FrameAges()

    def add_scored(self, frame: SourceFrame, seen: Observation, now: float) -> None:
        self.still += seen.still
        self.computed += seen.computed
        self._rate.add(now)
        self.newest_age_s = now - frame.captured_at
        self._ages.add(now, self.newest_age_s)

    def add_unscored(self, now: float) -> None:
        self.unscored += 1
        self._unscored_at = now

    def add_fault(self) -> None:
        self.faults += 1

    def is_degraded(self, now: float) -> bool:
        """Return whether there was no time for a frame in the last few seconds."""
        return now - self._unscored_at < DEGRADED_S

    def compute_fps(self, now: float) -> float:
        return self._rate.compute_per_second(now)

    def compute_ages(self, now: float) -> AgeQuantiles | None:
        """Compute the ages of the last half minute's frames at their scores; None without any."""
        return self._ages.compute_quantiles(now)
