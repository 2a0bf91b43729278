"""RBDC and TBDC on cases whose answers can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.evaluation.regions import measure_area_to_one, measure_criteria
from model.evaluation.tracks import find_component_boxes, follow, intersection_over_union

SIZE = 64
Place = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""


def _make_masks(*frames: list[Place]) -> NDArray[np.bool_]:
    masks = np.zeros((len(frames), SIZE, SIZE), np.bool_)
    for mask, places in zip(masks, frames, strict=True):
        for left, top, right, bottom in places:
            mask[top:bottom, left:right] = True
    return masks


def _make_heat(*frames: dict[Place, float], cell: int = 1) -> NDArray[np.float32]:
    heat = np.zeros((len(frames), SIZE // cell, SIZE // cell), np.float32)
    for grid, places in zip(heat, frames, strict=True):
        for (left, top, right, bottom), value in places.items():
            grid[top // cell : bottom // cell, left // cell : right // cell] = value
    return heat


A: Place = (0, 0, 8, 8)
B: Place = (24, 24, 32, 32)
C: Place = (48, 48, 56, 56)


@pytest.mark.parametrize("cell", [1, 4])
def test_regions_found_without_a_false_one_give_all(cell: int) -> None:
    heat = _make_heat({A: 1.0}, {A: 0.5, B: 0.7}, {}, cell=cell)
    result = measure_criteria([heat], [_make_masks([A], [A, B], [])])
    assert (result.rbdc, result.tbdc) == (100.0, 100.0)


def test_heat_that_is_always_elsewhere_gives_nothing() -> None:
    result = measure_criteria([_make_heat({B: 1.0}, {B: 1.0})], [_make_masks([A], [A])])
    assert (result.rbdc, result.tbdc) == (0.0, 0.0)
    assert result.points[-1].false_positives == 1.0


def test_the_area_lies_under_the_shares_found_at_each_false_positive_rate() -> None:
    """Two regions of two tracks, in two of four frames: A at 0.9; two false positives at 0.8; B at
    0.7; three more false positives at 0.6."""
    heat = _make_heat({A: 0.9}, {B: 0.7}, {A: 0.8, C: 0.8}, {A: 0.6, B: 0.6, C: 0.6})
    result = measure_criteria([heat], [_make_masks([A], [B], [], [])])
    points = [(p.false_positives, p.regions, p.tracks) for p in result.points]
    assert points == [(0.0, 0.5, 0.5), (0.5, 0.5, 0.5), (0.5, 1.0, 1.0), (1.25, 1.0, 1.0)]
    # Half at first; from 0.5 a frame on all.
    assert result.rbdc == pytest.approx(100 * (0.5 * 0.5 + 0.5 * 1.0))
    assert result.tbdc == result.rbdc


def test_a_track_is_found_by_a_tenth_of_its_regions() -> None:
    frames = [[A]] * 10
    one_hit = _make_heat({A: 1.0}, *[{}] * 9)
    result = measure_criteria([one_hit], [_make_masks(*frames)])
    assert [result.rbdc, result.tbdc] == pytest.approx([10.0, 100.0])
    result = measure_criteria(
        [np.concatenate((one_hit, one_hit[1:2]))], [_make_masks(*frames, [A])]
    )
    assert [result.rbdc, result.tbdc] == pytest.approx([100 / 11, 0.0])


def test_an_overlap_of_a_tenth_is_a_hit_and_less_is_a_false_positive() -> None:
    # 8 x 8 against 8 x n from the same corner: the overlap is 8 / n.
    for rows, hit in ((64, True), (72, True), (96, False)):
        size = 96
        mask, heat = np.zeros((1, size, size), np.bool_), np.zeros((1, size, size))
        mask[0, :8, :8] = True
        heat[0, :rows, :8] = 1.0
        (point,) = measure_criteria([heat], [mask]).points
        assert (point.regions == 1.0, point.false_positives == 0.0) == (hit, hit)


def test_several_detections_of_one_region_are_no_false_positives() -> None:
    wide: Place = (0, 0, 20, 20)
    heat = _make_heat({(0, 0, 9, 20): 1.0, (11, 0, 20, 20): 1.0})
    (point,) = measure_criteria([heat], [_make_masks([wide])]).points
    assert (point.false_positives, point.regions) == (0.0, 1.0)


def test_a_threshold_at_which_detections_melt_together_takes_nothing_away() -> None:
    heat = _make_heat({A: 1.0})
    heat[heat == 0.0] = 0.2  # at 0.2 one detection covers the picture, and misses A
    result = measure_criteria([heat], [_make_masks([A])])
    assert [point.regions for point in result.points] == [1.0, 0.0]
    assert result.rbdc == 100.0


def test_without_a_region_there_is_no_criterion() -> None:
    result = measure_criteria([_make_heat({A: 1.0})], [_make_masks([])])
    assert (result.rbdc, result.tbdc) == (None, None)


def test_heat_and_masks_must_belong_together() -> None:
    with pytest.raises(ValueError, match="2 heat maps but 1 masks"):
        measure_criteria([_make_heat({}, {})], [_make_masks([A])])


@pytest.mark.parametrize(
    ("rates", "shares", "area"),
    [
        ([], [], 0.0),
        ([0.0], [0.4], 0.4),
        ([0.5], [1.0], 0.25 + 0.5),
        ([2.0], [1.0], 0.25),  # straight to half at 1
        ([0.5, 0.5, 0.2], [0.6, 0.2, 0.8], 0.08 + 0.64),  # the best so far counts
    ],
)
def test_areas(rates: list[float], shares: list[float], area: float) -> None:
    assert measure_area_to_one(rates, shares) == pytest.approx(area)


def test_boxes_of_a_mask_leave_specks_out() -> None:
    (masks,) = _make_masks([A, B, (60, 60, 61, 61)])
    assert find_component_boxes(masks, 10).tolist() == [list(A), list(B)]
    assert len(find_component_boxes(masks)) == 3
    assert intersection_over_union(find_component_boxes(masks), np.array([[4.0, 0, 12, 8]]))[
        0, 0
    ] == pytest.approx(1 / 3)


def test_objects_are_followed_while_they_overlap() -> None:
    passing = [
        find_component_boxes(m)
        for m in _make_masks(*[[(4 * t, 0, 4 * t + 8, 8), B] for t in range(6)])
    ]
    assert [(track.first_frame, len(track.boxes)) for track in follow(passing)] == [(0, 6), (0, 6)]
    gone = [find_component_boxes(m) for m in _make_masks([A], [], [A], [C])]
    assert [(track.first_frame, len(track.boxes)) for track in follow(gone)] == [
        (0, 1), (2, 1), (3, 1),
    ]  # fmt: skip
