"""Estimates the usual gap between a source's pictures, and the silence that ends a run."""

from __future__ import annotations

from collections import deque
from statistics import median

KEPT = 15
ENOUGH = 3
"""The usual gap is estimated from at least this many gaps."""
TIMES = 4.0
LEAST_S = 2.0


class Gaps:
    """The usual gap between pictures, from the last ones. Not for two threads at once."""

    def __init__(self, unknown_s: float = 0.5) -> None:
        """Args: unknown_s: the usual gap while too few gaps are known."""
        self._unknown_s = unknown_s
        self._last: float | None = None
        self._gaps: deque[float] = deque(maxlen=KEPT)
        self.silence_s = self._limit()
        """A picture that is later than this begins a new run."""

    def add(self, time_s: float) -> bool:
        """Add a picture's time. Returns whether it came after a silence."""
        gap = 0.0 if self._last is None else time_s - self._last
        silent = gap > self.silence_s
        if self._last is not None and gap > 0.0:
            self._gaps.append(gap)
            self.silence_s = self._limit()
        self._last = time_s
        return silent

    @property
    def usual_s(self) -> float:
        """The usual time between pictures."""
        return median(self._gaps) if len(self._gaps) >= ENOUGH else self._unknown_s

    def _limit(self) -> float:
        return max(LEAST_S, TIMES * self.usual_s)
