"""How many of a camera's frames were scored or not, at which rate and how old, for its status."""

from __future__ import annotations

from model.detect.observation import Observation
from service.infer.frame_sources import SourceFrame
from service.infer.rates import AgeQuantiles, FrameAges, FrameRate

DEGRADED_S = 10.0
"""A camera counts as degraded for so long after a frame that there was no time to score."""


class FrameCounts:
    """Counts one camera's frames. The worker's thread adds; any thread may read."""

    def __init__(self) -> None:
        self.still = 0
        self.computed = 0.0
        """Pictures that the network ran for; a part of a picture counts as its share."""
        self.faults = 0
        self.unscored = 0
        """Frames that there was no time to score."""
        self.newest_age_s: float | None = None
        self._unscored_at = float("-inf")
        self._rate = FrameRate()
        self._ages = FrameAges()

    def add_scored(self, frame: SourceFrame, seen: Observation, now: float) -> None:
        """Count a frame that was observed."""
        self.still += seen.still
        self.computed += seen.computed
        self._rate.add(now)
        self.newest_age_s = now - frame.captured_at
        self._ages.add(now, self.newest_age_s)

    def add_unscored(self, now: float) -> None:
        """Count a frame that there was no time to score."""
        self.unscored += 1
        self._unscored_at = now

    def add_fault(self) -> None:
        """Count a frame that couldn't be scored."""
        self.faults += 1

    def is_degraded(self, now: float) -> bool:
        """Return whether there was no time for a frame in the last few seconds."""
        return now - self._unscored_at < DEGRADED_S

    def compute_fps(self, now: float) -> float:
        """Compute the frames scored a second, over the last few seconds."""
        return self._rate.compute_per_second(now)

    def compute_ages(self, now: float) -> AgeQuantiles | None:
        """Compute the ages of the last half minute's frames at their scores; None without any."""
        return self._ages.compute_quantiles(now)
