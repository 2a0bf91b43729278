"""Says whether footage is enough to learn, and what is missing, in a sentence for the owner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_S = 180.0
"""Footage to learn, at least. docs/studies/check.md shows why."""
LEAST_MOVING_S = 60.0
"""Of that, seconds in which something moves."""
HALF_WAIT_S = 1800.0
"""For so long, footage isn't enough while one half of the picture has seen no movement. After that
nothing is expected to move there."""
HALF_SHARE = 0.02
"""A half has seen movement if something moves there in this share of the time with movement."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much footage there is, and what moves in it."""

    seconds: float
    used_s: float
    moving_share: float
    cells: NDArray[np.float64]
    """(rows, columns): how often something moves in each cell, 0 to 1."""

    @property
    def moving_s(self) -> float:
        """Seconds in which something moves."""
        return self.moving_share * self.used_s


def is_enough(coverage: Coverage) -> bool:
    """Return whether a model can be learned from the footage."""
    return (
        coverage.used_s >= LEAST_S
        and coverage.moving_s >= LEAST_MOVING_S
        and (coverage.used_s >= HALF_WAIT_S or find_empty_half(coverage) is None)
    )


def find_empty_half(coverage: Coverage) -> str | None:
    """Return the half, "left" or "right", in which nothing has moved; None if there is none."""
    middle = coverage.cells.shape[1] // 2
    least = HALF_SHARE * coverage.moving_share
    for name, cells in (
        ("left", coverage.cells[:, :middle]),
        ("right", coverage.cells[:, middle:]),
    ):
        if cells.max(initial=0.0) <= least:
            return name
    return None


def give_advice(coverage: Coverage) -> str:
    """Say in one sentence what is missing, or that the footage is enough."""
    length = describe_length(coverage.used_s)
    if not coverage.seconds:
        return "no footage yet"
    if coverage.used_s < 0.5 * coverage.seconds:
        whole = describe_length(coverage.seconds)
        return f"only {length} of {whole} can be used: see what was left out"
    if not coverage.moving_share:
        return f"{length}, but nothing has moved yet: wait until people come by"
    if coverage.used_s < LEAST_S:
        return f"{length} so far: at least {describe_length(LEAST_S)} are needed"
    if coverage.moving_s < LEAST_MOVING_S:
        moving = describe_length(coverage.moving_s)
        needed = describe_length(LEAST_MOVING_S)
        return f"{length}, but something moved in only {moving} of it: wait until it is {needed}"
    half = find_empty_half(coverage)
    if half is not None and coverage.used_s < HALF_WAIT_S:
        return f"{length}, but nothing has crossed the {half} half yet"
    return f"enough: {length}, movement in {100.0 * coverage.moving_share:.0f} % of the time"


def describe_length(seconds: float) -> str:
    """Return a phrase such as "12 minutes"."""
    if seconds < 60.0:
        value, unit = round(seconds), "second"
    elif seconds < 5400.0:
        value, unit = round(seconds / 60.0), "minute"
    else:
        value, unit = round(seconds / 3600.0), "hour"
    return f"{value} {unit}{'' if value == 1 else 's'}"
