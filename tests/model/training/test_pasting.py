"""A pasted thing is where it should be, and nothing else changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from model.training.pasting import Thing, paste

HEIGHT, WIDTH, FRAMES = 48, 64, 4


def _make_thing(**changes: object) -> Thing:
    """A soft blob of 16 x 20 pixels, brighter to the right."""
    y, x = np.mgrid[0:16, 0:20].astype(np.float32)
    alpha = np.zeros((16, 20), np.float32)
    alpha[4:12, 4:16] = 1.0
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 1.0), np.float32)
    pictures = [np.stack([6.0 * x + frame, 4.0 * y, 100.0 + x], axis=2) for frame in range(FRAMES)]
    return Thing(pictures, [alpha] * FRAMES, (0.0, 0.0), 20.0, **changes)


def _paste_whole(
    pictures: list[np.ndarray], thing: Thing, centre: tuple[float, float]
) -> list[np.ndarray]:
    """The same by warping whole pictures; returns what covers each frame."""
    cos, sin = np.cos(thing.turn), np.sin(thing.turn)
    linear = np.array([[cos, -sin], [sin, cos]]) * np.array(thing.scale)
    middle = linear @ np.array([9.5, 7.5])
    covers = []
    for index in range(FRAMES):
        back = FRAMES - 1 - index
        place = np.array(centre) - back * np.array(thing.shift) - middle
        matrix = np.column_stack([linear, place])
        size = (WIDTH, HEIGHT)
        moved = cv2.warpAffine(thing.pictures[index], matrix, size, borderMode=cv2.BORDER_REPLICATE)
        cover = cv2.warpAffine(thing.alphas[index], matrix, size)[..., None]
        pictures[index] = (1 - cover) * pictures[index] + cover * np.clip(
            moved * thing.gain, 0, 255
        )
        covers.append(cover[..., 0])
    return covers


@pytest.mark.parametrize("centre", [(30.0, 20.0), (2.3, 46.9), (63.0, -3.0), (-40.0, 20.0)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shift": (3.7, -1.2), "gain": 1.3},
        {"scale": (2.1, 0.6), "shift": (-9.0, 0.0)},
        {"turn": 0.9, "scale": (1.4, 1.4)},
    ],
)
def test_a_thing_is_pasted_as_by_warping_whole_pictures(
    centre: tuple[float, float], changes: dict[str, object]
) -> None:
    thing = _make_thing(**changes)
    before = np.random.default_rng(0).uniform(0, 255, (FRAMES, HEIGHT, WIDTH, 3))
    pictures = list(before.astype(np.float32))
    expected = [picture.copy() for picture in pictures]
    covers = _paste_whole(expected, thing, centre)
    cover = paste(pictures, thing, centre)
    # OpenCV rounds positions to 1/32 of a pixel.
    assert np.abs(cover - covers[-1]).max() < 0.05
    for index, (found, right) in enumerate(zip(pictures, expected, strict=True)):
        assert np.abs(found - right).max() < 10.0, index
        untouched = covers[index] == 0.0
        outside = found[untouched] != before[index].astype(np.float32)[untouched]
        assert outside.mean() < 0.02, index
    if centre[0] == -40.0 and not changes:
        assert np.array_equal(np.stack(pictures), before.astype(np.float32))
    elif centre == (30.0, 20.0):
        assert cover.max() > 0.9
