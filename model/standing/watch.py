"""A camera's own settings for standing things, and how these enter its score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.scoring.zones import LEAST_SHARE, Polygon, build_zone_mask
from model.standing.appearance import CELLS
from model.standing.rules import MOST_DWELL_S

MASK_SIDE = 8 * CELLS
"""Width and height in pixels of the mask from which watched cells are found."""


@dataclass(frozen=True, slots=True, eq=False)
class StandingWatch:
    """What has to be reported of what stands still."""

    dwell_s: float
    """Something new is reported once it has stood still for this long."""
    cells: NDArray[np.bool_] | None = None
    """(CELLS, CELLS), the cells that count; None: all."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.dwell_s) and 0.0 < self.dwell_s <= MOST_DWELL_S):
            raise ValueError(
                f"dwell_s must be above 0, at most {MOST_DWELL_S:g}, got {self.dwell_s!r}"
            )


def build_standing_watch(
    dwell_s: float, watch: Sequence[Polygon], ignore: Sequence[Polygon]
) -> StandingWatch:
    """Build the settings for what lies inside any of `watch` (anywhere, if there are none) and in
    none of `ignore`.

    Raises: ValueError: nothing is left, or the dwell time is out of its bounds.
    """
    mask = build_zone_mask(watch, ignore, MASK_SIDE, MASK_SIDE)
    if mask is None:
        return StandingWatch(dwell_s)
    pixels = mask.pixels.astype(np.float32)
    shares = cv2.resize(pixels, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    # A zone may be narrower than a cell.
    return StandingWatch(dwell_s, shares >= min(LEAST_SHARE, float(shares.max())))


def place_above(threshold: float) -> float:
    """Return the score of something that has stood for the dwell time: halfway from the threshold
    to 1. At the threshold itself, an event would end as soon as the threshold rises a little."""
    return 0.5 * (threshold + 1.0)
