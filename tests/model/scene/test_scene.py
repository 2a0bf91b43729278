"""A camera's scene: changes of the light, covered and turned cameras, and what is neither."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from model.detect.camera_state import STATE_MAGIC, CameraState
from model.detect.detector import Detector
from model.detect.observation import CameraOptions, Observation, Withheld
from model.network.network_config import NetConfig
from model.scene.features import SIDE, extract
from model.scene.relighting import estimate_relighting
from model.scene.scene import Scene, count_saved_bytes
from model.scene.scene_features import extract_scene_features
from model.scene.scene_phases import Cut, Phase
from model.scene.scene_rules import SceneRules
from tests.model.stills import (
    SIZE,
    STILL,
    Drawn,
    Frame,
    draw_scene,
    list_changes,
    list_scored,
    make_settled_scene,
    read_all,
    shoot,
    shoot_still,
)
from tests.support.bundles import small_bundle


def _film_infrared(picture: Drawn) -> Drawn:
    return np.asarray(255.0 * (0.2 + 0.7 * (1.0 - picture / 255.0) ** 0.7), np.float32)


def _dim(picture: Drawn) -> Drawn:
    """Dim by place: were it the same everywhere, it would be the camera's exposure."""
    return picture * np.linspace(0.35, 0.85, picture.shape[1], dtype=np.float32)


@pytest.mark.parametrize("light", [_dim, _film_infrared], ids=["lights off", "infrared"])
def test_a_step_of_the_light_is_found_on_its_frame_and_reported_once(
    light: Callable[[Drawn], Drawn],
) -> None:
    readings = read_all(make_settled_scene(), shoot_still(light(draw_scene()), 60))
    (reason,) = list_changes(readings)
    assert readings[0].change is not None and readings[0].cut
    assert reason.startswith("the light changed: ") and " → " in reason
    scored = list_scored(readings)
    assert scored == sorted(scored)
    assert SceneRules().rewarm_frames <= scored.count(False) < 55


def test_a_picture_is_turned_into_the_known_light_and_left_alone_when_that_is_back() -> None:
    scene = make_settled_scene()
    read_all(scene, shoot_still(_film_infrared(draw_scene()), 60))
    assert scene.relighting is not None
    (frame,) = shoot_still(_film_infrared(draw_scene()), 1)
    assert float(np.abs(scene.relighting.apply(frame).astype(float) - draw_scene()).mean()) < 6.0
    read_all(scene, shoot_still(draw_scene(), 60))
    assert scene.relighting is None


def test_a_cloud_that_comes_over_seconds_is_a_change_until_it_stands_still() -> None:
    drawn = draw_scene()
    fade = [drawn + np.float32(step / 30.0) * (_dim(drawn) - drawn) for step in range(31)]
    readings = read_all(make_settled_scene(), shoot(fade + [fade[-1]] * 90))
    assert len(list_changes(readings)) == 1
    first = list_scored(readings).index(False)
    assert first <= 20
    assert not any(list_scored(readings[first : 30 + SceneRules().rewarm_frames]))
    assert readings[-1].phase.has_scores


def test_dusk_is_followed_in_steps() -> None:
    drawn = draw_scene()
    dusk = [drawn + np.float32(step / 300.0) * (_dim(drawn) - drawn) for step in range(300)]
    readings = read_all(make_settled_scene(), shoot(dusk))
    changes = list_changes(readings)
    assert 2 <= len(changes) <= 10
    assert all(change.startswith("the light drifted: ") for change in changes)
    assert all(reading.phase is not Phase.UNFIT for reading in readings)


def test_a_light_that_drifts_back_is_known_again_though_the_last_step_is_small() -> None:
    scene = make_settled_scene()
    drawn = draw_scene()
    slope = np.linspace(0.76, 1.0, SIZE, dtype=np.float32)
    read_all(scene, shoot_still(slope * drawn, 60))
    assert scene.relighting is not None
    back = [(slope + np.float32(step / 200.0) * (1 - slope)) * drawn for step in range(201)]
    readings = read_all(scene, shoot(back + [back[-1]] * 60))
    assert "what it was first" in list_changes(readings)[-1]
    assert scene.relighting is None and readings[-1].phase.has_scores


def test_small_changes_of_the_light_are_none() -> None:
    drawn = draw_scene()
    swaying = [drawn * np.float32(1.0 + 0.03 * np.sin(step / 8.0)) for step in range(150)]
    assert all(list_scored(read_all(make_settled_scene(), shoot(swaying))))


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
    standing = shoot_still(passing[40], 60)
    readings = read_all(
        make_settled_scene(), [*shoot(passing[:41]), *standing, *shoot(passing[41:])]
    )
    assert all(list_scored(readings))


def test_a_covered_camera_is_reported_until_it_is_uncovered() -> None:
    scene = make_settled_scene()
    cover = np.full((SIZE, SIZE), 45.0, np.float32)
    readings = read_all(scene, [*shoot_still(cover, 50), *shoot_still(draw_scene(), 60)])
    last = SceneRules().obscured_frames
    assert all(reading.phase is Phase.UNFIT for reading in readings[:50])
    assert [bool(reading.obscured) for reading in readings] == [
        last - 1 <= index < 50 for index in range(110)
    ]
    assert "covered, or without light" in readings[49].obscured
    assert readings[50].cut and readings[-1].phase.has_scores
    assert not list_changes(readings)


def test_a_turned_camera_is_reported_and_its_scene_is_adopted_in_the_end() -> None:
    rules = replace(SceneRules(), adopt_frames=200)
    readings = read_all(make_settled_scene(rules), shoot_still(draw_scene(seed=5), 300))
    assert "turned, or blocked" in readings[100].obscured
    (reason,) = list_changes(readings)
    assert readings[199].change is not None and "is the scene now" in reason
    assert not readings[200].obscured and readings[-1].phase.has_scores


def test_a_dark_night_is_not_a_covered_camera() -> None:
    readings = read_all(
        make_settled_scene(), shoot_still(draw_scene() * np.float32(0.06), 200, noise=3.0)
    )
    assert len(list_changes(readings)) == 1
    assert not any(reading.obscured for reading in readings)
    assert readings[-1].phase.has_scores


def test_pictures_without_lasting_edges_are_never_obscured() -> None:
    random = np.random.default_rng(3)
    frames = [random.integers(0, 200, (SIZE, SIZE), dtype=np.uint8) for _ in range(200)]
    assert all(
        reading.phase is not Phase.UNFIT for reading in read_all(Scene(SceneRules()), frames)
    )


def test_a_cut_alone_is_no_change_and_other_light_after_one_is() -> None:
    scene = make_settled_scene()
    scene.cut()
    assert all(list_scored(read_all(scene, shoot_still(draw_scene(), 40))))
    scene.cut()
    readings = read_all(scene, shoot_still(_dim(draw_scene()), 40))
    assert readings[0].change is not None


def test_a_cut_while_the_light_is_being_measured_starts_that_again() -> None:
    scene = make_settled_scene()
    readings = read_all(scene, shoot_still(_dim(draw_scene()), 30))
    assert not readings[-1].phase.has_scores
    scene.cut()
    readings = read_all(scene, shoot_still(_dim(draw_scene()), 60))
    assert list_scored(readings) == [False] * 40 + [True] * 20
    assert [reading.cut for reading in readings].index(Cut.RELIT) == SceneRules().light_frames - 1


def test_light_that_never_settles_withholds_scores_for_so_long_only() -> None:
    rules = replace(SceneRules(), longest_rewarm_frames=50)
    scene = make_settled_scene(rules)
    flicker = [(draw_scene() if step % 8 < 4 else _dim(draw_scene())) for step in range(300)]
    readings = read_all(scene, shoot(flicker))
    first = list_scored(readings).index(False)
    assert list_scored(readings)[first:] == [False] * 50 + [True] * (250 - first)
    assert not any(reading.cut for reading in readings[first + 50 :])
    other = Scene(rules)
    other.restore(scene.dump_numbers(), scene.dump_arrays())
    assert other.dump_numbers() == scene.dump_numbers()
    # Steady at last, in other light: it is measured, and frames are relit.
    readings = read_all(scene, shoot_still(_dim(draw_scene()), 120))
    (reason,) = list_changes(readings)
    assert reason.startswith("the light has come to rest") and scene.relighting is not None
    assert readings[-1].phase.has_scores


def test_nothing_of_a_saved_scene_is_lost() -> None:
    scene, other = make_settled_scene(), Scene(SceneRules())
    read_all(scene, shoot_still(_dim(draw_scene()), 60))
    other.restore(scene.dump_numbers(), scene.dump_arrays())
    assert (other.dump_numbers(), other.dump_arrays()) == (
        scene.dump_numbers(),
        scene.dump_arrays(),
    )
    scene.cut()
    for frame in shoot_still(_dim(draw_scene()), 5):
        thumb = extract(frame).thumb
        ours, theirs = scene.read(thumb).evidence, other.read(thumb).evidence
        assert ours.fitting == theirs.fitting
    readings = read_all(other, shoot_still(draw_scene(), 40))
    assert readings[0].change is not None
    assert other.relighting is None


def test_a_damaged_saved_scene_is_refused() -> None:
    scene = make_settled_scene()
    numbers, arrays = scene.dump_numbers(), scene.dump_arrays()
    with pytest.raises(ValueError, match="bytes"):
        scene.restore(numbers, arrays[:-4])
    with pytest.raises(ValueError, match="finite"):
        scene.restore(numbers, b"\xff" * len(arrays))
    with pytest.raises(ValueError, match="below 0"):
        scene.restore(numbers | {"seen": -1}, arrays)
    assert scene.dump_arrays() == arrays


def test_the_light_is_undone_by_a_curve_and_by_place() -> None:
    drawn = draw_scene(size=256)
    known = extract_scene_features(extract(shoot_still(drawn, 1)[0]).thumb, contrast=0.35).grey
    slope = np.linspace(0.7, 1.3, 256, dtype=np.float32)
    (dim,) = shoot_still(drawn * slope * np.float32(0.8), 1)
    now = extract_scene_features(extract(dim).thumb, contrast=0.35).grey
    assert known.shape == (SIDE, SIDE)
    relighting = estimate_relighting(now, known)
    relit = relighting.apply(dim)
    assert float(np.abs(relit.astype(float) - drawn).mean()) < 8.0
    assert float(np.abs(dim.astype(float) - drawn).mean()) > 20.0
    colour = np.asarray(cv2.merge([dim, dim, dim]), np.uint8)
    assert (relighting.apply(colour)[..., 1] == relit).all()


NET = NetConfig(base_width=2, height=64, width=64)


def _observe(
    detector: Detector, camera: CameraState, frames: Iterable[Frame], *, watched: bool = True
) -> list[Observation]:
    options = [CameraOptions(watch_scene=watched)]
    return [detector.observe([camera], [frame], options)[0] for frame in frames]


def test_a_detector_gives_no_score_across_a_change_and_goes_on_with_its_memory() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    drawn = draw_scene(size=64)
    before = _observe(detector, camera, shoot_still(drawn, STILL))
    assert all(each.score is not None for each in before[4:])
    seen = _observe(detector, camera, shoot_still(_dim(drawn), 60))
    assert seen[0].scene is not None and [each.scene for each in seen[1:]] == [None] * 59
    warming = [each.warming for each in seen]
    assert warming == [True] * warming.count(True) + [False] * warming.count(False)
    assert {each.withheld for each in seen} == {Withheld.CHANGED, None}
    assert not any(each.memory_updated for each in seen if each.warming)
    assert seen[-1].score == pytest.approx(before[-1].score, abs=0.1)


def test_a_light_that_never_settles_is_scored_by_ranges_of_its_own() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    drawn = draw_scene(size=64)
    _observe(detector, camera, shoot_still(drawn, STILL))
    flicker = [drawn if step % 6 < 3 else _dim(drawn) for step in range(400)]
    seen = _observe(detector, camera, shoot(flicker))
    assert sum(not each.warming for each in seen) > 80
    assert _has_other_ranges(camera)
    _observe(detector, camera, shoot_still(drawn, 120))
    assert not _has_other_ranges(camera)


def _has_other_ranges(camera: CameraState) -> bool:
    """Return whether ranges of the known light are kept next to the present ones."""
    assert camera.scorer is not None
    return any(name.startswith("first low") for name in camera.scorer.to_numbers())


def test_a_detector_that_does_not_watch_scores_every_frame() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    drawn = draw_scene(size=64)
    frames = [*shoot_still(drawn, STILL), *shoot_still(_dim(drawn), 10)]
    seen = _observe(detector, camera, frames, watched=False)
    assert not any(each.warming or each.scene for each in seen[4:])


def test_a_covered_camera_has_no_scores_and_says_why() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    _observe(detector, camera, shoot_still(draw_scene(size=64), STILL))
    seen = _observe(detector, camera, shoot_still(np.full((64, 64), 45.0, np.float32), 50))
    assert all(each.withheld is Withheld.UNFIT and each.score is None for each in seen)
    assert seen[-1].obscured and seen[-1].measures is not None


def test_a_change_on_a_frame_without_a_score_is_reported_with_the_next() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    drawn = draw_scene(size=64)
    _observe(detector, camera, shoot_still(drawn, STILL))
    first, second = shoot_still(_dim(drawn), 2)
    camera.append_unscored(first, extract(first))
    (seen,) = _observe(detector, camera, [second])
    assert seen.scene is not None and "the light changed" in seen.scene.reason


def test_a_saved_camera_keeps_its_light() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    drawn = draw_scene(size=64)
    _observe(detector, camera, [*shoot_still(drawn, STILL), *shoot_still(_dim(drawn), 60)])
    restored = detector.restore(camera.save())
    assert restored.save() == camera.save()
    assert restored.scene.relighting is not None


def test_a_camera_that_was_saved_before_scenes_were_begins_one() -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    _observe(detector, camera, shoot_still(draw_scene(size=64), STILL))
    old = _drop_scene(camera.without_frames().save())
    restored = detector.restore(old)
    assert restored.scene.dump_numbers()["seen"] == 0
    assert restored.scorer is not None and camera.scorer is not None
    assert restored.scorer.to_numbers() == camera.scorer.to_numbers()


def _drop_scene(saved: bytes) -> bytes:
    """Return the camera as an older version would have saved it."""
    start = len(STATE_MAGIC) + 4
    (length,) = struct.unpack_from("<I", saved, len(STATE_MAGIC))
    header = json.loads(saved[start : start + length])
    relit = bool(header.pop("scene")["relit"])
    text = json.dumps(header, sort_keys=True).encode()
    body = saved[start + length : len(saved) - count_saved_bytes(relit=relit)]
    return STATE_MAGIC + struct.pack("<I", len(text)) + text + body
