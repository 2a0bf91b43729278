"""A camera's own settings for the detector, and the detector's result for one frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from model.network.update_rules import PAPER_UPDATE, UpdateRule
from model.scene.scene_phases import SceneChange
from model.scoring.cause import Cause
from model.scoring.measures import Measures
from model.scoring.zones import Box, ZoneMask
from model.standing.watch import StandingWatch


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """One camera's own settings; None takes the bundle's."""

    gamma: float | None = None
    appearance_weight: float | None = None
    """λ."""
    threshold: float | None = None
    watch_scene: bool = True
    """Detects changes of the light, and a covered or turned camera."""
    update: UpdateRule = PAPER_UPDATE
    """The rule by which frames below γ update the memory."""
    watched: ZoneMask | None = None
    """The part of the picture that counts; None is all of it."""
    skip_still: bool | None = None
    """True: a frame that is the same as the last result's takes over its measures, and otherwise
    the network runs only for the part of the picture that differs."""
    standing: StandingWatch | None = None
    """What is reported of what stands still; None: nothing, and no time is spent on it."""

    def __post_init__(self) -> None:
        if self.gamma is not None and not (math.isfinite(self.gamma) and self.gamma >= 0.0):
            raise ValueError(f"gamma must be a number, 0 or more, got {self.gamma!r}")
        weight = self.appearance_weight
        if weight is not None and not 0.0 <= weight <= 1.0:
            raise ValueError(f"appearance_weight must be from 0 to 1, got {weight!r}")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, got {self.threshold!r}")


class Withheld(Enum):
    """The reason why a frame has no score; the first that applies."""

    NO_RANGE = "no_range"
    """The bundle has no normal range, so that no frame of it ever has a score."""
    UNFIT = "unfit"
    """The picture isn't the scene's."""
    CHANGED = "changed"
    """The light or the scene changed as a whole, and what the change does is being found."""
    FEW_FRAMES = "few_frames"
    """Too few frames since the start, or since a cut."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One frame's result."""

    withheld: Withheld | None
    """The reason why there is no score; None: there is one."""
    psnr: float | None = None
    distance: float | None = None
    gate_error: float | None = None
    score: float | None = None
    """A number in [0, 1]."""
    threshold: float | None = None
    standing: float | None = None
    """Standing score: how much of the dwell time something new has stood still, 0 to 1; None: it
    isn't watched for, or there is no score."""
    cause: Cause = Cause.MOTION
    """The part of the score that was the highest."""
    memory_updated: bool = False
    memory_drift_deg: float = 0.0
    """Angle in degrees between an item and the trained one that it was, for the item that has moved
    the farthest, after this frame's update."""
    heat: NDArray[np.float32] | None = None
    """(rows, columns), >= 0: error, or what is judged abnormal, by place; 1 is where the pooled
    value of the most abnormal normal frame lay. 0 where the camera isn't watched."""
    region: Box | None = None
    """The box around the largest heat."""
    measures: Measures | None = None
    scene: SceneChange | None = None
    """Set on the frame at which a change of the light was found, or another scene became the
    camera's own."""
    obscured: str = ""
    """The reason why the picture doesn't fit the scene any more; "" where it does."""
    still: bool = False
    """True: the picture is that of the last computed frame, within the camera's noise. The measures
    are that frame's, and the memory stayed as it was."""
    computed: float = 0.0
    """Share of the picture that the network ran for: 1 is all of it, 0 none. The measures are of
    the whole picture; where it wasn't computed, kept outputs stand in."""

    @property
    def warming(self) -> bool:
        """True where there is no score; `withheld` has the reason."""
        return self.withheld is not None
