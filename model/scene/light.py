"""The light of a frame, and how the frame is turned into the light that the network knows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from model.frames import Frame
from model.scene.exposure import NO_EXPOSURE, Exposure
from model.scene.relighting import Relighting

SAME_LEVELS = 1
"""In grey levels, far less than `Stillness` takes for noise. An exposure is estimated for each
frame, and hardly ever twice the same."""
SAME_TONES = np.arange(256, dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """The light of one frame: the exposure to undo, and how the frame is relit."""

    exposure: Exposure = NO_EXPOSURE
    relighting: Relighting | None = None
    """None: it is in the light that the network knows."""

    def undo(self, frame: Frame) -> Frame:
        """Turn a frame into the light that the network knows; a frame in it is returned as is."""
        frame = self.exposure.undo(frame)
        return frame if self.relighting is None else self.relighting.apply(frame)

    def is_near(self, other: Light) -> bool:
        """Return whether `undo` gives each pixel the same level with both, up to `SAME_LEVELS`."""
        if self.relighting is not other.relighting:
            return False
        one, two = self.exposure.tones, other.exposure.tones
        if one is two:  # both None, most often
            return True
        one, two = (SAME_TONES if tones is None else tones for tones in (one, two))
        return int(cv2.absdiff(one, two).max()) <= SAME_LEVELS
