"""What a camera's exposure does to the whole picture, told from a frame and undone in it.

Cameras make up for a bright lorry, a cloud or dusk within seconds, and for all of the picture at
once. A curve of two numbers says what that did to the levels of what stands still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.frames import Frame

LEAST_CELLS = 12
"""So many must tell."""
LEAST_LEVEL = 8.0
"""Darker cells tell nothing."""
MOST = 2.5
"""So many times brighter or darker is another light."""
SLOPES = (0.5, 2.0)
FREE = 0.02
"""Of the level: so little is left alone."""
ALIKE = 0.06
"""Cells that differ more from the curve (by the logarithm) aren't what stands still."""
UNCHANGED = 0.75
"""Where so many of them are as they are known, exposure does nothing."""
ROUNDS = 3
PRIOR = 0.2
"""How much the slope is held at 1: the spread of as many cells' logarithms that differ by 1."""

Grey = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Exposure:
    """log level = pivot + shift + slope (log known - pivot)."""

    shift: float = 0.0
    slope: float = 1.0
    pivot: float = 0.0

    def undone(self, levels: Grey) -> Grey:
        """Levels as they would be in the light that is known."""
        if self == NONE:
            return levels
        logs = np.log(np.maximum(levels, 0.5)) - self.pivot - self.shift
        return np.exp(self.pivot + logs / self.slope).astype(np.float32)

    def undo(self, frame: Frame) -> Frame:
        """The frame in the light that is known; the same one where that is how it is.

        What is left alone is left of a larger difference, too: there is no step where it begins.
        """
        if self == NONE:
            return frame
        levels = np.arange(256, dtype=np.float32)
        differs = np.log(np.maximum(self.undone(levels), 0.5) / np.maximum(levels, 0.5))
        rest = np.sign(differs) * np.maximum(np.abs(differs) - FREE, 0.0)
        if not rest.any():
            return frame
        tones = (levels * np.exp(rest)).round().clip(0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(frame, tones), np.uint8)


NONE = Exposure()


def exposure(levels: Grey, known: Grey, still: NDArray[np.bool_]) -> Exposure | None:
    """What the exposure does, by cells that show what is known of them.

    Args: levels, known: of cells, of equal shape. still: which of them show their edges.
    Returns: None: too few cells tell. `NONE`: it does nothing, or more than an exposure does.
    """
    telling = still & (known >= LEAST_LEVEL) & (levels >= 1.0)
    if telling.sum() < LEAST_CELLS:
        return None
    x, y = np.log(known[telling]), np.log(levels[telling])
    if (np.abs(y - x) <= FREE).mean() >= UNCHANGED:
        return NONE
    pivot = float(np.median(x))
    x -= pivot
    shift, slope = float(np.median(y - pivot - x)), 1.0
    for _ in range(ROUNDS):
        rest = y - pivot - shift - slope * x
        alike = np.abs(rest) <= max(ALIKE, 2.0 * float(np.median(np.abs(rest))))
        xs, ys = x[alike], (y - pivot - x)[alike]
        middle = float(xs.mean())
        tilt = float(((xs - middle) * (ys - ys.mean())).sum())
        slope = 1.0 + tilt / (float(((xs - middle) ** 2).sum()) + PRIOR)
        shift = float(np.median(ys - (slope - 1.0) * xs))
    if abs(shift) > math.log(MOST) or not SLOPES[0] <= slope <= SLOPES[1]:
        return NONE
    return Exposure(shift, slope, pivot)
