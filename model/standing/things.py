"""Finds the thing that has stood the longest, in a map of how long each cell has shown something
new."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.scoring.zones import Box
from model.standing.rules import StandingRules

Seconds = NDArray[np.float32]
"""(CELLS, CELLS)"""


@dataclass(frozen=True, slots=True, eq=False)
class StandingThing:
    """Something new that stands still."""

    share: float
    """How much of the dwell time it has stood there: above 0, at most 1."""
    box: Box
    cells: NDArray[np.bool_]
    """(CELLS, CELLS), the cells that it covers."""


def find_thing(ages_s: Seconds, dwell_s: float, rules: StandingRules) -> StandingThing | None:
    """Find the oldest group of connected cells that is large enough.

    Its age is that of its oldest `least_cells` cells. Cells that have stood for the dwell time are
    grouped first: a younger thing next to an old one doesn't join it.
    """
    for least_s in (dwell_s, min(rules.still_s, dwell_s)):
        oldest = _find_oldest(ages_s, ages_s >= least_s, rules.least_cells)
        if oldest is not None:
            age_s, cells = oldest
            return StandingThing(min(age_s / dwell_s, 1.0), _find_box(cells), cells)
    return None


def _find_oldest(
    ages_s: Seconds, grouped: NDArray[np.bool_], least_cells: int
) -> tuple[float, NDArray[np.bool_]] | None:
    if np.count_nonzero(grouped) < least_cells:
        return None
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        grouped.astype(np.uint8), connectivity=8
    )
    best: tuple[float, NDArray[np.bool_]] | None = None
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < least_cells:
            continue
        cells = np.asarray(labels == label, np.bool_)
        age_s = float(np.partition(ages_s[cells], -least_cells)[-least_cells])
        if best is None or age_s > best[0]:
            best = age_s, cells
    return best


def _find_box(cells: NDArray[np.bool_]) -> Box:
    rows, columns = (np.flatnonzero(cells.any(axis=axis)) for axis in (1, 0))
    height, width = cells.shape
    return (
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1) / width),
        float((rows[-1] + 1) / height),
    )
