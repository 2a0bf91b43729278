"""Zones of a picture, to watch and to ignore: polygons turned into pixels and cells.

Corners of a polygon are shares of the picture's width and height, from the left and the top.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.scoring.score_config import ErrorStep

LEAST_SHARE = 0.5
"""A cell counts if at least this share of it is watched."""
SUBPIXEL_BITS = 8
"""Corners are rounded to 1/256 of a pixel."""

Polygon = Sequence[tuple[float, float]]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, as shares of the picture."""


class ZoneMask:
    """The pixels of a network's frames that are watched. It doesn't change."""

    def __init__(self, pixels: NDArray[np.bool_]) -> None:
        """Raises: ValueError: no pixel is watched."""
        if not pixels.any():
            raise ValueError("the zones leave nothing of the picture to be watched")
        self.pixels = pixels
        """(H, W), True where the picture is watched."""
        rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
        height, width = pixels.shape
        self.box: Box = (
            float(columns[0] / width),
            float(rows[0] / height),
            float((columns[-1] + 1) / width),
            float((rows[-1] + 1) / height),
        )
        """Around everything that is watched."""
        self._cells: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def find_cells(self, step: ErrorStep) -> NDArray[np.bool_]:
        """Return the cells of `score.pool_cells` that count, (rows, columns): those of which most
        is watched or, where zones are so narrow that there are none, the most watched ones."""
        key = step.cell, step.stride
        if key not in self._cells:
            shares = _measure_shares(self.pixels, *key)
            self._cells[key] = shares >= min(LEAST_SHARE, float(shares.max()))
        return self._cells[key]

    def find_region(self, cells: NDArray[np.float32], step: ErrorStep) -> Box:
        """Do what the function of that name does, for the cells that count. The result lies within
        `box`.

        Args:
            cells: (rows, columns), >= 0, pooled as `step` says.
        """
        left, top, right, bottom = _find_strongest(cells, self.find_cells(step))
        height, width = self.pixels.shape
        stride, reach = step.stride, step.cell - step.stride
        return (
            max(left * stride / width, self.box[0]),
            max(top * stride / height, self.box[1]),
            min((right * stride + reach) / width, self.box[2]),
            min((bottom * stride + reach) / height, self.box[3]),
        )


def build_zone_mask(
    watch: Sequence[Polygon], ignore: Sequence[Polygon], height: int, width: int
) -> ZoneMask | None:
    """Build the mask of what is inside any of `watch` (anywhere, if there are none) and in none of
    `ignore`.

    A pixel that an edge touches is inside. Where edges of one polygon cross, what they enclose
    twice is outside.

    Returns: None: the whole picture is watched.
    Raises: ValueError: no pixel is left.
    """
    pixels = _fill_polygons(watch, height, width) if watch else np.ones((height, width), np.bool_)
    pixels &= ~_fill_polygons(ignore, height, width)
    return None if pixels.all() else ZoneMask(pixels)


def _fill_polygons(polygons: Sequence[Polygon], height: int, width: int) -> NDArray[np.bool_]:
    filled = np.zeros((height, width), np.uint8)
    for polygon in polygons:  # together, they would leave out what two of them cover
        # OpenCV's coordinates are those of the pixels' centres.
        corners = np.asarray(polygon, np.float64) * (width, height) - 0.5
        fixed = np.round(corners * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(filled, [fixed], 1, cv2.LINE_8, SUBPIXEL_BITS)
    return filled.astype(np.bool_)


def _measure_shares(pixels: NDArray[np.bool_], cell: int, stride: int) -> NDArray[np.float32]:
    """Measure how much of each cell is watched, 0 to 1."""
    height, width = pixels.shape
    if min(height, width) < cell:
        raise ValueError(f"cell of {cell} pixels is larger than the map {pixels.shape}")
    means = cv2.boxFilter(pixels.astype(np.float32), -1, (cell, cell), anchor=(0, 0))
    shares = means[: height - cell + 1 : stride, : width - cell + 1 : stride]
    return np.asarray(shares, np.float32)


def measure_area(polygon: Polygon) -> float:
    """Measure the share of the picture that a polygon's sides enclose. What they enclose in the
    other direction is subtracted."""
    x, y = np.asarray(polygon, np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2.0)


def find_region(cells: NDArray[np.float32]) -> Box:
    """Find the box around the cells that are connected to the largest and at least half as large.

    Args:
        cells: (rows, columns), >= 0, of a picture that is watched as a whole.
    """
    rows, columns = cells.shape
    left, top, right, bottom = _find_strongest(cells, np.ones_like(cells, np.bool_))
    return left / columns, top / rows, right / columns, bottom / rows


def _find_strongest(
    cells: NDArray[np.float32], counted: NDArray[np.bool_]
) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom, in cells."""
    peak = divmod(int(np.where(counted, cells, -1.0).argmax()), cells.shape[1])
    strong = (counted & (cells >= 0.5 * cells[peak])).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(strong, connectivity=8)
    left, top, width, height, _ = (int(v) for v in stats[labels[peak]])
    return left, top, left + width, top + height
