"""Which camera misbehaves when, and how: drawn from a seed, so that a run can be had again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

QUIET_S = 45.0
"""Between two incidents of a camera, in the mean."""
LEAST_QUIET_S = 12.0
"""At least: a camera has time to come back, and to be seen to."""
LEAST_S, MOST_S = 2.0, 25.0


class Fault(StrEnum):
    """What a camera, or the network before it, does."""

    REFUSE = "refuse"
    """Nobody listens."""
    SILENCE = "silence"
    """Accepts connections, and says nothing."""
    STALL = "stall"
    """Goes silent in the middle of a picture."""
    RESET = "reset"
    """Cuts the connections, once."""
    GARBAGE = "garbage"
    """Sends noise into the stream."""
    SLOW = "slow"
    """Lets through a trickle."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One of them. Times are seconds from the start of the run."""

    camera: int
    fault: Fault
    start_s: float
    end_s: float


def incidents(seed: int, cameras: int, seconds: float) -> list[Incident]:
    """All of a run, by their start; each has ended when the run ends."""
    found: list[Incident] = []
    for camera in range(cameras):
        drawn = random.Random(f"{seed}:{camera}")
        at = LEAST_QUIET_S
        while True:
            start = at + drawn.expovariate(1.0 / (QUIET_S - LEAST_QUIET_S))
            end = start + drawn.uniform(LEAST_S, MOST_S)
            if end + LEAST_QUIET_S > seconds:
                break
            found.append(Incident(camera, drawn.choice(list(Fault)), start, end))
            at = end + LEAST_QUIET_S
    return sorted(found, key=lambda each: each.start_s)
