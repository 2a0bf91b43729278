"""Turns pictures into the light that their network knows, by a tone curve and a field of gains.

A network that was trained in one light can't predict in another. The effect of the light is
estimated from the scene before and after, both much reduced, and undone in each frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.frames import Frame

CURVE_KNOTS = 17
"""Knots of the tone curve, at quantiles of the picture's levels."""
GAINS_SIDE = 16
"""Places along each side of the picture that have a gain."""
LARGEST_GAIN = 2.0
"""A ratio of levels, up or down: one odd place must not be made white or black."""
FITTING_SHARE = 0.3
"""A share of the level. A place that differs more after the tone curve shows something else, which
says nothing about the light."""

Reduced = NDArray[np.float32]
"""Grey levels, square, of one scene in one light."""


@dataclass(frozen=True, slots=True)
class Relighting:
    """Turns frames of one light into another."""

    tones: NDArray[np.uint8]
    """(256,)"""
    gains: NDArray[np.float32]
    """(GAINS_SIDE, GAINS_SIDE)"""

    def apply(self, frame: Frame) -> Frame:
        """Return a new frame, in the other light."""
        toned = cv2.LUT(frame, self.tones)
        height, width = frame.shape[:2]
        field = cv2.resize(self.gains, (width, height), interpolation=cv2.INTER_LINEAR)
        if frame.ndim == 3:
            field = cv2.merge([field] * 3)
        return np.asarray(cv2.multiply(toned, field, dtype=cv2.CV_8U), np.uint8)


def estimate_relighting(now: Reduced, known: Reduced) -> Relighting:
    """Estimate what turns a scene's pictures into the known light.

    Args:
        now: mean over some frames. known: the same in the known light; same shape.
    """
    curve = _fit_tone_curve(now, known)
    toned = np.interp(now, np.arange(256), curve).astype(np.float32)
    tones = curve.round().clip(0, 255).astype(np.uint8)
    return Relighting(tones, _fit_gains(toned, known))


def _fit_tone_curve(now: Reduced, known: Reduced) -> NDArray[np.float64]:
    """Fit a monotone curve, rising or falling, from the levels now to the known ones, (256,)."""
    order = np.argsort(now, axis=None, kind="stable")
    parts = [part for part in np.array_split(order, CURVE_KNOTS) if len(part)]
    at = np.array([np.median(now.flat[part]) for part in parts])
    to = np.array([np.median(known.flat[part]) for part in parts])
    rising = float(np.sum((at - at.mean()) * (to - to.mean()))) >= 0.0
    to = np.maximum.accumulate(to) if rising else np.minimum.accumulate(to)
    at, kept = np.unique(at, return_index=True)
    to = to[kept]
    slope = (to[-1] - to[0]) / max(at[-1] - at[0], 1.0)
    levels = np.arange(256)
    curve = np.interp(levels, at, to)
    # Reduced pixels are hardly ever as dark or bright as single ones: go on at the mean slope.
    curve += slope * (np.minimum(levels - at[0], 0.0) + np.maximum(levels - at[-1], 0.0))
    return np.asarray(curve.clip(0.0, 255.0))


def _fit_gains(toned: Reduced, known: Reduced) -> NDArray[np.float32]:
    """Fit what the tone curve leaves, by place, (GAINS_SIDE, GAINS_SIDE)."""
    alike = (np.abs(toned - known) <= FITTING_SHARE * np.maximum(known, 8.0)).astype(np.float32)
    sigma = known.shape[0] / 10.0
    goal, present, weight = (
        cv2.GaussianBlur(picture * alike, (0, 0), sigma) for picture in (known, toned, alike * 8.0)
    )
    gains = (goal + weight) / (present + weight + 1e-3)
    gains = cv2.resize(gains, (GAINS_SIDE, GAINS_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(gains.clip(1.0 / LARGEST_GAIN, LARGEST_GAIN), np.float32)
