"""Our clock, and from a source's own clock to ours: when was a picture taken?"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

FAR_S = 1.0
"""A source's time that is so far from where it should be is another time."""
LATE_FOR_S = 2.0
"""Pictures that are late for so long aren't a burst after a short hold-up: the source's clock is
slow."""
CREEP = 0.0005
"""Seconds a second that the source's clock may be slower than ours: a crystal's worst, twice."""
FALSE_STARTS, WITHIN_S = 3, 60.0
"""A clock that was set so often in that time isn't believed any more."""
TICK_S = 1e-6


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, and waiting; tests give another."""

    now: Callable[[], float] = time.time
    wait: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Stamp:
    """The times of one picture."""

    captured_at: float
    """Seconds since 1970; always later than that of the picture before, and never in the future
    (but for our own clock being set back)."""
    sampled_at: float
    """Seconds on the clock that tells how far apart pictures are."""


class SourceClock:
    """Maps the times of one connection. The source's clock is anchored to the picture that came
    with the least delay, so that what the network adds is seen as age."""

    def __init__(self, *, captured_at: float = 0.0) -> None:
        """Args: captured_at: of the picture before, of an earlier connection."""
        self._believed = True
        self._captured_at = captured_at
        self._offset: float | None = None
        """Our time less the source's."""
        self._source_s = 0.0
        self._arrived_at = 0.0
        self._late_since: float | None = None
        self._set_at: deque[float] = deque(maxlen=FALSE_STARTS)

    def stamp(self, source_s: float | None, now: float) -> Stamp:
        """The times of a picture that has just come.

        Args:
            source_s: its time on the source's clock, if it has one.
            now: seconds since 1970.
        """
        taken = now
        if source_s is not None and self._believed:
            taken = min(now, self._map(source_s, now))
        own = source_s is not None and self._believed
        self._captured_at = max(taken, self._captured_at + TICK_S)
        return Stamp(self._captured_at, source_s if own and source_s is not None else now)

    def _map(self, source_s: float, now: float) -> float:
        if self._offset is None:
            self._offset = now - source_s
        else:
            offset = self._offset + CREEP * max(0.0, now - self._arrived_at)
            if self._is_another(source_s, now, offset):
                self._set(now)
                offset = now - source_s
            self._offset = min(offset, now - source_s)
        self._source_s, self._arrived_at = source_s, now
        return self._offset + source_s

    def _is_another(self, source_s: float, now: float, offset: float) -> bool:
        """Returns whether the source's clock was set, stands still, or runs at another speed."""
        late_s = now - (offset + source_s)
        if late_s <= FAR_S:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = now
        long_late = self._late_since is not None and now - self._late_since > LATE_FOR_S
        return source_s <= self._source_s or late_s < -FAR_S or long_late

    def _set(self, now: float) -> None:
        self._late_since = None
        self._set_at.append(now)
        if len(self._set_at) == FALSE_STARTS and now - self._set_at[0] < WITHIN_S:
            self._believed = False
