"""Pseudo-anomalies are cut from what moves, pasted as they should be, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.footage.clips import Clip
from model.training.cutouts import estimate_background, find_foreground
from model.training.pseudo_anomalies import (
    ComposedWindow,
    PseudoAnomalies,
    PseudoConfig,
    PseudoKind,
)

SIDE = 96
LENGTH = 5


def _draw_walkers(count: int, *, limbs: bool, seed: int = 0) -> Clip:
    """Something dark that goes across a textured ground; with limbs, its lower half changes."""
    random = np.random.default_rng(seed)
    ground = random.integers(150, 166, (SIDE, SIDE)).astype(np.uint8)
    texture = random.integers(10, 90, (20, 8)).astype(np.uint8)
    frames = np.repeat(ground[None], count, axis=0)
    for step in range(count):
        x = 4 + step % (SIDE - 14)
        body = texture.copy()
        if limbs:
            body[8:] = random.integers(10, 90, (12, 8))
        frames[step, 40:60, x : x + 8] = body
    return Clip("walkers", frames)


def _make_stock(
    *, limbs: bool = True, anomalies: float = 2.0, normals: float = 0.0
) -> PseudoAnomalies:
    config = PseudoConfig(anomalies=anomalies, normals=normals)
    return PseudoAnomalies([_draw_walkers(120, limbs=limbs)], LENGTH, config)


def _make_empty(stock_side: int = SIDE) -> NDArray[np.uint8]:
    return np.full((LENGTH, stock_side, stock_side), 158, np.uint8)


def _compose(stock: PseudoAnomalies, count: int = 60) -> list[ComposedWindow]:
    random = np.random.default_rng(3)
    return [stock.compose(_make_empty(), (0, 0), random) for _ in range(count)]


def test_what_moves_is_foreground_and_what_stands_is_not() -> None:
    clip = _draw_walkers(120, limbs=True)
    mask = find_foreground(clip.frames[30].astype(np.float32), estimate_background(clip.frames))
    assert mask[42:58, 35:41].mean() > 0.9
    mask[36:64, 30:46] = 0
    assert not mask.any()


def test_cutouts_lie_around_what_moves() -> None:
    stock = _make_stock()
    assert len(stock.cutouts) > 40
    for cutout in stock.cutouts:
        assert abs(cutout.left - (4 + cutout.frame % (SIDE - 14))) <= 4
        assert abs(cutout.top - 40) <= 4


def test_without_pastes_a_window_stays_as_it_is() -> None:
    window = _draw_walkers(LENGTH, limbs=True).frames
    composed = _make_stock(anomalies=0.0).compose(window, (0, 0), np.random.default_rng(0))
    assert np.array_equal(composed.window, window.astype(np.float32))
    assert np.array_equal(composed.target, window[-1].astype(np.float32))
    assert not composed.abnormal.any()


def test_anomalies_are_in_the_window_and_not_in_the_target() -> None:
    found = [composed for composed in _compose(_make_stock()) if composed.abnormal.any()]
    assert len(found) > 40
    for composed in found:
        assert np.all(composed.target == 158.0)
        where = composed.abnormal.astype(bool)
        changed = np.abs(composed.window[-1] - 158.0)
        assert changed[~where].max(initial=0.0) <= 0.5 * 158.0
    strength = np.mean([np.abs(c.window[-1] - 158.0)[c.abnormal > 0].mean() for c in found])
    assert strength > 10.0


def test_normal_things_are_in_the_window_and_in_the_target() -> None:
    stock = _make_stock(anomalies=0.0, normals=3.0)
    composed = _compose(stock, 20)
    for each in composed:
        assert np.array_equal(each.window[-1], each.target)
        assert not each.abnormal.any()
    assert sum(float(np.abs(each.target - 158.0).max()) > 40.0 for each in composed) > 15


def test_the_window_that_is_given_is_not_changed() -> None:
    window = _make_empty()
    _make_stock().compose(window, (0, 0), np.random.default_rng(1))
    assert np.all(window == 158)


def test_a_scene_of_rigid_things_has_no_gliding_anomalies() -> None:
    """If cars keep their shape as they drive, gliding is normal there."""
    assert _make_stock(limbs=False).rigid
    assert not _make_stock(limbs=True).rigid


def test_of_single_frames_no_anomaly_is_one_of_movement() -> None:
    """In one picture a fast walker equals a walker, which the network would learn both ways."""
    stock = PseudoAnomalies([_draw_walkers(60, limbs=True)], 1, PseudoConfig())
    assert set(stock.kinds) == {PseudoKind.MISSHAPEN, PseudoKind.STRANGE}
    assert sum(stock.kinds.values()) == pytest.approx(1.0)
    assert set(_make_stock().kinds) == set(PseudoKind)


def test_footage_without_movement_still_gives_drawn_anomalies() -> None:
    still = Clip("still", np.full((20, SIDE, SIDE), 120, np.uint8))
    stock = PseudoAnomalies([still], LENGTH, PseudoConfig(anomalies=3.0))
    assert stock.cutouts == []
    random = np.random.default_rng(0)
    composed = [stock.compose(still.frames[:LENGTH], (0, 0), random) for _ in range(20)]
    assert sum(bool(each.abnormal.any()) for each in composed) > 10


def test_light_that_changes_over_a_long_clip_is_not_foreground() -> None:
    """Half an hour's footage has several backgrounds."""
    rows = np.full((1300, 32, 32), 60, np.uint8)
    rows[650:] = 160
    assert PseudoAnomalies([Clip("dusk", rows)], LENGTH).cutouts == []


@pytest.mark.parametrize(("name", "value"), [("anomalies", -1.0), ("normals", 1e9)])
def test_bad_settings_name_field_and_value(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be from 0 to 20, got {value}"):
        PseudoConfig(**{name: value})


def test_a_clip_too_short_for_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="no clip has 5 frames in a row"):
        PseudoAnomalies([Clip("short", _make_empty()[:3])], LENGTH)


def test_there_are_four_kinds() -> None:
    assert {kind.value for kind in PseudoKind} == {"gliding", "misshapen", "fast", "strange"}
