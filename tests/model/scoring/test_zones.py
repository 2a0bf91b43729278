"""Zones as pixels and cells: what is watched, what is left out, and the box around an error."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.scoring.prediction_error import pool_cells, pool_top
from model.scoring.score_config import ErrorStep
from model.scoring.zones import ZoneMask, build_zone_mask, find_region, measure_area

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
RIGHT = ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
MIDDLE = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
PLAIN = ErrorStep(cell=8, stride=4, blur_cells=0.0, top_cells=0)


def _get_pixels(part: ZoneMask | None) -> NDArray[np.bool_]:
    assert part is not None
    return part.pixels


@st.composite
def draw_stars(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Draw polygons whose corners go round a point, at any distances: no sides cross."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(3, 12))
    angles = np.sort(random.uniform(0.0, 2.0 * math.pi, count))
    assume(np.diff(angles, append=angles[0] + 2.0 * math.pi).max() < 3.0)
    reach = random.uniform(0.05, 0.3, count)
    x, y = random.uniform(0.3, 0.7, 2)
    return [(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(reach, angles, strict=True)]


@st.composite
def draw_masks(draw: st.DrawFn) -> ZoneMask:
    """Draw some rectangles of a small picture."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels = np.zeros((draw(st.integers(8, 40)), draw(st.integers(8, 40))), np.bool_)
    for _ in range(draw(st.integers(1, 3))):
        top, left = random.integers(0, pixels.shape)
        pixels[top : top + random.integers(1, 30), left : left + random.integers(1, 30)] = True
    return ZoneMask(pixels)


steps = st.builds(
    ErrorStep,
    cell=st.integers(1, 8),
    stride=st.integers(1, 6),
    blur_cells=st.sampled_from([0.0, 1.0, 2.0]),
    top_cells=st.sampled_from([0, 1, 5, 30, 10_000]),
)


def _measure_sides(polygon: list[tuple[float, float]], size: tuple[int, int]) -> tuple[object, ...]:
    """Return for every pixel's centre whether it is inside (by the sides that a ray to the right
    crosses), and the distance to the nearest side, in pixels."""
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    corners = np.array(polygon) * (width, height)
    crossed = np.zeros(size, np.int64)
    nearest = np.full(size, np.inf)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        spans = (y0 <= y) != (y1 <= y)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossed += spans & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
        t = along.clip(0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0)))
    return crossed % 2 == 1, nearest


@given(draw_stars())
def test_a_pixel_is_watched_where_its_centre_is_inside(polygon: list[tuple[float, float]]) -> None:
    """Pixels that a side touches, or nearly so, are left out."""
    size = (60, 90)
    inside, distance = _measure_sides(polygon, size)
    watched = _get_pixels(build_zone_mask([polygon], [], *size))
    ignored = _get_pixels(build_zone_mask([], [polygon], *size))
    clear = np.asarray(distance) > 1.5
    assert np.array_equal(watched[clear], np.asarray(inside)[clear])
    assert np.array_equal(ignored, ~watched)


def test_zones_add_up_and_those_to_ignore_win() -> None:
    pixels = _get_pixels(build_zone_mask([LEFT, MIDDLE], [], 40, 80))
    assert pixels[:, :39].all()
    assert pixels[12:28, 42:58].all(), "also where both lie"
    assert not pixels[:, 62:].any() and not pixels[:8, 42:].any()
    without = _get_pixels(build_zone_mask([LEFT, MIDDLE], [MIDDLE], 40, 80))
    assert without[:, :18].all() and not without[12:28, 22:].any()
    only = _get_pixels(build_zone_mask([], [MIDDLE, LEFT], 40, 80))
    assert np.array_equal(only, ~pixels)


def test_the_whole_picture_is_no_part_and_nothing_is_refused() -> None:
    whole = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert build_zone_mask([], [], 40, 80) is None
    assert build_zone_mask([whole], [], 40, 80) is None
    assert build_zone_mask([LEFT, RIGHT], [], 40, 80) is None
    for watch, ignore in (([], [whole]), ([MIDDLE], [LEFT, RIGHT]), ([LEFT], [LEFT])):
        with pytest.raises(ValueError, match="nothing of the picture"):
            build_zone_mask(watch, ignore, 40, 80)


@pytest.mark.parametrize(
    ("polygon", "enclosed"),
    [
        (LEFT, 0.5),
        (MIDDLE, 0.25),
        (tuple(reversed(MIDDLE)), 0.25),
        (((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)), 0.5),
        (((0.1, 0.1), (0.9, 0.9), (0.5, 0.5)), 0.0),
        (((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)), 0.0),  # its sides cross
    ],
)
def test_the_area_is_what_the_sides_enclose(
    polygon: tuple[tuple[float, float], ...], enclosed: float
) -> None:
    assert measure_area(polygon) == pytest.approx(enclosed)


def _measure_shares(part: ZoneMask, step: ErrorStep) -> NDArray[np.float64]:
    """Measure how much of each cell is watched."""
    pixels = torch.from_numpy(part.pixels[None].astype(np.float64))
    return pool_cells(pixels, replace(step, blur_cells=0.0))[0].numpy()


@given(draw_masks(), steps)
def test_cells_count_that_are_watched_for_the_most_part(part: ZoneMask, step: ErrorStep) -> None:
    shares = _measure_shares(part, step)
    least = min(0.5, shares.max()) - 1e-6
    assert np.array_equal(part.find_cells(step), shares >= least)


def test_a_part_too_narrow_for_any_cell_has_those_that_come_nearest() -> None:
    pixels = np.zeros((64, 64), np.bool_)
    pixels[:, 34:36] = True
    counted = ZoneMask(pixels).find_cells(PLAIN)
    assert counted.any() and not counted.all()
    assert set(np.flatnonzero(counted.any(axis=0)) * 4) == {28, 32}


@given(draw_masks(), steps, st.integers(0, 2**32 - 1))
def test_what_lies_outside_never_matters(part: ZoneMask, step: ErrorStep, seed: int) -> None:
    """The blur doesn't reach out either."""
    random = np.random.default_rng(seed)
    errors = random.random((2, *part.pixels.shape), np.float32)
    errors[1] = np.where(part.pixels, errors[0], 50.0 * errors[1])
    pixels = torch.from_numpy(part.pixels)
    counted = torch.from_numpy(np.stack([part.find_cells(step)] * 2))
    cells = pool_cells(torch.from_numpy(errors) * pixels, step)
    one, other = pool_top(cells, step.top_cells, counted).tolist()
    assert one == pytest.approx(other, rel=1e-5)
    if 0 < step.top_cells <= int(counted[0].sum()):
        whole = pool_top(pool_cells(torch.from_numpy(errors), step), step.top_cells)
        assert one <= whole[0].item() * (1.0 + 1e-5), "a zone lowers the error at most"


@given(st.integers(1, 5), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_the_top_is_of_what_counts(batch: int, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    cells = random.random((batch, 4, 5)).astype(np.float32)
    counted = random.random((batch, 4, 5)) < random.random((batch, 1, 1))
    counted[:, 2, 2] = True
    found = pool_top(torch.from_numpy(cells), count, torch.from_numpy(counted))
    for each, kept, value in zip(cells, counted, found.tolist(), strict=True):
        largest = np.sort(each[kept])[::-1]
        assert value == pytest.approx(largest[: count or None].mean(), rel=1e-5)


def test_all_cells_counted_are_the_same_as_no_mask() -> None:
    cells = torch.rand(2, 6, 7, generator=torch.Generator().manual_seed(0))
    for count in (0, 3, 42, 99):
        torch.testing.assert_close(
            pool_top(cells, count, torch.ones_like(cells, dtype=torch.bool)), pool_top(cells, count)
        )


@given(draw_masks(), steps, st.integers(0, 2**32 - 1))
def test_a_region_lies_within_what_is_watched(part: ZoneMask, step: ErrorStep, seed: int) -> None:
    """So it does with any errors outside, and without errors."""
    random = np.random.default_rng(seed)
    counted = part.find_cells(step)
    assume(_measure_shares(part, step).max() > 0.0)  # else it lies between the cells
    for scale in (1.0, 0.0):
        cells = (scale * random.random(counted.shape)).astype(np.float32)
        left, top, right, bottom = part.find_region(cells, step)
        assert part.box[0] <= left < right <= part.box[2]
        assert part.box[1] <= top < bottom <= part.box[3]


def test_a_region_is_around_the_largest_error_that_counts() -> None:
    part = build_zone_mask([LEFT], [], 64, 64)
    assert part is not None
    cells = np.zeros((15, 15), np.float32)
    cells[2:4, 3:5] = 0.5
    cells[8, 12] = 9.0
    assert part.find_region(cells, PLAIN) == (12 / 64, 8 / 64, 24 / 64, 20 / 64)
    assert find_region(cells) == (12 / 15, 8 / 15, 13 / 15, 9 / 15)
