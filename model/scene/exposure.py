"""What a camera's exposure does to the whole picture, estimated from a frame and undone in it.

Cameras make up for a bright lorry, a cloud or dusk within seconds, in all of the picture at once.
A curve of two numbers describes the effect on the levels of what stands still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.frames import Frame

LEAST_USABLE_CELLS = 12
"""Cells of 64. Fewer say too little about the whole picture."""
LEAST_KNOWN_LEVEL = 8.0
"""In grey levels. Noise rules the logarithm of a darker one."""
LARGEST_GAIN = 2.5
"""A ratio of levels, up or down. A larger one is another light, which `Scene` measures."""
SLOPE_LIMITS = (0.5, 2.0)
"""Of the curve of logarithms. Outside of them it is another light, too."""
IGNORED_DIFFERENCE = 0.02
"""In logarithms of levels: about a share. A frame that differs less is left as it is."""
FITTING_DIFFERENCE = 0.06
"""In logarithms of levels. A cell that is farther from the curve shows something that moved."""
UNCHANGED_CELLS = 0.75
"""A share of the usable cells. If so many have their known level, the others show what moved."""
FIT_ROUNDS = 3
"""Rounds of fitting: each leaves out the cells that moved, by the curve of the one before."""
SLOPE_PRIOR = 0.2
"""In squared logarithms, as the sum that it is added to: it holds the slope at 1 where the cells'
levels are much alike and couldn't tell it."""

Grey = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Exposure:
    """A curve: log level = pivot + shift + slope (log known - pivot)."""

    shift: float = 0.0
    slope: float = 1.0
    pivot: float = 0.0

    def undo_levels(self, levels: Grey) -> Grey:
        """Return levels as they would be in the known light."""
        if self == NO_EXPOSURE:
            return levels
        logs = np.log(np.maximum(levels, 0.5)) - self.pivot - self.shift
        return np.exp(self.pivot + logs / self.slope).astype(np.float32)

    @property
    def tones(self) -> NDArray[np.uint8] | None:
        """The level that `undo` gives for each level, (256,); None: the same."""
        return None if self == NO_EXPOSURE else _make_tones(self)

    def undo(self, frame: Frame) -> Frame:
        """Return the frame in the known light; the same object where it is in it.

        `IGNORED_DIFFERENCE` is left of larger ones, too, so that there is no step where it ends.
        """
        tones = self.tones
        return frame if tones is None else np.asarray(cv2.LUT(frame, tones), np.uint8)


NO_EXPOSURE = Exposure()


@lru_cache(maxsize=256)
def _make_tones(exposure: Exposure) -> NDArray[np.uint8] | None:
    levels = np.arange(256, dtype=np.float32)
    differs = np.log(np.maximum(exposure.undo_levels(levels), 0.5) / np.maximum(levels, 0.5))
    rest = np.sign(differs) * np.maximum(np.abs(differs) - IGNORED_DIFFERENCE, 0.0)
    if not rest.any():
        return None
    tones = np.asarray((levels * np.exp(rest)).round().clip(0, 255), np.uint8)
    return None if np.array_equal(tones, levels) else tones


def _find_median(values: NDArray[np.floating[Any]]) -> float:
    """Do what `numpy.median` does, which takes five times as long for a few dozen values and
    releases the interpreter's lock."""
    ordered = sorted(values.tolist())
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return float(ordered[middle])
    return float(values.dtype.type((ordered[middle - 1] + ordered[middle]) / 2.0))


def estimate_exposure(levels: Grey, known: Grey, still: NDArray[np.bool_]) -> Exposure | None:
    """Estimate what the exposure does from the cells that stand still.

    Args:
        levels: of the cells now. known: in the known light; same shape.
        still: the cells that show their edges.
    Returns: None: too few cells are usable. `NO_EXPOSURE`: it does nothing, or more than an
        exposure can do.
    """
    usable = still & (known >= LEAST_KNOWN_LEVEL) & (levels >= 1.0)
    if usable.sum() < LEAST_USABLE_CELLS:
        return None
    x, y = np.log(known[usable]), np.log(levels[usable])
    if (np.abs(y - x) <= IGNORED_DIFFERENCE).mean() >= UNCHANGED_CELLS:
        return NO_EXPOSURE
    pivot = _find_median(x)
    x -= pivot
    shift, slope = _find_median(y - pivot - x), 1.0
    for _ in range(FIT_ROUNDS):
        rest = y - pivot - shift - slope * x
        alike = np.abs(rest) <= max(FITTING_DIFFERENCE, 2.0 * _find_median(np.abs(rest)))
        xs, ys = x[alike], (y - pivot - x)[alike]
        middle = float(xs.mean())
        tilt = float(((xs - middle) * (ys - ys.mean())).sum())
        slope = 1.0 + tilt / (float(((xs - middle) ** 2).sum()) + SLOPE_PRIOR)
        shift = _find_median(ys - (slope - 1.0) * xs)
    least_slope, largest_slope = SLOPE_LIMITS
    if abs(shift) > math.log(LARGEST_GAIN) or not least_slope <= slope <= largest_slope:
        return NO_EXPOSURE
    return Exposure(shift, slope, pivot)
