"""A camera's scene: what is a change of the light, what covers or turns it, and what is neither."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from model.camera_state import STATE_MAGIC, CameraState
from model.config import NetConfig
from model.detector import Detector
from model.looks import SIDE, reduced
from model.observation import CameraOptions, Observation
from model.relighting import relighting
from model.scene import Scene, saved_size
from model.scene_rules import SceneRules
from tests.model.stills import (
    SIZE,
    STILL,
    Drawn,
    Frame,
    changes_in,
    draw_scene,
    look_at,
    settled,
    shot,
    still,
)
from tests.support.bundles import small_bundle


def _infrared(picture: Drawn) -> Drawn:
    return np.asarray(255.0 * (0.2 + 0.7 * (1.0 - picture / 255.0) ** 0.7), np.float32)


def _dimmed(picture: Drawn) -> Drawn:
    """By place: the whole alike would be the camera's exposure."""
    return picture * np.linspace(0.35, 0.85, picture.shape[1], dtype=np.float32)


@pytest.mark.parametrize("light", [_dimmed, _infrared], ids=["lights off", "infrared"])
def test_a_step_of_the_light_is_found_on_its_frame_and_told_once(
    light: Callable[[Drawn], Drawn],
) -> None:
    looks = look_at(settled(), still(light(draw_scene()), 60))
    (reason,) = changes_in(looks)
    assert looks[0].change is not None and looks[0].cut
    assert reason.startswith("the light changed: ") and " → " in reason
    quiet = [look.quiet for look in looks]
    assert quiet == [True] * quiet.count(True) + [False] * quiet.count(False)
    assert SceneRules().rewarm_frames <= quiet.count(True) < 55


def test_a_picture_is_shown_in_the_light_that_was_known_and_left_alone_when_that_is_back() -> None:
    scene = settled()
    look_at(scene, still(_infrared(draw_scene()), 60))
    assert scene.relighting is not None
    (frame,) = still(_infrared(draw_scene()), 1)
    assert float(np.abs(scene.relighting(frame).astype(float) - draw_scene()).mean()) < 6.0
    look_at(scene, still(draw_scene(), 60))
    assert scene.relighting is None


def test_a_cloud_that_comes_over_seconds_is_a_change_until_it_stands_still() -> None:
    drawn = draw_scene()
    fade = [drawn + np.float32(step / 30.0) * (_dimmed(drawn) - drawn) for step in range(31)]
    looks = look_at(settled(), shot(fade + [fade[-1]] * 90))
    assert len(changes_in(looks)) == 1
    first = next(index for index, look in enumerate(looks) if look.quiet)
    assert first <= 20
    assert all(look.quiet for look in looks[first : 30 + SceneRules().rewarm_frames])
    assert not looks[-1].quiet


def test_dusk_is_followed_in_steps() -> None:
    drawn = draw_scene()
    dusk = [drawn + np.float32(step / 300.0) * (_dimmed(drawn) - drawn) for step in range(300)]
    looks = look_at(settled(), shot(dusk))
    changes = changes_in(looks)
    assert 2 <= len(changes) <= 10
    assert all(change.startswith("the light drifted: ") for change in changes)
    assert not any(look.unfit for look in looks)


def test_a_light_that_drifts_back_is_known_again_though_the_last_step_is_small() -> None:
    scene = settled()
    drawn = draw_scene()
    slope = np.linspace(0.76, 1.0, SIZE, dtype=np.float32)
    look_at(scene, still(slope * drawn, 60))
    assert scene.relighting is not None
    back = [(slope + np.float32(step / 200.0) * (1 - slope)) * drawn for step in range(201)]
    looks = look_at(scene, shot(back + [back[-1]] * 60))
    assert "what it was first" in changes_in(looks)[-1]
    assert scene.relighting is None and not looks[-1].quiet


def test_small_changes_of_the_light_are_none() -> None:
    drawn = draw_scene()
    swaying = [drawn * np.float32(1.0 + 0.03 * np.sin(step / 8.0)) for step in range(150)]
    assert not any(look.quiet for look in look_at(settled(), shot(swaying)))


def test_a_lorry_near_the_camera_is_neither_light_nor_cover() -> None:
    drawn = draw_scene()
    lorry = draw_scene(seed=9)[:, : int(0.6 * SIZE)] * np.float32(1.3)
    passing = []
    for step in range(100):
        picture = drawn.copy()
        at = 3 * step - lorry.shape[1]
        left, right = max(0, at), min(SIZE, at + lorry.shape[1])
        if right > left:
            picture[:, left:right] = lorry[:, left - at : right - at]
        passing.append(picture)
    standing = still(passing[40], 60)
    looks = look_at(settled(), [*shot(passing[:41]), *standing, *shot(passing[41:])])
    assert not any(look.quiet for look in looks)


def test_a_covered_camera_is_told_of_and_ends_by_itself() -> None:
    scene = settled()
    cover = np.full((SIZE, SIZE), 45.0, np.float32)
    looks = look_at(scene, [*still(cover, 50), *still(draw_scene(), 60)])
    last = SceneRules().obscured_frames
    assert all(look.quiet and look.unfit for look in looks[:50])
    assert [bool(look.obscured) for look in looks] == [
        last - 1 <= index < 50 for index in range(110)
    ]
    assert "covered, or without light" in looks[49].obscured
    assert looks[50].cut and not looks[-1].quiet
    assert not changes_in(looks)


def test_a_turned_camera_is_told_of_and_its_scene_is_taken_in_the_end() -> None:
    rules = replace(SceneRules(), adopt_frames=200)
    looks = look_at(settled(rules), still(draw_scene(seed=5), 300))
    assert "turned, or blocked" in looks[100].obscured
    (reason,) = changes_in(looks)
    assert looks[199].change is not None and "is the scene now" in reason
    assert not looks[200].obscured and not looks[-1].quiet


def test_a_dark_night_is_not_a_covered_camera() -> None:
    looks = look_at(settled(), still(draw_scene() * np.float32(0.06), 200, noise=3.0))
    assert len(changes_in(looks)) == 1
    assert not any(look.obscured for look in looks)
    assert not looks[-1].quiet


def test_pictures_without_lasting_edges_are_never_obscured() -> None:
    random = np.random.default_rng(3)
    frames = [random.integers(0, 200, (SIZE, SIZE), dtype=np.uint8) for _ in range(200)]
    assert not any(look.unfit for look in look_at(Scene(SceneRules()), frames))


def test_a_cut_alone_is_no_change_and_other_light_after_one_is() -> None:
    scene = settled()
    scene.cut()
    assert not any(look.quiet for look in look_at(scene, still(draw_scene(), 40)))
    scene.cut()
    looks = look_at(scene, still(_dimmed(draw_scene()), 40))
    assert looks[0].change is not None


def test_a_cut_while_the_light_is_being_found_begins_that_anew() -> None:
    scene = settled()
    looks = look_at(scene, still(_dimmed(draw_scene()), 30))
    assert looks[-1].quiet
    scene.cut()
    looks = look_at(scene, still(_dimmed(draw_scene()), 60))
    assert [look.quiet for look in looks] == [index < 40 for index in range(60)]
    assert [look.relit for look in looks].index(True) == SceneRules().light_frames - 1


def test_light_that_never_settles_withholds_scores_for_so_long_only() -> None:
    rules = replace(SceneRules(), longest_rewarm_frames=50)
    scene = settled(rules)
    flicker = [(draw_scene() if step % 8 < 4 else _dimmed(draw_scene())) for step in range(300)]
    looks = look_at(scene, shot(flicker))
    first = next(index for index, look in enumerate(looks) if look.quiet)
    assert [index for index, look in enumerate(looks) if look.quiet] == list(
        range(first, first + 50)
    )
    assert not any(look.cut for look in looks[first + 50 :])
    other = Scene(rules)
    other.restore(scene.numbers(), scene.arrays())
    assert other.numbers() == scene.numbers()
    # Steady at last, in other light: that is found, and shown in the known one.
    looks = look_at(scene, still(_dimmed(draw_scene()), 120))
    (reason,) = changes_in(looks)
    assert reason.startswith("the light has come to rest") and scene.relighting is not None
    assert not looks[-1].quiet


def test_nothing_of_a_saved_scene_is_lost() -> None:
    scene, other = settled(), Scene(SceneRules())
    look_at(scene, still(_dimmed(draw_scene()), 60))
    other.restore(scene.numbers(), scene.arrays())
    assert (other.numbers(), other.arrays()) == (scene.numbers(), scene.arrays())
    scene.cut()
    for frame in still(_dimmed(draw_scene()), 5):
        assert scene.look(frame).fitting == other.look(frame).fitting
    looks = look_at(other, still(draw_scene(), 40))
    assert looks[0].change is not None
    assert other.relighting is None


def test_a_damaged_saved_scene_is_refused() -> None:
    scene = settled()
    numbers, arrays = scene.numbers(), scene.arrays()
    with pytest.raises(ValueError, match="bytes"):
        scene.restore(numbers, arrays[:-4])
    with pytest.raises(ValueError, match="finite"):
        scene.restore(numbers, b"\xff" * len(arrays))
    with pytest.raises(ValueError, match="below 0"):
        scene.restore(numbers | {"seen": -1}, arrays)
    assert scene.arrays() == arrays


def test_the_light_is_undone_by_a_curve_and_by_place() -> None:
    drawn = draw_scene(size=256)
    known, _, _ = reduced(still(drawn, 1)[0], contrast=0.35)
    slope = np.linspace(0.7, 1.3, 256, dtype=np.float32)
    (dim,) = still(drawn * slope * np.float32(0.8), 1)
    now, _, _ = reduced(dim, contrast=0.35)
    assert known.shape == (SIDE, SIDE)
    shown = relighting(now, known)(dim)
    assert float(np.abs(shown.astype(float) - drawn).mean()) < 8.0
    assert float(np.abs(dim.astype(float) - drawn).mean()) > 20.0
    colour = np.asarray(cv2.merge([dim, dim, dim]), np.uint8)
    assert (relighting(now, known)(colour)[..., 1] == shown).all()


NET = NetConfig(base_width=2, height=64, width=64)


def _observed(
    detector: Detector, camera: CameraState, frames: Iterable[Frame], *, watched: bool = True
) -> list[Observation]:
    options = [CameraOptions(watch_scene=watched)]
    return [detector.observe([camera], [frame], options)[0] for frame in frames]


def test_a_detector_gives_no_score_across_a_change_and_goes_on_with_its_memory() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    drawn = draw_scene(size=64)
    before = _observed(detector, camera, still(drawn, STILL))
    assert all(each.score is not None for each in before[4:])
    seen = _observed(detector, camera, still(_dimmed(drawn), 60))
    assert seen[0].scene is not None and [each.scene for each in seen[1:]] == [None] * 59
    warming = [each.warming for each in seen]
    assert warming == [True] * warming.count(True) + [False] * warming.count(False)
    assert not any(each.memory_updated for each in seen if each.warming)
    assert seen[-1].score == pytest.approx(before[-1].score, abs=0.1)


def test_a_light_that_never_settles_is_scored_by_ranges_of_its_own() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    drawn = draw_scene(size=64)
    _observed(detector, camera, still(drawn, STILL))
    flicker = [drawn if step % 6 < 3 else _dimmed(drawn) for step in range(400)]
    seen = _observed(detector, camera, shot(flicker))
    assert sum(not each.warming for each in seen) > 80
    assert _has_other_ranges(camera)
    _observed(detector, camera, still(drawn, 120))
    assert not _has_other_ranges(camera)


def _has_other_ranges(camera: CameraState) -> bool:
    """Whether those of the known light are kept beside those of now."""
    assert camera.scorer is not None
    return any(name.startswith("known low") for name in camera.scorer.numbers())


def test_a_detector_that_does_not_watch_scores_every_frame() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    drawn = draw_scene(size=64)
    frames = [*still(drawn, STILL), *still(_dimmed(drawn), 10)]
    seen = _observed(detector, camera, frames, watched=False)
    assert not any(each.warming or each.scene for each in seen[4:])


def test_a_covered_camera_has_no_scores_and_says_why() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    _observed(detector, camera, still(draw_scene(size=64), STILL))
    seen = _observed(detector, camera, still(np.full((64, 64), 45.0, np.float32), 50))
    assert all(each.warming and each.score is None for each in seen)
    assert seen[-1].obscured and seen[-1].measures is not None


def test_a_change_on_a_frame_without_a_score_is_told_with_the_next() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    drawn = draw_scene(size=64)
    _observed(detector, camera, still(drawn, STILL))
    first, second = still(_dimmed(drawn), 2)
    camera.take_in(first)
    (seen,) = _observed(detector, camera, [second])
    assert seen.scene is not None and "the light changed" in seen.scene.reason


def test_a_saved_camera_keeps_its_light() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    drawn = draw_scene(size=64)
    _observed(detector, camera, [*still(drawn, STILL), *still(_dimmed(drawn), 60)])
    restored = detector.restore(camera.save())
    assert restored.save() == camera.save()
    assert restored.scene.relighting is not None


def test_a_camera_that_was_saved_before_scenes_were_begins_one() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    _observed(detector, camera, still(draw_scene(size=64), STILL))
    old = _without_scene(camera.without_frames().save())
    restored = detector.restore(old)
    assert restored.scene.numbers()["seen"] == 0
    assert restored.scorer is not None and camera.scorer is not None
    assert restored.scorer.numbers() == camera.scorer.numbers()


def _without_scene(saved: bytes) -> bytes:
    """As an older version would have saved it."""
    start = len(STATE_MAGIC) + 4
    (length,) = struct.unpack_from("<I", saved, len(STATE_MAGIC))
    header = json.loads(saved[start : start + length])
    relit = bool(header.pop("scene")["relit"])
    text = json.dumps(header, sort_keys=True).encode()
    body = saved[start + length : len(saved) - saved_size(relit=relit)]
    return STATE_MAGIC + struct.pack("<I", len(text)) + text + body
