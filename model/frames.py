"""Frames as the network takes them: pictures fitted once to its shape, uint8. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""uint8; (H, W) grey, or (H, W, 3) BGR as OpenCV decodes it."""

Frame = NDArray[np.uint8]
"""uint8; (height, width) grey or (height, width, 3) RGB, of a network's FrameShape."""


@dataclass(frozen=True, slots=True)
class FrameShape:
    """Shape of the frames that a network takes. `channels` is 1 (grey) or 3 (RGB)."""

    height: int
    width: int
    channels: int

    @property
    def array_shape(self) -> tuple[int, ...]:
        """The shape of a frame as a NumPy array."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, 3)


def fit(picture: Picture, shape: FrameShape) -> Frame:
    """Resize a decoded picture and convert its colours.

    Shrinking averages areas (no aliasing flicker between frames); enlarging interpolates.

    Raises: ValueError: not a uint8 picture, or an empty one.
    """
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.size == 0:
        raise ValueError(
            f"a picture is uint8 (H, W) or (H, W, 3), got {picture.dtype} {picture.shape}"
        )
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[:, :, 0]
    if picture.ndim == 3 and picture.shape[2] != 3:
        raise ValueError(f"a picture has 1 or 3 channels, got {picture.shape[2]}")
    if shape.channels == 1 and picture.ndim == 3:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    elif shape.channels == 3:
        code = cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB
        picture = np.asarray(cv2.cvtColor(picture, code), np.uint8)
    if picture.shape[:2] == (shape.height, shape.width):
        return np.ascontiguousarray(picture)
    shrinks = picture.shape[0] > shape.height and picture.shape[1] > shape.width
    resized = cv2.resize(
        picture,
        (shape.width, shape.height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    return np.ascontiguousarray(resized, dtype=np.uint8)


def is_grey(picture: Picture, tolerance: int = 6) -> bool:
    """Return whether a BGR picture has no colour: channels differ by at most `tolerance` levels."""
    if picture.ndim == 2:
        return True
    spread = picture.max(axis=2).astype(np.int16) - picture.min(axis=2)
    return bool(np.quantile(spread, 0.99) <= tolerance)
