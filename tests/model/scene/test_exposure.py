"""A camera's exposure: estimated from one frame, undone in it, and no change of the light."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.scene.exposure import NO_EXPOSURE, Exposure, _find_median, estimate_exposure
from tests.model.stills import (
    SIZE,
    Drawn,
    draw_scene,
    list_changes,
    list_scored,
    make_settled_scene,
    read_all,
    shoot,
    shoot_still,
)

ALL = np.ones((8, 8), np.bool_)


def _draw_cells(seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).uniform(40.0, 200.0, (8, 8)).astype(np.float32)


def _swing_exposure(picture: Drawn) -> list[Drawn]:
    """Let the exposure go down to a half and back, three times."""
    shares = (1.0 - 0.5 * max(0.0, np.sin(step / 12.0)) ** 2 for step in range(240))
    return [picture * np.float32(share) for share in shares]


@pytest.mark.parametrize(("gain", "slope"), [(0.45, 1.0), (1.8, 1.0), (0.7, 1.4), (1.2, 0.75)])
def test_gain_and_slope_are_estimated_and_undone(gain: float, slope: float) -> None:
    known = _draw_cells()
    seen = (gain * 100.0 * (known / 100.0) ** slope).astype(np.float32)
    found = estimate_exposure(seen, known, ALL)
    assert found is not None
    assert np.abs(found.undo_levels(seen) / known - 1.0).max() < 0.05


def test_what_stands_in_front_says_nothing() -> None:
    known = _draw_cells()
    seen = np.float32(0.6) * known
    seen[:, 5:] = 230.0  # a white lorry, over three eighths, whose edges happen to fit
    found = estimate_exposure(seen, known, ALL)
    assert found is not None
    assert np.abs(found.undo_levels(seen)[:, :5] / known[:, :5] - 1.0).max() < 0.05
    still = ALL.copy()
    still[:, 1:] = False
    assert estimate_exposure(seen, known, still) is None


@pytest.mark.parametrize("gain", [0.1, 0.35, 2.8])
def test_too_much_is_another_light(gain: float) -> None:
    known = _draw_cells() / np.float32(3.0)
    assert estimate_exposure(np.float32(gain) * known, known, ALL) == NO_EXPOSURE
    inverted = (255.0 - 255.0 * known / 100.0).clip(1.0).astype(np.float32)
    assert estimate_exposure(inverted, known, ALL) == NO_EXPOSURE


def test_little_is_left_alone_and_more_begins_without_a_step() -> None:
    frame = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert Exposure(shift=0.015, pivot=4.0).undo(frame) is frame
    undone = [Exposure(shift=s, pivot=4.0).undo(frame) for s in (0.02, 0.03, 0.04)]
    steps = [np.abs(a.astype(int) - b).max() for a, b in pairwise(undone)]
    assert max(steps) <= 3
    dark = np.asarray(0.5 * frame).astype(np.uint8)
    brighter = Exposure(shift=float(np.log(0.5)), pivot=4.0).undo(dark)
    assert np.abs(brighter[1:].astype(float) - frame[1:]).max() <= 6.0


def test_exposure_that_follows_a_passer_by_withholds_nothing() -> None:
    drawn, scene = draw_scene(), make_settled_scene()
    frames = shoot(_swing_exposure(drawn))
    readings = read_all(scene, frames)
    assert all(list_scored(readings))
    assert list_changes(readings) == []
    relit = [scene.undo_light(*each).astype(float) for each in zip(frames, readings, strict=True)]
    assert max(float(np.abs(each - drawn).mean()) for each in relit) < 8.0
    as_seen = max(float(np.abs(frame - drawn).mean()) for frame in frames)
    assert as_seen > 40.0


def test_dusk_that_is_the_same_everywhere_is_followed_without_a_pause() -> None:
    drawn, scene = draw_scene(), make_settled_scene()
    dusk = [drawn * np.float32(1.0 - 0.5 * step / 400.0) for step in range(400)]
    frames = [*shoot(dusk), *shoot_still(dusk[-1], 100)]
    readings = read_all(scene, frames)
    assert all(list_scored(readings))
    relit = scene.undo_light(frames[-1], readings[-1]).astype(float)
    assert float(np.abs(relit - drawn).mean()) < 8.0


def test_a_frame_in_the_known_light_stays_as_it_is() -> None:
    scene = make_settled_scene()
    frames = shoot_still(draw_scene(), 40)
    readings = read_all(scene, frames)
    assert all(
        scene.undo_light(f, reading) is f for f, reading in zip(frames, readings, strict=True)
    )
    assert frames[0].shape == (SIZE, SIZE)


def test_exposure_swings_in_another_light_too() -> None:
    drawn, scene = draw_scene(), make_settled_scene()
    lamp = drawn * np.linspace(0.35, 0.85, SIZE, dtype=np.float32)
    read_all(scene, shoot_still(lamp, 80))
    assert scene.relighting is not None
    frames = shoot(_swing_exposure(lamp))
    readings = read_all(scene, frames)
    assert all(list_scored(readings))
    assert list_changes(readings) == []
    relit = [scene.undo_light(*each).astype(float) for each in zip(frames, readings, strict=True)]
    assert max(float(np.abs(each - drawn).mean()) for each in relit) < 16.0
    # Back in the light that was known first, slowly and then for good.
    back = [lamp + np.float32(step / 200.0) * (drawn - lamp) for step in range(201)]
    read_all(scene, shoot([*back, *[drawn] * 80]))
    assert scene.relighting is None


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=64), st.booleans())
def test_the_median_is_numpys_to_the_bit(values: list[float], single: bool) -> None:
    array = np.array(values, np.float32 if single else np.float64)
    assert _find_median(array) == float(np.median(array))
