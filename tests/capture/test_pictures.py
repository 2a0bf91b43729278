"""What a network sees of a decoded frame is what `fit` makes of it, whatever the pixels' format."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from model.frames import FrameShape, fit
from service.capture.pictures import Fitter, bgr
from service.demo.scene import frames
from tests.support.footage import Picture

GREY = FrameShape(256, 256, 1)
RGB = FrameShape(256, 256, 3)
ITU709 = 1


def _grey_scene(size: tuple[int, int]) -> Picture:
    """A drawn scene as a camera without colours gives it."""
    (scene,) = list(frames(3, 0.1))[:1]
    grey = cv2.cvtColor(cv2.resize(scene, size), cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)


def _decoded(picture: Picture, pixel_format: str) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pixel_format)


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "yuvj444p", "nv12", "gray"]
)
@pytest.mark.parametrize("size", [(360, 240), (354, 198), (1280, 720)])
def test_a_grey_network_sees_the_luma_as_fit_would_show_it(
    pixel_format: str, size: tuple[int, int]
) -> None:
    frame = _decoded(_grey_scene(size), pixel_format)
    seen = Fitter(GREY).fit(frame).astype(int)
    difference = seen - fit(bgr(frame), GREY)
    assert np.abs(difference).max() <= 3
    assert np.abs(difference).mean() < 1.1
    assert np.abs(difference - difference.mean()).mean() < 0.6, "what there is, is a shift"
    assert seen.min() < 60 and seen.max() > 190


def test_colours_weigh_as_fit_weighs_them() -> None:
    (scene,) = list(frames(3, 0.1))[:1]
    frame = _decoded(scene, "yuv420p")
    difference = Fitter(GREY).fit(frame).astype(int) - fit(bgr(frame), GREY)
    assert np.abs(difference).mean() < 1.5
    frame.colorspace = ITU709  # its luma weighs colours in another way
    np.testing.assert_array_equal(Fitter(GREY).fit(frame), fit(bgr(frame), GREY))


def test_a_colour_network_and_unusual_pixels_go_the_long_way() -> None:
    (scene,) = list(frames(3, 0.1))[:1]
    frame = _decoded(scene, "yuv420p")
    np.testing.assert_array_equal(Fitter(RGB).fit(frame), fit(bgr(frame), RGB))
    for pixel_format in ("yuv420p10le", "rgb24", "bgra"):
        frame = _decoded(scene, pixel_format)
        np.testing.assert_array_equal(Fitter(GREY).fit(frame), fit(bgr(frame), GREY))


def test_a_source_that_changes_its_levels_is_followed() -> None:
    fitter = Fitter(GREY)
    narrow, full = (_decoded(_grey_scene((360, 240)), name) for name in ("yuv420p", "yuvj420p"))
    for frame in (narrow, full, narrow):
        difference = fitter.fit(frame).astype(int) - fit(bgr(frame), GREY)
        assert np.abs(difference).max() <= 3


def test_a_fitted_frame_outlives_the_decoded_one() -> None:
    shape = FrameShape(240, 360, 1)
    frame = _decoded(_grey_scene((360, 240)), "gray")
    seen = Fitter(shape).fit(frame)
    expected = seen.copy()
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    np.testing.assert_array_equal(seen, expected)
