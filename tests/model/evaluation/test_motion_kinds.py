"""Fast and slow anomalies, on drawn scenes whose speeds are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.evaluation.motion_kinds import FLOW_SIZE, ClipMotion, MotionKind, split_by_motion
from model.evaluation.truth import make_truth
from model.footage.clips import Clip
from model.frames import FrameShape, fit

SIZE = 128
LENGTH = 24
WALK_PX = 1.5
SCALE = FLOW_SIZE / SIZE
Scene = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def _draw_scene(speed_px: float, *, since: int = 0, walk_px: float = WALK_PX) -> Scene:
    """Textured squares: three walk at about that speed; the abnormal one below at its own."""
    random = np.random.default_rng(1)
    texture = _blur(random.integers(0, 256, (22, 22), np.uint8), 1.5)
    frames = np.empty((LENGTH, SIZE, SIZE), np.uint8)
    frames[:] = _blur(random.integers(80, 120, (SIZE, SIZE), np.uint8), 2.0)
    masks = np.zeros((LENGTH, SIZE, SIZE), np.bool_)
    for t in range(LENGTH):
        for row in range(3):
            _draw_square(frames[t], texture, 10.0 + walk_px * (1.0 + row / 15) * t, 2 + 28 * row)
        if t >= since:
            left = 8.0 + speed_px * t
            _draw_square(frames[t], 255 - texture, left, 98)
            masks[t, 98:120, round(left) : round(left) + 22] = True
    return frames, masks


def _blur(noise: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma), np.uint8)


def _draw_square(
    frame: NDArray[np.uint8], texture: NDArray[np.uint8], left: float, top: int
) -> None:
    # Moved by parts of a pixel, as real things are.
    shift = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    shape = (SIZE, SIZE)
    drawn = cv2.warpAffine(texture, shift, shape)
    inside = cv2.warpAffine(np.full(texture.shape, 255, np.uint8), shift, shape) > 127
    frame[inside] = drawn[inside]


def test_what_overtakes_the_walkers_is_fast_and_what_does_not_is_slow() -> None:
    scenes = [_draw_scene(3.0), _draw_scene(WALK_PX), _draw_scene(0.0), _draw_scene(3.0, since=12)]
    split = split_by_motion([frames for frames, _ in scenes], [masks for _, masks in scenes])
    assert split is not None
    assert WALK_PX * SCALE < split.limit_px < 2.5 * SCALE
    fast = [clip.fast.sum() for clip in split.clips]
    slow = [clip.slow.sum() for clip in split.clips]
    assert fast == [LENGTH, 0, 0, LENGTH - 12]
    assert slow == [0, LENGTH, LENGTH, 0]
    assert [clip.of_span(0, LENGTH) for clip in split.clips] == [
        MotionKind.FAST, MotionKind.SLOW, MotionKind.SLOW, MotionKind.FAST,
    ]  # fmt: skip
    assert split.clips[3].of_span(0, 12) is None


def test_a_span_is_of_the_kind_that_most_of_it_is() -> None:
    flags = np.array([True, True, False, False, False])
    clip = ClipMotion(fast=flags, slow=~flags)
    assert (clip.of_span(0, 5), clip.of_span(0, 3)) == (MotionKind.SLOW, MotionKind.FAST)


def test_colour_frames_and_masks_of_another_size_are_taken() -> None:
    frames, masks = _draw_scene(3.0)
    coloured = np.repeat(frames[..., None], 3, axis=3)
    large = np.stack([cv2.resize(m.astype(np.uint8), (256, 192)) > 0 for m in masks])
    split = split_by_motion([coloured], [large])
    assert split is not None and split.clips[0].fast.all()


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_the_split_does_not_depend_on_the_size_of_the_frames(size: int) -> None:
    scenes = [_draw_scene(2.4), _draw_scene(0.25)]
    frames = [np.stack([_fit(f, size) for f in clip]) for clip, _ in scenes]
    split = split_by_motion(frames, [masks for _, masks in scenes])
    assert split is not None
    assert [(bool(c.fast.all()), bool(c.slow.all())) for c in split.clips] == [
        (True, False),
        (False, True),
    ]
    assert WALK_PX * SCALE < split.limit_px < 2.4 * SCALE


def _fit(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return fit(frame, FrameShape(size, size, 1))


def test_walkers_slower_than_the_least_flow_of_small_frames_are_a_normal_speed() -> None:
    """0.4 pixels at 128 are 0.8 at FLOW_SIZE: they move."""
    frames, masks = _draw_scene(1.6, walk_px=0.4)
    split = split_by_motion([frames], [masks])
    assert split is not None and split.clips[0].fast.all()


def test_without_normal_motion_there_is_no_split() -> None:
    frames, masks = _draw_scene(3.0)
    still = np.repeat(frames[:1], LENGTH, axis=0)
    assert split_by_motion([still], [masks]) is None
    labels = np.ones(LENGTH, np.bool_)
    known = make_truth([Clip("still", still)], [labels], [lambda: masks])
    assert known.masks is not None and known.kinds is None
    assert known.known_kinds == ()


def test_what_cannot_be_split_is_named() -> None:
    frames, masks = _draw_scene(3.0)
    with pytest.raises(ValueError, match="24 frames but 23 masks"):
        split_by_motion([frames], [masks[:23]])
