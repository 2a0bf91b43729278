"""How long to wait before a source is tried again: longer each time, with jitter, for ever."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from model.footage.footage_error import SourceFault
from service.timers import compute_backoff_s

FIRST_S = 0.5
LONGEST_S = 2.5
"""With the time limits of a connection (4 s) and a read (5 s), a camera that is back is seen
within 10 s; a look at one that is away costs a packet."""
STEADY_S = 10.0
"""Frames for so long, and the next failure counts as the first."""
REFUSED_S = 60.0
"""Between attempts with a password that was refused: cameras lock accounts."""
NOT_VIDEO_S = 5.0
LOCAL_S = 30.0
"""Between attempts at a file or folder that can't be read: it changes when somebody changes it."""


@dataclass(slots=True)
class Backoff:
    """Pauses of 0.5, 1, 2, 2.5 … s, each shortened by up to a half at random, so that cameras
    which fell together don't come back together."""

    jitter: Callable[[], float] = random.random
    """In [0, 1)."""
    failures: int = 0

    def next_s(
        self,
        *,
        steady_s: float = 0.0,
        fault: SourceFault = SourceFault.UNREACHABLE,
        is_live: bool = True,
    ) -> float:
        """The pause after one more failure.

        Args:
            steady_s: how long frames had come before it.
            is_live: whether it is a camera, and no recording.
        """
        if steady_s >= STEADY_S:
            self.failures = 0
        self.failures += 1
        if fault is SourceFault.REFUSED:
            return REFUSED_S
        longest = compute_backoff_s(self.failures, first_s=FIRST_S, longest_s=LONGEST_S)
        if fault is SourceFault.NOT_VIDEO:
            longest = NOT_VIDEO_S if is_live else LOCAL_S
        return longest * (1.0 - 0.5 * self.jitter())
