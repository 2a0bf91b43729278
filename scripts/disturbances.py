"""What happens to a camera's picture: a decoder's glitches, infrared, less light, noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.footage import Clip
from model.frames import Frame

Transform = Callable[[Frame, np.random.Generator], Frame]
"""A frame, uint8, and what it looks like then."""


def grey_smear(frame: Frame, _: np.random.Generator) -> Frame:
    """What a decoder shows that lost a key frame: flat grey, the moving parts faintly on it."""
    faint = 128.0 + 0.15 * (frame.astype(np.float32) - float(frame.mean()))
    return faint.clip(0, 255).astype(np.uint8)


def black(frame: Frame, _: np.random.Generator) -> Frame:
    """No picture."""
    return np.zeros_like(frame)


def half_decoded(frame: Frame, _: np.random.Generator) -> Frame:
    """The upper half, its last row smeared down over the rest."""
    half = frame.copy()
    half[len(frame) // 2 :] = frame[len(frame) // 2 - 1]
    return half


def infrared(frame: Frame, random: np.random.Generator) -> Frame:
    """Leaves and clothes bright, the ground dark, less contrast, noise: no real IR, but as far."""
    level = 0.2 + 0.7 * (1.0 - frame.astype(np.float32) / 255.0) ** 0.7
    return (255.0 * level + random.normal(0.0, 3.0, frame.shape)).clip(0, 255).astype(np.uint8)


def dimmed(gain: float) -> Transform:
    """Less light."""

    def apply(frame: Frame, _: np.random.Generator) -> Frame:
        return np.asarray(gain * frame).astype(np.uint8)

    return apply


def noisy(sigma: float) -> Transform:
    """The camera's own gain has made up for the light that is missing: noise is left."""

    def apply(frame: Frame, random: np.random.Generator) -> Frame:
        noise = random.normal(0.0, sigma, frame.shape)
        return (frame + noise).round().clip(0, 255).astype(np.uint8)

    return apply


def disturbed(clip: Clip, transform: Transform, start: int = 0, stop: int | None = None) -> Clip:
    """The clip with the transform on the frames from `start` up to `stop`."""
    random = np.random.default_rng(0)
    frames = np.array(clip.frames)
    for index in range(start, len(frames) if stop is None else stop):
        frames[index] = transform(frames[index], random)
    return Clip(clip.name, frames)
