"""Fast and slow anomalies, on drawn scenes whose speeds are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.evaluation.kinds import ClipKinds, Kind, kinds

SIZE = 128
LENGTH = 24
WALK_PX = 1.5
Clip = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def _scene(speed_px: float, *, since: int = 0) -> Clip:
    """Textured squares: three walk at about WALK_PX; the abnormal one below has its own speed."""
    random = np.random.default_rng(1)
    texture = _blurred(random.integers(0, 256, (22, 22), np.uint8), 1.5)
    frames = np.empty((LENGTH, SIZE, SIZE), np.uint8)
    frames[:] = _blurred(random.integers(80, 120, (SIZE, SIZE), np.uint8), 2.0)
    masks = np.zeros((LENGTH, SIZE, SIZE), np.bool_)
    for t in range(LENGTH):
        for row in range(3):
            _draw(frames[t], texture, 10.0 + (WALK_PX + 0.1 * row) * t, 2 + 28 * row)
        if t >= since:
            left = 8.0 + speed_px * t
            _draw(frames[t], 255 - texture, left, 98)
            masks[t, 98:120, round(left) : round(left) + 22] = True
    return frames, masks


def _blurred(noise: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma), np.uint8)


def _draw(frame: NDArray[np.uint8], texture: NDArray[np.uint8], left: float, top: int) -> None:
    # Moved by parts of a pixel, as real things are.
    shift = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    shape = (SIZE, SIZE)
    drawn = cv2.warpAffine(texture, shift, shape)
    inside = cv2.warpAffine(np.full(texture.shape, 255, np.uint8), shift, shape) > 127
    frame[inside] = drawn[inside]


def test_what_overtakes_the_walkers_is_fast_and_what_does_not_is_slow() -> None:
    scenes = [_scene(3.0), _scene(WALK_PX), _scene(0.0), _scene(3.0, since=12)]
    split = kinds([frames for frames, _ in scenes], [masks for _, masks in scenes])
    assert WALK_PX < split.limit_px < 2.5
    fast = [clip.fast.sum() for clip in split.clips]
    slow = [clip.slow.sum() for clip in split.clips]
    assert fast == [LENGTH, 0, 0, LENGTH - 12]
    assert slow == [0, LENGTH, LENGTH, 0]
    assert [clip.of_span(0, LENGTH) for clip in split.clips] == [
        Kind.FAST, Kind.SLOW, Kind.SLOW, Kind.FAST,
    ]  # fmt: skip
    assert split.clips[3].of_span(0, 12) is None


def test_a_span_is_of_the_kind_that_most_of_it_is() -> None:
    flags = np.array([True, True, False, False, False])
    clip = ClipKinds(fast=flags, slow=~flags)
    assert (clip.of_span(0, 5), clip.of_span(0, 3)) == (Kind.SLOW, Kind.FAST)


def test_colour_frames_and_masks_of_another_size_are_taken() -> None:
    frames, masks = _scene(3.0)
    coloured = np.repeat(frames[..., None], 3, axis=3)
    large = np.stack([cv2.resize(m.astype(np.uint8), (256, 192)) > 0 for m in masks])
    (clip,) = kinds([coloured], [large]).clips
    assert clip.fast.all()


def test_what_cannot_be_split_is_named() -> None:
    frames, masks = _scene(3.0)
    with pytest.raises(ValueError, match="24 frames but 23 masks"):
        kinds([frames], [masks[:23]])
    still = np.repeat(frames[:1], LENGTH, axis=0)
    with pytest.raises(ValueError, match="nothing moves"):
        kinds([still], [masks])
