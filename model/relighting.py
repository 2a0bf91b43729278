"""Showing a picture in the light that its network knows: by a tone curve and a field of gains.

A network that was taught in one light can't predict in another. What the light did is estimated
from the scene as it was and as it is, both much reduced, and undone in each frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.frames import Frame

KNOTS = 17
"""Of the tone curve, at quantiles of the picture's levels."""
FIELD = 16
"""The gains are known at so many places a side."""
MOST_GAIN = 2.0
"""A place is made brighter or darker so many times, beyond what the tone curve does."""
ALIKE = 0.3
"""Where the picture differs by more than this share after the tone curve, something else is there:
it says nothing of the light."""

Reduced = NDArray[np.float32]
"""Grey levels, square, of one scene in one light."""


@dataclass(frozen=True, slots=True)
class Relighting:
    """What is done to each frame."""

    tones: NDArray[np.uint8]
    """(256,)"""
    gains: NDArray[np.float32]
    """(FIELD, FIELD)"""

    def __call__(self, frame: Frame) -> Frame:
        """The frame in the other light; a new one."""
        toned = cv2.LUT(frame, self.tones)
        height, width = frame.shape[:2]
        field = cv2.resize(self.gains, (width, height), interpolation=cv2.INTER_LINEAR)
        if frame.ndim == 3:
            field = cv2.merge([field] * 3)
        return np.asarray(cv2.multiply(toned, field, dtype=cv2.CV_8U), np.uint8)


def relighting(now: Reduced, known: Reduced) -> Relighting:
    """What makes a scene look as it was known.

    Args:
        now: means over some frames. known: the same of the light that is wanted, of equal shape.
    """
    curve = _tone_curve(now, known)
    toned = np.interp(now, np.arange(256), curve).astype(np.float32)
    tones = curve.round().clip(0, 255).astype(np.uint8)
    return Relighting(tones, _gains(toned, known))


def _tone_curve(now: Reduced, known: Reduced) -> NDArray[np.float64]:
    """Monotone, rising or falling: medians of the known levels by the levels there are now."""
    order = np.argsort(now, axis=None, kind="stable")
    parts = [part for part in np.array_split(order, KNOTS) if len(part)]
    at = np.array([np.median(now.flat[part]) for part in parts])
    to = np.array([np.median(known.flat[part]) for part in parts])
    rising = float(np.sum((at - at.mean()) * (to - to.mean()))) >= 0.0
    to = np.maximum.accumulate(to) if rising else np.minimum.accumulate(to)
    at, kept = np.unique(at, return_index=True)
    to = to[kept]
    slope = (to[-1] - to[0]) / max(at[-1] - at[0], 1.0)
    levels = np.arange(256)
    curve = np.interp(levels, at, to)
    # Few reduced pixels are as dark or as bright as single ones: go on at the mean slope.
    curve += slope * (np.minimum(levels - at[0], 0.0) + np.maximum(levels - at[-1], 0.0))
    return np.asarray(curve.clip(0.0, 255.0))


def _gains(toned: Reduced, known: Reduced) -> NDArray[np.float32]:
    """What is left, by place."""
    alike = (np.abs(toned - known) <= ALIKE * np.maximum(known, 8.0)).astype(np.float32)
    sigma = known.shape[0] / 10.0
    wanted, there, weight = (
        cv2.GaussianBlur(picture * alike, (0, 0), sigma) for picture in (known, toned, alike * 8.0)
    )
    gains = (wanted + weight) / (there + weight + 1e-3)
    gains = cv2.resize(gains, (FIELD, FIELD), interpolation=cv2.INTER_AREA)
    return np.asarray(gains.clip(1.0 / MOST_GAIN, MOST_GAIN), np.float32)
