"""What a camera may set apart from its bundle, and what the detector says of a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.looks import SceneChange
from model.rules import PAPER_UPDATE, UpdateRule
from model.score import Measures
from model.zones import Box, WatchedPart


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """What one camera sets apart from the bundle; None takes the bundle's."""

    gamma: float | None = None
    appearance_weight: float | None = None
    """λ."""
    threshold: float | None = None
    watch_scene: bool = True
    """Whether changes of the light and a covered or turned camera are looked for."""
    update: UpdateRule = PAPER_UPDATE
    """How frames below γ update the memory."""
    watched: WatchedPart | None = None
    """What counts of the picture; None is all of it."""

    def __post_init__(self) -> None:
        if self.gamma is not None and not (math.isfinite(self.gamma) and self.gamma >= 0.0):
            raise ValueError(f"gamma must be a number, 0 or more, got {self.gamma!r}")
        weight = self.appearance_weight
        if weight is not None and not 0.0 <= weight <= 1.0:
            raise ValueError(f"appearance_weight must be from 0 to 1, got {weight!r}")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, got {self.threshold!r}")


@dataclass(frozen=True, slots=True)
class Observation:
    """One frame's result."""

    warming: bool
    """There is no score: too few frames since the start, a cut or a change of the light, no normal
    range, or a picture that isn't the scene's."""
    psnr: float | None = None
    distance: float | None = None
    gate_error: float | None = None
    score: float | None = None
    """In [0, 1]."""
    threshold: float | None = None
    memory_updated: bool = False
    memory_drift_deg: float = 0.0
    """Angle between an item and the trained one that it was, in degrees, of the item that has moved
    the farthest; after this frame's update."""
    heat: NDArray[np.float32] | None = None
    """(rows, columns), >= 0: error, or what is judged abnormal, by place; 1 is where the pooled
    value of the most abnormal normal frame lay. 0 where the camera isn't watched."""
    region: Box | None = None
    """Of where the heat is largest."""
    measures: Measures | None = None
    scene: SceneChange | None = None
    """Not None on the frame at which a change of the light as a whole was found, or another scene
    was taken for the camera's own."""
    obscured: str = ""
    """Why the picture doesn't fit the scene any more; "" where it does."""
