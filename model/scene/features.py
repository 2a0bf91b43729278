"""Features of a frame that are extracted once, in the capture process, and travel with it.

No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.frames import Frame

SIDE = 64
"""The small copy of a frame has so many pixels along each side."""

Thumb = NDArray[np.uint8]
"""A frame reduced by averaging areas: (SIDE, SIDE) grey, or (SIDE, SIDE, 3) RGB."""


@dataclass(frozen=True, slots=True)
class Features:
    """What is known about a frame besides its pixels."""

    thumb: Thumb
    time_s: float | None = None
    """When the frame was captured, in seconds on a clock that runs from one cut to the next; None:
    unknown."""


def extract(frame: Frame, time_s: float | None = None) -> Features:
    """Extract the features of one frame."""
    thumb = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return Features(np.asarray(thumb, np.uint8), time_s)
