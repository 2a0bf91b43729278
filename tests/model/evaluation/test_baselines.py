"""Baselines: what they expect, what they measure, and where their ranges come from."""

from __future__ import annotations

import numpy as np
import pytest

from model.evaluation.baselines import (
    Baseline,
    BaselineSetup,
    Foreground,
    FrameDifference,
    RangeStart,
    make_baselines,
    run_baseline,
)
from model.evaluation.heat_maps import open_heat_maps
from model.footage.clips import Clip
from model.scoring.score_config import LIVE, SCORES, ErrorKind, ErrorStep, ScoreConfig
from tests.model.drawn import clip

WHOLE = ErrorStep(kind=ErrorKind.ABSOLUTE, cell=1, stride=1, blur_cells=0.0, top_cells=0)
MEAN = ScoreConfig(name="mean", error=WHOLE, smoothing=1.0)
SETUP = BaselineSetup({"mean": MEAN}, heat=WHOLE, context=2)


def test_frame_difference_measures_the_change_since_the_previous_frame() -> None:
    frames = np.zeros((5, 16, 24), np.uint8)
    frames[1:] = 51
    frames[3, :8] = 102
    rows = run_baseline(FrameDifference(), [Clip("a", frames)], [], SETUP).rows[0]
    assert rows[:2] == [None, None]  # as many as the network has no score for
    errors = [row.errors[WHOLE.key] for row in rows if row is not None]
    assert errors == pytest.approx([0.0, 0.1, 0.1])  # half of the frame by 51 levels, and back


def test_frame_difference_does_not_compare_across_a_cut() -> None:
    dark, light = np.zeros((4, 16, 16), np.uint8), np.full((4, 16, 16), 255, np.uint8)
    setup = BaselineSetup({"mean": MEAN}, heat=WHOLE, context=0)
    rows = run_baseline(FrameDifference(), [Clip("a", dark), Clip("b", light)], [], setup).rows
    assert rows[0][0] is None and rows[1][0] is None
    assert [row.errors[WHOLE.key] for row in rows[1][1:] if row] == [0.0, 0.0, 0.0]


def test_colour_frames_are_taken_too() -> None:
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    frames[3, :, :, 0] = 255
    rows = run_baseline(FrameDifference(), [Clip("a", frames)], [], SETUP).rows[0]
    assert [row.errors[WHOLE.key] for row in rows if row] == pytest.approx([0.0, 1 / 3])


def test_foreground_is_what_differs_from_a_background_that_cuts_do_not_reset() -> None:
    scene = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (60, 16, 1))
    stranger = scene[:4].copy()
    stranger[:, 4:8, 6:12] = 255
    rows = run_baseline(Foreground(), [Clip("a", scene), Clip("b", stranger)], [], SETUP).rows
    before = [row.errors[WHOLE.key] for row in rows[0][20:] if row]
    assert max(before) == 0.0
    seen = [row for row in rows[1] if row]
    assert seen[0].errors[WHOLE.key] == pytest.approx(4 * 6 / (16 * 24), rel=0.2)


@pytest.mark.parametrize("name", list(make_baselines()))
def test_normal_footage_gives_ranges_and_thresholds(name: str) -> None:
    setup = BaselineSetup(dict(SCORES), heat=LIVE.error, context=4)
    normal = [clip("n", 40), clip("m", 30, seed=3)]
    seen = run_baseline(make_baselines()[name], [clip("t", 30, seed=1)], normal, setup)
    assert seen.start == RangeStart(normal_footage=True, frames=70)
    assert set(seen.thresholds) == set(SCORES)
    assert set(seen.normal.errors) == {score.error.key for score in SCORES.values()}


@pytest.mark.parametrize("name", list(make_baselines()))
def test_without_normal_footage_the_first_test_frames_give_the_ranges(name: str) -> None:
    short = run_baseline(make_baselines()[name], [clip("t", 12), clip("u", 12)], [], SETUP)
    assert short.start == RangeStart(normal_footage=False, frames=5)  # a quarter of 2 x (12 - 2)
    assert short.thresholds == {}
    first = [row.errors[WHOLE.key] for row in short.rows[0][2:7] if row]
    assert short.normal.errors[WHOLE.key].high == max(first)
    long = run_baseline(make_baselines()[name], [clip("t", 500)], [], SETUP)
    assert long.start.frames == 100


@pytest.mark.parametrize("baseline", [FrameDifference(), Foreground()])
def test_baselines_use_the_past_only(baseline: Baseline) -> None:
    fresh = type(baseline)()
    test = clip("t", 24, abnormal=range(16, 20))
    whole = run_baseline(baseline, [test], [], SETUP).rows[0]
    part = run_baseline(fresh, [Clip("t", test.frames[:15])], [], SETUP).rows[0]
    assert whole[:15] == part
    assert whole[16] != part[14]


def test_heat_maps_are_kept_for_each_frame() -> None:
    frames = np.zeros((4, 16, 24), np.uint8)
    frames[3, 2, 5] = 255
    with open_heat_maps() as maps:
        run_baseline(FrameDifference(), [Clip("a", frames)], [], SETUP, maps=maps)
        (heat,) = maps.clips()
    assert heat.shape == (4, 16, 24)
    assert heat[3, 2, 5] == 1.0
    assert heat.sum() == 1.0
