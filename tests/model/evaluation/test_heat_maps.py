"""Heat maps on disk."""

from __future__ import annotations

import numpy as np
import pytest

from model.evaluation.heat_maps import open_heat_maps


def test_maps_come_back_clip_by_clip_with_zeros_for_frames_without_one() -> None:
    random = np.random.default_rng(0)
    given = random.random((5, 3, 4)).astype(np.float32)
    with open_heat_maps() as maps:
        maps.begin_clip()
        maps.add(None)
        maps.add(given[0])
        maps.add(given[1])
        maps.begin_clip()
        maps.add(None)
        maps.add(given[2])
        first, second = maps.clips()
    assert np.array_equal(first, np.stack([0 * given[0], given[0], given[1]]).astype(np.float16))
    assert np.array_equal(second, np.stack([0 * given[0], given[2]]).astype(np.float16))
    assert isinstance(first, np.memmap)


def test_a_map_too_hot_for_half_floats_stays_finite() -> None:
    with open_heat_maps() as maps:
        maps.begin_clip()
        maps.add(np.full((1, 2), 1e30, np.float32))
        assert np.isfinite(maps.clips()[0]).all()


def test_wrong_maps_are_refused() -> None:
    with open_heat_maps() as maps:
        with pytest.raises(ValueError, match="begin one"):
            maps.add(np.zeros((2, 2), np.float32))
        maps.begin_clip()
        with pytest.raises(ValueError, match="no frame has a heat map"):
            maps.clips()
        maps.add(np.zeros((2, 2), np.float32))
        with pytest.raises(ValueError, match=r"\(2, 2\), got \(3, 2\)"):
            maps.add(np.zeros((3, 2), np.float32))
