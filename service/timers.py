"""Timers, deadlines and growing pauses on the monotonic clock: setting the machine's clock changes
none of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

Clock = Callable[[], float]
_RANDOM = random.Random()
"""A generator of our own: threads must not change what a caller's seed gives."""


class Timer:
    """Says when something that is done at most every so often is due again. It is due at first.

    A clock that was set back keeps nothing from its turn.
    """

    def __init__(self, every_s: float, clock: Clock = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._restarted_at = float("-inf")

    @property
    def is_due(self) -> bool:
        """Return whether `every_s` seconds have gone by since the last restart."""
        return not 0.0 <= self._clock() - self._restarted_at < self._every_s

    def expire(self) -> None:
        """Be due from now on."""
        self._restarted_at = float("-inf")

    def restart(self) -> None:
        """Wait for another `every_s` seconds from now on."""
        self._restarted_at = self._clock()

    def restart_if_due(self) -> bool:
        """Restart the timer where it is due. Returns whether it was."""
        if not self.is_due:
            return False
        self.restart()
        return True


class Deadline:
    """A moment that lies a number of seconds ahead when it is made."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    @property
    def left_s(self) -> float:
        """Seconds until then; 0 once it is over."""
        return max(0.0, self._at - self._clock())

    @property
    def is_over(self) -> bool:
        """Return whether the moment has come."""
        return self._clock() >= self._at


def compute_backoff_s(failures: int, *, first_s: float, longest_s: float) -> float:
    """Return the pause after so many failures in a row (from 1): it doubles up to `longest_s`."""
    return min(longest_s, first_s * 2.0 ** min(failures - 1, 30))


def spread(pause_s: float, low: float, high: float) -> float:
    """Multiply a pause by a random factor between `low` and `high`, so that what failed together
    isn't tried again together."""
    return pause_s * _RANDOM.uniform(low, high)
