"""What a frame shows of its scene: grey levels by cells, edges without sign, and what `model.scene`
finds by them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import NONE, Exposure
from model.frames import Frame
from model.relighting import Reduced

SIDE = 64
"""The picture is reduced to so many pixels a side."""
CELLS = 8
"""And looked at in so many cells a side."""

Levels = NDArray[np.float32]
"""Mean grey level of each cell, (CELLS, CELLS)."""
Edges = NDArray[np.float32]
"""Of each reduced pixel the doubled angle of its gradient as a vector, (2, SIDE, SIDE): of length 1
where the contrast is strong, of 0 where there is none. A gradient and its opposite are the same."""


@dataclass(frozen=True, slots=True)
class SceneChange:
    """The light changed, or a new scene was taken for the camera's own."""

    reason: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a frame is to its scene; `Scene.take_in` makes it a part of the past."""

    grey: Reduced
    """(SIDE, SIDE)"""
    levels: Levels
    """As they would be without what the exposure does."""
    plain: Levels
    """As they are."""
    edges: Edges
    fits: NDArray[np.bool_]
    """Which cells show their lasting edges; (CELLS, CELLS)."""
    fitting: float | None
    """Share of the cells with lasting edges that show them; None: nobody can tell."""
    exposure: Exposure = NONE
    """What the camera's exposure does to the picture as a whole."""
    change: SceneChange | None = None
    steady: bool = True
    """The light isn't changing just now."""
    cut: bool = False
    """The frame can't be predicted from those before it."""
    unfit: bool = False
    """The picture isn't the scene's."""
    obscured: str = ""
    """Why not, once that has lasted; a sentence."""
    warming: bool = False
    """The light has changed, and what it does is being found."""
    relit: bool = False
    """With this frame it is."""
    settled: bool = False
    """This is the last frame without a score."""
    drifted: bool = False
    """The light changed slowly, and little."""
    restless: bool = False
    """The light has changed for so long that its changes say nothing any more."""
    adopted: bool = False
    """What is seen has been there for so long that it is the scene now."""

    @property
    def quiet(self) -> bool:
        """No score can be given."""
        return self.unfit or self.warming


def reduced(frame: Frame, contrast: float) -> tuple[Reduced, Levels, Edges]:
    """A frame's grey levels, those of its cells, its edges; see `SceneRules.contrast`."""
    small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    grey: Reduced = small if small.ndim == 2 else small.mean(axis=2, dtype=np.float32)
    levels = cells(grey)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    a2, d2 = across * across, down * down
    half = max(6.0, contrast * float(levels.mean())) ** 2
    edges = np.stack([a2 - d2, 2.0 * across * down]) / (a2 + d2 + np.float32(half))
    return grey, levels, edges.astype(np.float32)


def products(one: Edges, other: Edges) -> NDArray[np.float32]:
    """Of each pixel: (2, SIDE, SIDE) twice to (SIDE, SIDE)."""
    return np.asarray(one[0] * other[0] + one[1] * other[1], np.float32)


def cells(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over cells: (SIDE, SIDE) to (CELLS, CELLS)."""
    return cv2.resize(picture, (CELLS, CELLS), interpolation=cv2.INTER_AREA).astype(np.float32)
