"""Synthetic anomalies on drawn footage: what is abnormal, where, and what stays as it was."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from model.evaluation.synthetic_anomalies import SyntheticKind, SyntheticScene, make_scenes
from model.evaluation.tracked_things import ThingFinder
from model.footage.clips import Clip

FPS = 10.0
SIZE = 96


def draw_walkers(name: str, count: int, seed: int, *, colours: bool = False) -> Clip:
    """Upright blocks with a stripe, that cross a noisy picture at one pixel a frame."""
    random = np.random.default_rng(seed)
    frames = random.integers(118, 122, (count, SIZE, SIZE)).astype(np.uint8)
    for step in range(count):
        for top, offset in ((20, 3 * seed), (60, 40 + 5 * seed)):
            left = (offset + step) % (SIZE - 10)
            frames[step, top : top + 20, left : left + 8] = 30
            frames[step, top + 4 : top + 8, left + 2 : left + 6] = 220
    return Clip(name, np.repeat(frames[..., None], 3, axis=-1) if colours else frames)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [draw_walkers("a", 120, 0), draw_walkers("b", 100, 1)]


@pytest.fixture(scope="module")
def scenes(clips: list[Clip]) -> list[SyntheticScene]:
    return list(make_scenes(clips, FPS, scenes_a_kind=2))


def _pick(scenes: list[SyntheticScene], kind: SyntheticKind) -> list[SyntheticScene]:
    return [scene for scene in scenes if scene.kind is kind]


def test_all_kinds_are_made_where_things_move(scenes: list[SyntheticScene]) -> None:
    assert Counter(scene.kind for scene in scenes) == dict.fromkeys(SyntheticKind, 2)


def test_a_scene_is_normal_first_and_its_masks_cover_the_abnormal_frames(
    scenes: list[SyntheticScene],
) -> None:
    for scene in scenes:
        frames = scene.clip.frames
        assert frames.dtype == np.uint8
        assert scene.masks.shape == frames.shape
        assert scene.abnormal.shape == (len(frames),)
        assert not scene.abnormal[:8].any()
        np.testing.assert_array_equal(scene.masks.any(axis=(1, 2)), scene.abnormal)


def test_a_seed_decides_everything(clips: list[Clip], scenes: list[SyntheticScene]) -> None:
    again = list(make_scenes(clips, FPS, scenes_a_kind=2))
    for one, other in zip(scenes, again, strict=True):
        np.testing.assert_array_equal(one.clip.frames, other.clip.frames)
        np.testing.assert_array_equal(one.masks, other.masks)
    others = list(make_scenes(clips, FPS, seed=1, scenes_a_kind=2))
    assert any(
        one.clip.frames.shape != other.clip.frames.shape
        or (one.clip.frames != other.clip.frames).any()
        for one, other in zip(scenes, others, strict=True)
    )


def test_the_footage_stays_as_it_was(clips: list[Clip]) -> None:
    before = [clip.frames.copy() for clip in clips]
    list(make_scenes(clips, FPS, scenes_a_kind=1))
    for clip, frames in zip(clips, before, strict=True):
        np.testing.assert_array_equal(clip.frames, frames)


def _find_left(frame: NDArray[np.uint8], rows: slice) -> int:
    """Find the left edge of the dark block in these rows."""
    dark = (frame[rows] < 60).sum(axis=0) > 10
    return int(np.argmax(dark))


def test_replays_keep_pictures_and_change_their_order(clips: list[Clip]) -> None:
    originals = {frame.tobytes() for clip in clips for frame in clip.frames}
    made = list(make_scenes(clips, FPS, seed=3, scenes_a_kind=2, normal_paste_share=0.0))
    replayed = _pick(made, SyntheticKind.REVERSED) + _pick(made, SyntheticKind.ACCELERATED)
    assert len(replayed) == 4
    steps: dict[SyntheticKind, set[int]] = {}
    for scene in replayed:
        first = int(np.argmax(scene.abnormal))
        frames = scene.clip.frames
        assert all(frame.tobytes() in originals for frame in frames[first:])
        lefts = [_find_left(frame, slice(20, 40)) for frame in frames[first:]]
        steps.setdefault(scene.kind, set()).update(np.diff(lefts).tolist())
    assert -1 in steps[SyntheticKind.REVERSED]
    assert 1 not in steps[SyntheticKind.REVERSED]
    assert steps[SyntheticKind.ACCELERATED] & {2, 3}
    assert 1 not in steps[SyntheticKind.ACCELERATED]


def test_what_stopped_stays_where_it_is(scenes: list[SyntheticScene]) -> None:
    for scene in _pick(scenes, SyntheticKind.STOPPED):
        shown = scene.masks[scene.abnormal]
        assert (shown == shown[0]).all()
        inside = scene.clip.frames[scene.abnormal][:, shown[0]].astype(int)
        assert np.abs(np.diff(inside, axis=0)).max() < 40


def test_what_lies_is_wider_than_high_and_still(scenes: list[SyntheticScene]) -> None:
    for scene in _pick(scenes, SyntheticKind.LYING):
        last = scene.masks[scene.abnormal][-1]
        rows, columns = np.nonzero(last)
        assert np.ptp(columns) > np.ptp(rows)
        np.testing.assert_array_equal(last, scene.masks[scene.abnormal][-5])


def test_only_strangers_and_smoke_are_made_where_nothing_moves() -> None:
    still = np.full((60, SIZE, SIZE), 120, np.uint8)
    made = list(make_scenes([Clip("still", still)], FPS, scenes_a_kind=2))
    assert {scene.kind for scene in made} == {SyntheticKind.STRANGER, SyntheticKind.SMOKE}
    for scene in made:
        np.testing.assert_array_equal(scene.clip.frames[0], still[0])
        changed = (scene.clip.frames != 120)[scene.abnormal]
        assert (changed & scene.masks[scene.abnormal]).sum() > 0.5 * scene.masks.sum()


def test_short_footage_gives_no_scene() -> None:
    assert not list(make_scenes([draw_walkers("short", 20, 0)], FPS))


def test_colour_footage_gives_colour_scenes_and_takes_grey_strangers(clips: list[Clip]) -> None:
    found = ThingFinder(clips).find(np.random.default_rng(0), 8)
    assert found is not None
    footage = [draw_walkers("c", 80, 2, colours=True)]
    made = list(make_scenes(footage, FPS, scenes_a_kind=1, strangers=[found[1]]))
    assert SyntheticKind.STRANGER in {scene.kind for scene in made}
    assert all(scene.clip.frames.shape[-1] == 3 for scene in made)


def test_a_followed_thing_moves_as_it_was_drawn(clips: list[Clip]) -> None:
    found = ThingFinder(clips).find(np.random.default_rng(0), 8)
    assert found is not None
    cutout, thing = found
    assert thing.side == pytest.approx(20, abs=3)
    inside = np.diff(np.array(thing.centres), axis=0)[2:6]
    np.testing.assert_allclose(inside, [[1.0, 0.0]] * 4, atol=0.51)
    assert cutout.height > cutout.width
