"""Draws in metres: a figure on the ground, seen from the side, its feet at the origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.frames import Picture

Point = tuple[float, float]
"""Metres: ahead of the figure, and above the ground."""

Colour = tuple[float, float, float]
"""Blue, green, red, each from 0 to 255."""

FRACTION_BITS = 4
"""OpenCV takes coordinates as integers with this many binary places."""


@dataclass(frozen=True, slots=True)
class Brush:
    """Draws on a picture at one place of the ground."""

    picture: Picture
    foot: Point
    """Pixels: where the figure's origin is."""
    scale: float
    """Pixels a metre."""
    facing: int = 1
    """1 faces right, -1 left."""

    def draw_line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draw a line with round ends through the points, `width` metres thick."""
        thickness = max(1, round(width * self.scale))
        cv2.polylines(
            self.picture, [self._pixels(points)], False, colour, thickness, shift=FRACTION_BITS
        )

    def fill_area(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.picture, [self._pixels(points)], colour, shift=FRACTION_BITS)

    def fill_disc(self, centre: Point, radius: float, colour: Colour) -> None:
        """Fill a circle."""
        x, y = (int(value) for value in self._pixels([centre])[0])
        reach = round(radius * self.scale * (1 << FRACTION_BITS))
        cv2.circle(self.picture, (x, y), reach, colour, cv2.FILLED, shift=FRACTION_BITS)

    def cast_shadow(self, ahead: float, half_length: float, half_depth: float) -> None:
        """Darken an ellipse of the ground around a point `ahead` of the origin."""
        x = self.foot[0] + self.facing * ahead * self.scale
        reach_x, reach_y = (max(1, round(v * self.scale)) for v in (half_length, half_depth))
        height, width = self.picture.shape[:2]
        left, right = max(0, round(x) - reach_x), min(width, round(x) + reach_x + 1)
        top, bottom = (
            max(0, round(self.foot[1]) - reach_y),
            min(height, round(self.foot[1]) + reach_y + 1),
        )
        if left >= right or top >= bottom:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        centre = (round(x) - left, round(self.foot[1]) - top)
        cv2.ellipse(mask, centre, (reach_x, reach_y), 0, 0, 360, 1, cv2.FILLED)
        ground = self.picture[top:bottom, left:right]
        ground[mask > 0] = (ground[mask > 0] * 0.62).astype(np.uint8)

    def _pixels(self, points: Sequence[Point]) -> NDArray[np.int32]:
        metres = np.asarray(points, np.float64) * (self.facing, -1.0)
        pixels = metres * self.scale + self.foot
        return np.asarray(np.round(pixels * (1 << FRACTION_BITS)), np.int32)
