"""Features that a scene is recognised by: grey levels by cell, and edges without sign."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.scene.features import Thumb
from model.scene.relighting import Reduced

CELLS = 8
"""Cells along each side of the picture."""

Levels = NDArray[np.float32]
"""Mean grey level of each cell, (CELLS, CELLS)."""
Edges = NDArray[np.float32]
"""The gradient of each reduced pixel, (2, SIDE, SIDE). Its angle is doubled, so that a gradient and
its opposite are the same. Its length is 1 where the contrast is strong, 0 where there is none."""


@dataclass(frozen=True, slots=True)
class SceneFeatures:
    """What one picture shows of its scene."""

    grey: Reduced
    """(SIDE, SIDE)"""
    levels: Levels
    edges: Edges


def extract_scene_features(thumb: Thumb, contrast: float) -> SceneFeatures:
    """Extract the features of a reduced frame. Args: contrast: see `SceneRules.contrast`."""
    small = thumb.astype(np.float32)
    grey: Reduced = small if small.ndim == 2 else small.mean(axis=2, dtype=np.float32)
    levels = average_cells(grey)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    a2, d2 = across * across, down * down
    half = max(6.0, contrast * float(levels.mean())) ** 2
    edges = np.stack([a2 - d2, 2.0 * across * down]) / (a2 + d2 + np.float32(half))
    return SceneFeatures(grey, levels, edges.astype(np.float32))


def multiply_edges(one: Edges, other: Edges) -> NDArray[np.float32]:
    """Compute the dot product of the two vectors of each pixel, (SIDE, SIDE)."""
    return np.asarray(one[0] * other[0] + one[1] * other[1], np.float32)


def average_cells(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average a picture over cells: (SIDE, SIDE) to (CELLS, CELLS)."""
    return cv2.resize(picture, (CELLS, CELLS), interpolation=cv2.INTER_AREA).astype(np.float32)


def measure_share(mask: NDArray[np.bool_]) -> float:
    """Return the share of places that are set, of at least one place."""
    return np.count_nonzero(mask) / mask.size
