"""Disturbs a camera's pictures: infrared, changes of light, noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.frames import Frame

Transform = Callable[[Frame, np.random.Generator], Frame]
"""Takes a frame, uint8, and returns it disturbed."""
Course = Callable[[float], Transform]
"""Takes a second of the stream, and returns the transform of its frames."""


def apply_infrared(frame: Frame, random: np.random.Generator) -> Frame:
    """Make leaves and clothes bright, the ground dark, with noise: as different as real IR."""
    level = 0.2 + 0.7 * (1.0 - frame.astype(np.float32) / 255.0) ** 0.7
    return (255.0 * level + random.normal(0.0, 3.0, frame.shape)).clip(0, 255).astype(np.uint8)


def dim(gain: float) -> Transform:
    """Make a transform that reduces the light."""

    def apply(frame: Frame, _: np.random.Generator) -> Frame:
        return np.asarray(gain * frame).astype(np.uint8)

    return apply


def add_noise(sigma: float) -> Transform:
    """Make a transform that adds the noise of a camera whose gain compensates missing light."""

    def apply(frame: Frame, random: np.random.Generator) -> Frame:
        noise = random.normal(0.0, sigma, frame.shape)
        return (frame + noise).round().clip(0, 255).astype(np.uint8)

    return apply


def keep(frame: Frame, _: np.random.Generator) -> Frame:
    """Return the frame as it is."""
    return frame


def change_gamma(exponent: float) -> Transform:
    """Make a transform to another gamma: middle tones become darker above 1."""
    table = (255.0 * (np.arange(256) / 255.0) ** exponent).round().astype(np.uint8)

    def apply(frame: Frame, _: np.random.Generator) -> Frame:
        return np.asarray(table[frame], np.uint8)

    return apply


def light_by_a_lamp(frame: Frame, _: np.random.Generator) -> Frame:
    """Light the upper left by a lamp: half as bright again there, unchanged at the far corner."""
    rows, columns = (np.linspace(0.0, 1.0, size) for size in frame.shape[:2])
    away = (rows[:, None] - 0.2) ** 2 + (columns[None, :] - 0.3) ** 2
    gain = 1.0 + 0.5 * np.exp(-away / 0.4)
    gain = gain if frame.ndim == 2 else gain[..., None]
    return (gain * frame).clip(0, 255).astype(np.uint8)


def chain(first: Transform, second: Transform) -> Transform:
    """Apply the second transform to the result of the first."""

    def apply(frame: Frame, random: np.random.Generator) -> Frame:
        return second(first(frame, random), random)

    return apply


def apply_between(start_s: float, stop_s: float, transform: Transform) -> Course:
    """Apply the transform between two times; it comes and goes at once."""
    return lambda second: transform if start_s <= second < stop_s else keep


def toggle(period_s: float, transform: Transform) -> Course:
    """Apply the transform in the second half of each period."""
    return lambda second: transform if second % period_s >= period_s / 2.0 else keep


def pass_clouds(period_s: float, fade_s: float, gain: float) -> Course:
    """Pass a cloud in each period: the light fades, stays low as long, and comes back."""

    def course(second: float) -> Transform:
        into = second % period_s - period_s / 2.0
        share = min(into, 3.0 * fade_s - into) / fade_s
        return dim(1.0 - (1.0 - gain) * float(np.clip(share, 0.0, 1.0)))

    return course


def combine(first: Course, second: Course) -> Course:
    """Apply the second course to the result of the first."""
    return lambda at: chain(first(at), second(at))


def drift_gamma(start_s: float, over_s: float, exponent: float, back_s: float) -> Course:
    """Move gamma to the exponent from `start_s`, and back from `back_s`, in `over_s` each."""

    def course(second: float) -> Transform:
        share = min(second - start_s, back_s + over_s - second) / over_s
        return change_gamma(exponent ** float(np.clip(share, 0.0, 1.0)))

    return course
