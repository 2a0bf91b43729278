"""Pictures fitted to what the network takes."""

from __future__ import annotations

import numpy as np
import pytest

from model.frames import FrameShape, fit, is_grey

GREY = FrameShape(16, 24, 1)
RGB = FrameShape(16, 24, 3)


def test_colours_are_converted_from_bgr() -> None:
    blue = np.zeros((16, 24, 3), np.uint8)
    blue[..., 0] = 200
    assert fit(blue, RGB)[0, 0].tolist() == [0, 0, 200]
    assert fit(blue, GREY)[0, 0] == round(0.114 * 200)


def test_grey_pictures_fill_all_channels() -> None:
    grey = np.full((16, 24), 90, np.uint8)
    assert fit(grey, RGB)[0, 0].tolist() == [90, 90, 90]
    assert np.array_equal(fit(grey, GREY), grey)
    assert np.array_equal(fit(grey[:, :, None], GREY), grey)


@pytest.mark.parametrize("size", [(16, 24), (160, 240), (4, 6), (8, 240)])
@pytest.mark.parametrize("shape", [GREY, RGB])
def test_any_size_fits_and_a_constant_stays(size: tuple[int, int], shape: FrameShape) -> None:
    frame = fit(np.full((*size, 3), 77, np.uint8), shape)
    assert frame.shape == shape.array_shape
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous
    assert set(np.unique(frame)) == {77}


def test_shrinking_averages_areas() -> None:
    checks = np.indices((64, 96)).sum(axis=0) % 2 * 200
    frame = fit(checks.astype(np.uint8), GREY)
    assert np.abs(frame.astype(int) - 100).max() <= 1


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((16, 24), np.float32),
        np.full((16, 24, 3), np.nan),
        np.zeros((0, 24), np.uint8),
        np.zeros((16, 24, 4), np.uint8),
        np.zeros((2, 16, 24, 3), np.uint8),
        np.zeros(24, np.uint8),
    ],
    ids=["float", "nan", "empty", "rgba", "4d", "1d"],
)
def test_what_is_no_picture_is_refused(picture: np.typing.NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="a picture"):
        fit(picture, GREY)


def test_grey_is_distinguished_from_colour() -> None:
    random = np.random.default_rng(0)
    grey = np.repeat(random.integers(0, 255, (32, 32, 1), dtype=np.uint8), 3, axis=2)
    assert is_grey(grey)
    assert is_grey(grey[:, :, 0])
    noisy = np.clip(grey.astype(int) + random.integers(-2, 3, grey.shape), 0, 255)
    assert is_grey(noisy.astype(np.uint8))
    colour = grey.copy()
    colour[:8, :8, 2] = 255 - colour[:8, :8, 0]
    assert not is_grey(colour)
