"""What happens to a camera's picture, and when: a decoder's glitches, infrared, light, noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.footage import Clip
from model.frames import Frame

Transform = Callable[[Frame, np.random.Generator], Frame]
"""A frame, uint8, and what it looks like then."""
Course = Callable[[float], Transform]
"""What happens to the frame of a second of the stream."""


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


def same(frame: Frame, _: np.random.Generator) -> Frame:
    """As it is."""
    return frame


def toned(exponent: float) -> Transform:
    """Another gamma: darker middle tones above 1."""
    table = (255.0 * (np.arange(256) / 255.0) ** exponent).round().astype(np.uint8)

    def apply(frame: Frame, _: np.random.Generator) -> Frame:
        return np.asarray(table[frame], np.uint8)

    return apply


def lit_by_a_lamp(frame: Frame, _: np.random.Generator) -> Frame:
    """A lamp at the upper left: half as bright again there, nothing at the far corner."""
    rows, columns = (np.linspace(0.0, 1.0, size) for size in frame.shape[:2])
    away = (rows[:, None] - 0.2) ** 2 + (columns[None, :] - 0.3) ** 2
    gain = 1.0 + 0.5 * np.exp(-away / 0.4)
    gain = gain if frame.ndim == 2 else gain[..., None]
    return (gain * frame).clip(0, 255).astype(np.uint8)


def after(first: Transform, second: Transform) -> Transform:
    """The second on what the first has made."""

    def apply(frame: Frame, random: np.random.Generator) -> Frame:
        return second(first(frame, random), random)

    return apply


def between(start_s: float, stop_s: float, transform: Transform) -> Course:
    """It comes at once and goes at once."""
    return lambda second: transform if start_s <= second < stop_s else same


def toggled(period_s: float, transform: Transform) -> Course:
    """On for half of each period, at its end."""
    return lambda second: transform if second % period_s >= period_s / 2.0 else same


def clouds(period_s: float, fade_s: float, gain: float) -> Course:
    """Each period a cloud: the light fades, stays so for as long, and comes back."""

    def course(second: float) -> Transform:
        into = second % period_s - period_s / 2.0
        share = min(into, 3.0 * fade_s - into) / fade_s
        return dimmed(1.0 - (1.0 - gain) * float(np.clip(share, 0.0, 1.0)))

    return course


def both(first: Course, second: Course) -> Course:
    """The second on what the first has made."""
    return lambda at: after(first(at), second(at))


def drifting(start_s: float, over_s: float, exponent: float, back_s: float) -> Course:
    """Gamma goes to the exponent from `start_s`, and back from `back_s`, in `over_s` each."""

    def course(second: float) -> Transform:
        share = min(second - start_s, back_s + over_s - second) / over_s
        return toned(exponent ** float(np.clip(share, 0.0, 1.0)))

    return course


def disturbed(clip: Clip, transform: Transform, start: int = 0, stop: int | None = None) -> Clip:
    """The clip with the transform on the frames from `start` up to `stop`."""
    random = np.random.default_rng(0)
    frames = np.array(clip.frames)
    for index in range(start, len(frames) if stop is None else stop):
        frames[index] = transform(frames[index], random)
    return Clip(clip.name, frames)
