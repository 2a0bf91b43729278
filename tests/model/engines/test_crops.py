"""A part of the picture gives all places that are active, and has one of few shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.engines.crops import MARGIN, Crop, Crops
from model.network.network_config import NetConfig
from model.scene.features import SIDE
from model.scene.stillness import Places

NETS = {
    "256, patch 2": NetConfig(patch=2),
    "256, patch 1": NetConfig(),
    "256, patch 4": NetConfig(patch=4),
    "240x320": NetConfig(height=240, width=320),
    "64": NetConfig(height=64, width=64),
    "32": NetConfig(height=32, width=32, patch=2),
}


def mark_active(top: int, left: int, bottom: int, right: int) -> Places:
    places = np.zeros((SIDE, SIDE), np.uint8)
    places[top:bottom, left:right] = 7
    return places


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_a_part_gives_all_active_places_and_not_its_margin(net: NetConfig) -> None:
    crops = Crops(net)
    size = net.height // net.downscale, net.width // net.downscale
    random = np.random.default_rng(0)
    found: set[tuple[int, int]] = set()
    for _ in range(400):
        top, left = random.integers(0, SIDE, 2)
        bottom, right = (int(random.integers(first, SIDE)) + 1 for first in (top, left))
        crop = crops.find(mark_active(top, left, bottom, right))
        if crop is None:
            continue
        found.add(crop.shape)
        rows, columns = crop.region
        assert rows.start <= top < bottom <= rows.stop
        assert columns.start <= left < right <= columns.stop
        for extent, cells, pixels in zip(
            (crop.rows, crop.columns), size, (net.height, net.width), strict=True
        ):
            assert 0 <= extent.start <= extent.used_start < extent.used_stop <= extent.stop
            assert extent.stop <= cells
            outer, inner = extent.slice_computed(net.downscale), extent.slice_used(net.downscale)
            assert extent.start == 0 or inner.start - outer.start >= MARGIN
            assert extent.start != 0 or inner.start == 0
            assert outer.stop == pixels or outer.stop - inner.stop >= MARGIN
            assert outer.stop != pixels or inner.stop == pixels
        assert crop.share == pytest.approx(crop.shape[0] * crop.shape[1] / (size[0] * size[1]))
    assert found <= set(crops.shapes)
    assert len(crops.shapes) <= 5
    assert all(rows * columns <= 0.8 * size[0] * size[1] for rows, columns in crops.shapes)


def test_the_shapes_of_a_picture_of_256_pixels() -> None:
    crops = Crops(NETS["256, patch 2"])
    shapes = [(rows * crops.cell, columns * crops.cell) for rows, columns in crops.shapes]
    assert shapes[0] == (128, 128)
    assert set(shapes) == {(128, 128), (128, 256), (256, 128), (192, 256), (256, 192)}


def require(crop: Crop | None) -> Crop:
    assert crop is not None
    return crop


def test_the_smallest_part_is_taken() -> None:
    crops = Crops(NETS["256, patch 2"])
    assert require(crops.find(mark_active(30, 30, 31, 31))).share == 0.25
    assert require(crops.find(mark_active(30, 2, 34, 62))).shape == (8, 16)
    assert require(crops.find(mark_active(2, 30, 62, 34))).shape == (16, 8)
    assert require(crops.find(mark_active(12, 2, 48, 62))).shape == (12, 16)
    assert crops.find(mark_active(0, 0, SIDE, SIDE)) is None
    assert crops.find(mark_active(0, 30, 1, 31) | mark_active(63, 0, 64, 64)) is None


def test_where_nothing_is_active_there_is_no_part() -> None:
    assert Crops(NETS["64"]).find(mark_active(0, 0, 0, 0)) is None


def test_places_that_lie_half_in_what_is_used_are_left_out() -> None:
    net = replace(NETS["240x320"], height=240, width=240)
    crop = require(Crops(net).find(mark_active(0, 0, 2, 2)))
    assert crop.rows.slice_used(net.downscale).stop == 104  # of 240 pixels, 64 places
    assert crop.region[0] == slice(0, 27)  # the 28th ends at 105
