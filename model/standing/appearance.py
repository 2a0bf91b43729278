"""Describes how each place of a picture looks so that a change of the light changes it little.

No torch here.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model.scene.features import Thumb

CELLS = 32
"""Cells along each side of the picture: of 8×8 pixels where the network takes 256×256."""
FEATURES = 3
DARK = 8.0
"""Grey levels that are added before levels are compared as ratios: noise in the dark counts
little."""
CONTRAST = 0.8
"""A gradient as strong as this share of the picture's mean level gives an edge of length 1/2."""
LEVEL_UNIT, EDGE_UNIT = 0.25, 1.0
"""A change of the level by this much (of its logarithm), or of the edge by this much, is one unit:
something else is there."""

Appearance = NDArray[np.float32]
"""(FEATURES, CELLS, CELLS), in units: the logarithm of the level relative to the picture's median,
and the mean edge by its doubled angle, so that a gradient and its opposite are the same."""

_TO_GREY = np.full((1, 3), 1.0 / 3.0, np.float32)


def describe_cells(thumb: Thumb) -> Appearance:
    """Describe the cells of a picture that was reduced to 64×64, grey or RGB."""
    small = thumb.astype(np.float32)
    grey = small if small.ndim == 2 else cv2.transform(small, _TO_GREY)
    logs = np.log(grey + np.float32(DARK))
    levels = logs - np.median(logs)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    a2, d2 = across * across, down * down
    faint = np.float32(max(6.0, CONTRAST * float(grey.mean())) ** 2)
    edges = np.stack([a2 - d2, 2.0 * across * down]) / (EDGE_UNIT * (a2 + d2 + faint))
    maps = (levels / LEVEL_UNIT, *edges)
    reduced = [cv2.resize(each, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for each in maps]
    return np.stack(reduced).astype(np.float32)


def measure_difference(one: Appearance, other: Appearance) -> NDArray[np.float32]:
    """Measure how much each cell differs, in units: (..., FEATURES, CELLS, CELLS) without the
    axis of features."""
    return np.asarray(np.sqrt(np.square(one - other).sum(axis=-3)), np.float32)
