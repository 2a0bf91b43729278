"""Samples a source's frames evenly, at about the requested rate."""

from __future__ import annotations

from collections import deque
from statistics import median

WHOLE_SOURCE_SHARE = 0.85
"""All frames are kept if they are at least this share of the requested period apart. Otherwise
clock drift would drop a frame now and then, and the picture would jump."""
GAPS = 15


class Sampler:
    """Decides frame by frame, from their times in seconds; no state is kept across a cut."""

    def __init__(self, fps: float | None) -> None:
        self._period = 1.0 / fps if fps else 0.0
        self._due: float | None = None
        self._last: float | None = None
        self._gaps: deque[float] = deque(maxlen=GAPS)

    def takes(self, time_s: float) -> bool:
        """Returns whether to keep the frame of this time."""
        if not self._period:
            return True
        if self._last is not None and time_s <= self._last:  # the source's clock was set back
            self._due = None
            self._gaps.clear()
        elif self._last is not None:
            self._gaps.append(time_s - self._last)
        self._last = time_s
        if self._due is None:
            self._due = time_s
        gap = median(self._gaps) if self._gaps else 0.0
        if gap >= WHOLE_SOURCE_SHARE * self._period:
            self._due = time_s + self._period
            return True
        # Nearest to the grid: a frame may come up to half of the source's gap too early.
        if time_s < self._due - 0.5 * gap - 1e-6:
            return False
        self._due = max(self._due, time_s - self._period) + self._period
        return True
