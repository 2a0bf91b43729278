"""The part of a picture that the network computes, around the places where something changes.

A part consists of whole cells of the network's feature map, and has one of few shapes, since an
engine compiles each of them. Near its edges a part isn't exact, because the picture beyond them is
missing, so a margin of it isn't used. docs/studies/tiles.md has the reasons. No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2

from model.network.network_config import LEAST_SIDE, NetConfig
from model.scene.features import SIDE
from model.scene.stillness import Places, Region

MARGIN = 16
"""At least this many pixels at an edge of a part aren't used; none at an edge of the picture."""
SHAPES = ((0.5, 0.5), (0.5, 1.0), (1.0, 0.5), (0.75, 1.0), (1.0, 0.75))
"""Height and width of a part, as shares of the picture's. This set is within 1% of the five shapes
that took the least time on six cameras' footage."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A part along one axis, in cells of the feature map."""

    start: int
    stop: int
    used_start: int
    """What is used of the part begins here, and ends at `used_stop`."""
    used_stop: int

    def slice_computed(self, step: int = 1) -> slice:
        """Return what is computed. Args: step: units of the slice in a cell."""
        return slice(self.start * step, self.stop * step)

    def slice_used(self, step: int = 1) -> slice:
        """Return what is used of it."""
        return slice(self.used_start * step, self.used_stop * step)

    def slice_used_of_part(self, step: int = 1) -> slice:
        """Return what is used, counted from the start of the part."""
        first, last = self.used_start - self.start, self.used_stop - self.start
        return slice(first * step, last * step)


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of the picture."""

    rows: Extent
    columns: Extent
    region: Region
    """The places of `Features.thumb` for which the part is used."""
    share: float
    """The area as a share of the picture's."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, in cells."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


class Crops:
    """Finds the part of a network's picture that has to be computed."""

    def __init__(self, config: NetConfig) -> None:
        self.config = config
        self.cell = config.downscale
        self._size = config.height // self.cell, config.width // self.cell
        self._margin = -(-MARGIN // self.cell)
        self.shapes = _list_shapes(self._size, LEAST_SIDE * config.patch // self.cell)
        """(rows, columns) of cells, the smallest first."""

    def find(self, active: Places) -> Crop | None:
        """Find the smallest part that gives all active places.

        Returns: None: the whole picture; also where nothing is active.
        """
        left, top, width, height = cv2.boundingRect(active)
        if not width:
            return None
        rows = self._widen(top, top + height, self._size[0])
        columns = self._widen(left, left + width, self._size[1])
        for height, width in self.shapes:
            if height >= rows[1] - rows[0] and width >= columns[1] - columns[0]:
                return self._place(rows, columns, (height, width))
        return None

    def _widen(self, first: int, last: int, size: int) -> tuple[int, int]:
        """Convert places to cells, with the margin."""
        start = first * size // SIDE - self._margin
        stop = -(-last * size // SIDE) + self._margin
        return max(0, start), min(size, stop)

    def _place(
        self, rows: tuple[int, int], columns: tuple[int, int], shape: tuple[int, int]
    ) -> Crop:
        down = self._place_along(*rows, shape[0], self._size[0])
        across = self._place_along(*columns, shape[1], self._size[1])
        region = _find_used_places(down, self._size[0]), _find_used_places(across, self._size[1])
        area = shape[0] * shape[1] / (self._size[0] * self._size[1])
        return Crop(down, across, region, area)

    def _place_along(self, first: int, last: int, length: int, size: int) -> Extent:
        """Place a part of this length around these cells."""
        start = min(max(0, first - (length - last + first) // 2), size - length)
        stop = start + length
        return Extent(
            start,
            stop,
            start + self._margin if start else 0,
            stop - self._margin if stop < size else size,
        )


def _list_shapes(size: tuple[int, int], least: int) -> tuple[tuple[int, int], ...]:
    """List the shapes of parts. Args: size: of the picture; least: side of a part; in cells."""
    shapes = {
        (max(least, math.ceil(height * size[0])), max(least, math.ceil(width * size[1])))
        for height, width in SHAPES
    }
    return tuple(sorted(shapes - {size}, key=math.prod))


def _find_used_places(extent: Extent, size: int) -> slice:
    """Find the places that lie wholly in what is used of a part."""
    return slice(-(-extent.used_start * SIDE // size), extent.used_stop * SIDE // size)
