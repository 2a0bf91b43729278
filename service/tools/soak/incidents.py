"""Draws from a seed which camera misbehaves when, and how, so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

QUIET_S = 45.0
"""Mean time between two incidents of a camera."""
LEAST_QUIET_S = 12.0
"""Least time between them, for the camera to come back and be scored."""
LEAST_S, MOST_S = 2.0, 25.0


class CameraFault(StrEnum):
    """How a camera, or the network before it, misbehaves."""

    REFUSE = "refuse"
    """Refuses connections."""
    SILENCE = "silence"
    """Accepts connections, and sends nothing."""
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
    """One fault of one camera. Times are seconds from the start of the run."""

    camera: int
    fault: CameraFault
    start_s: float
    end_s: float


def draw_incidents(seed: int, cameras: int, seconds: float) -> list[Incident]:
    """Draw all incidents of a run, by their start; each ends before the run does."""
    found: list[Incident] = []
    for camera in range(cameras):
        drawn = random.Random(f"{seed}:{camera}")
        at = LEAST_QUIET_S
        while True:
            start = at + drawn.expovariate(1.0 / (QUIET_S - LEAST_QUIET_S))
            end = start + drawn.uniform(LEAST_S, MOST_S)
            if end + LEAST_QUIET_S > seconds:
                break
            found.append(Incident(camera, drawn.choice(list(CameraFault)), start, end))
            at = end + LEAST_QUIET_S
    return sorted(found, key=lambda each: each.start_s)
