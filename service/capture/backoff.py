"""How long to wait before a source is tried again: longer each time, with jitter, for ever."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

FIRST_S = 0.5
LONGEST_S = 15.0
STEADY_S = 10.0
"""Frames for so long, and the next failure counts as the first."""
PERMANENT_S = 30.0
"""Between attempts at what won't get better by itself soon."""


@dataclass(slots=True)
class Backoff:
    """Pauses of 0.5, 1, 2 … 15 s, each shortened by up to a half at random, so that cameras which
    fell together don't come back together."""

    jitter: Callable[[], float] = random.random
    """In [0, 1)."""
    failures: int = 0

    def next_s(self, *, steady_s: float = 0.0, permanent: bool = False) -> float:
        """The pause after one more failure.

        Args:
            steady_s: how long frames had come before it.
        """
        if steady_s >= STEADY_S:
            self.failures = 0
        self.failures += 1
        if permanent:
            return PERMANENT_S
        longest = min(LONGEST_S, FIRST_S * 2.0 ** min(self.failures - 1, 10))
        return float(longest * (1.0 - 0.5 * self.jitter()))
