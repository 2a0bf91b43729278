"""A network gets of a decoded frame what `fit` makes of it, for all formats of pixels."""

from __future__ import annotations

import struct

import av
import cv2
import numpy as np
import pytest

from model.footage.source_pictures import Fitter, Orientation, VideoPicture
from model.frames import FrameShape, fit
from service.tools.demo.walkway import draw_frames
from tests.support.footage import Picture

GREY = FrameShape(256, 256, 1)
RGB = FrameShape(256, 256, 3)
ITU709 = 1


def _draw_grey_scene(size: tuple[int, int]) -> Picture:
    """A drawn scene as a camera without colours gives it."""
    (scene,) = list(draw_frames(3, 0.1))[:1]
    grey = cv2.cvtColor(cv2.resize(scene, size), cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)


def _decode(picture: Picture, pixel_format: str) -> VideoPicture:
    frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
    return VideoPicture(frame.reformat(format=pixel_format))


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "yuvj444p", "nv12", "gray"]
)
@pytest.mark.parametrize("size", [(360, 240), (354, 198), (1280, 720)])
def test_a_grey_network_sees_the_luma_as_fit_would_show_it(
    pixel_format: str, size: tuple[int, int]
) -> None:
    frame = _decode(_draw_grey_scene(size), pixel_format)
    seen = Fitter(GREY).fit(frame).astype(int)
    difference = seen - fit(frame.bgr(), GREY)
    assert np.abs(difference).max() <= 3
    assert np.abs(difference).mean() < 1.1
    assert np.abs(difference - difference.mean()).mean() < 0.6, "what there is, is a shift"
    assert seen.min() < 60 and seen.max() > 190


def test_colours_weigh_as_fit_weighs_them() -> None:
    (scene,) = list(draw_frames(3, 0.1))[:1]
    frame = _decode(scene, "yuv420p")
    difference = Fitter(GREY).fit(frame).astype(int) - fit(frame.bgr(), GREY)
    assert np.abs(difference).mean() < 1.5
    frame.frame.colorspace = ITU709  # its luma weighs colours in another way
    np.testing.assert_array_equal(Fitter(GREY).fit(frame), fit(frame.bgr(), GREY))


def test_a_colour_network_and_unusual_pixels_go_the_long_way() -> None:
    (scene,) = list(draw_frames(3, 0.1))[:1]
    frame = _decode(scene, "yuv420p")
    np.testing.assert_array_equal(Fitter(RGB).fit(frame), fit(frame.bgr(), RGB))
    for pixel_format in ("yuv420p10le", "rgb24", "bgra"):
        frame = _decode(scene, pixel_format)
        np.testing.assert_array_equal(Fitter(GREY).fit(frame), fit(frame.bgr(), GREY))


def test_a_source_that_changes_its_levels_is_followed() -> None:
    fitter = Fitter(GREY)
    narrow, full = (_decode(_draw_grey_scene((360, 240)), name) for name in ("yuv420p", "yuvj420p"))
    for frame in (narrow, full, narrow):
        difference = fitter.fit(frame).astype(int) - fit(frame.bgr(), GREY)
        assert np.abs(difference).max() <= 3


def test_a_fitted_frame_outlives_the_decoded_one() -> None:
    shape = FrameShape(240, 360, 1)
    frame = _decode(_draw_grey_scene((360, 240)), "gray")
    seen = Fitter(shape).fit(frame)
    expected = seen.copy()
    plane = frame.frame.planes[0]
    plane.update(bytes(plane.buffer_size))
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), [[1, 2, 3], [4, 5, 6]]),
        ((-1, 0, 0, -1), [[6, 5, 4], [3, 2, 1]]),
        ((0, -1, 1, 0), [[3, 6], [2, 5], [1, 4]]),
        ((0, 1, -1, 0), [[4, 1], [5, 2], [6, 3]]),
        ((-1, 0, 0, 1), [[3, 2, 1], [6, 5, 4]]),
        ((1, 0, 0, -1), [[4, 5, 6], [1, 2, 3]]),
        ((0, 1, 1, 0), [[1, 4], [2, 5], [3, 6]]),
        ((0, -1, -1, 0), [[6, 3], [5, 2], [4, 1]]),
    ],
)
def test_each_display_matrix_turns_a_picture_upright(
    matrix: tuple[int, int, int, int], upright: list[list[int]]
) -> None:
    """A pixel at (x, y) goes to (a x + c y, b x + d y), y pointing down."""
    a, b, c, d = (65536 * value for value in matrix)
    turn = Orientation.from_matrix(struct.pack("<9i", a, b, 0, c, d, 0, 0, 0, 1 << 30))
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    assert turn.apply(stored).tolist() == upright
