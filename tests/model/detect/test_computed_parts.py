"""The detector runs the network on the part of a picture that changes, and on all of it in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.detect.camera_state import CameraState
from model.detect.detector import Detector
from model.detect.observation import CameraOptions, Observation
from model.engines.engine import EngineOutput
from model.engines.names import EngineName
from model.engines.torch_engine import TorchEngine
from model.frames import Frame
from model.network import memory_updates as updates
from model.network.network_config import NetConfig
from model.network.update_rules import LIVE_UPDATE
from model.scene.exposure import Exposure
from model.scene.features import extract
from model.scene.light import Light
from model.scene.relighting import Relighting
from model.scene.scene_phases import Phase, SceneReading
from model.scene.stillness import REFRESH_S
from model.scoring.zones import ZoneMask, build_zone_mask
from tests.model.engines.programs import lively_bundle

NET = NetConfig(base_width=4, height=128, width=128, judges=True)
FPS = 10.0
OPTIONS = CameraOptions(update=LIVE_UPDATE, skip_still=True)
WHOLE = replace(OPTIONS, skip_still=False)
NEAR = 0.02
"""Of a score, and of other measures in [0, 1]: an untrained network sees farther than its margin,
and keeps what a place gave when it was computed."""


def footage(count: int, moves: range = range(0), seed: int = 3) -> list[Frame]:
    """A room with a little noise; in some frames a small thing moves back and forth in it."""
    random = np.random.default_rng(seed)
    room = np.full((NET.height, NET.width), 90, np.int16)
    room[20:90, 10:100] = 140
    frames = []
    for number in range(count):
        frame = room + random.integers(-1, 2, room.shape)
        if number in moves:
            place = 30 + abs(number % 20 - 10)
            frame[60:72, place : place + 8] = 230
        frames.append(frame.astype(np.uint8))
    return frames


def detector(engine: EngineName = EngineName.TORCH_FP32) -> Detector:
    return Detector(lively_bundle(NET), engine=engine)


def show(
    made: Detector,
    camera: CameraState,
    frames: list[Frame],
    options: CameraOptions = OPTIONS,
    first: int = 0,
) -> list[Observation]:
    return [
        made.observe([camera], [frame], [options], [extract(frame, number / FPS)])[0]
        for number, frame in enumerate(frames, first)
    ]


def marks(seen: list[Observation]) -> str:
    """s: still, p: a part, w: the whole."""
    return "".join("s" if one.still else "w" if one.computed == 1.0 else "p" for one in seen)


MOVES = range(60, 160)


@pytest.mark.parametrize("engine", [EngineName.TORCH_FP32, EngineName.OPENVINO_FP32])
def test_a_small_thing_that_moves_scores_as_if_all_was_computed(engine: EngineName) -> None:
    made, frames = detector(engine), footage(180, MOVES)
    seen = show(made, made.start(), frames)
    full = show(made, made.start(), frames, WHOLE)
    assert set(marks(full[4:])) == {"w"}
    moving = slice(MOVES.start, MOVES.stop)
    assert marks(seen[moving]).count("p") >= 80
    assert "s" not in marks(seen[moving])
    assert {0.25, 0.5} & {each.computed for each in seen[moving]}
    for mine, theirs in zip(seen[moving], full[moving], strict=True):
        assert mine.score == pytest.approx(theirs.score, abs=NEAR)
        assert mine.distance == pytest.approx(theirs.distance, abs=NEAR)
        assert mine.psnr == pytest.approx(theirs.psnr, abs=0.3)
        assert mine.gate_error == pytest.approx(theirs.gate_error, rel=0.05)
        assert mine.heat is not None and theirs.heat is not None
        assert np.abs(mine.heat - theirs.heat).max() < 0.1 * max(1.0, theirs.heat.max())
    # What moves is seen: it scores otherwise than the empty room.
    assert full[100].psnr != pytest.approx(full[59].psnr, abs=0.3)


def test_the_whole_is_computed_once_in_a_while() -> None:
    made = detector()
    seen = show(made, made.start(), footage(180, MOVES))
    moving = marks(seen[MOVES.start : MOVES.stop])
    assert max(map(len, moving.split("w"))) == round(REFRESH_S * FPS) - 1
    assert moving.count("w") >= len(moving) / (REFRESH_S * FPS) - 1


def test_after_a_cut_the_whole_is_computed_and_nothing_is_kept() -> None:
    made = detector()
    camera = made.start()
    frames = footage(120, MOVES)
    show(made, camera, frames[:100])
    assert camera.last_result is not None
    assert camera.last_result.kept is not None
    camera.cut()
    assert camera.last_result is None
    seen = show(made, camera, frames[100:], first=100)
    assert [each.computed for each in seen[:4]] == [0.0] * 4  # too few frames
    assert marks(seen[4:5]) == "w"
    assert "p" in marks(seen[6:])


def test_other_options_have_the_whole_computed() -> None:
    made = detector()
    camera = made.start()
    frames = footage(110, MOVES)
    assert marks(show(made, camera, frames[:105]))[-3:].count("p") >= 2
    (seen,) = show(made, camera, frames[105:106], replace(OPTIONS, threshold=0.3), first=105)
    assert seen.computed == 1.0


def test_frames_that_nothing_may_be_skipped_of_are_computed_as_a_whole() -> None:
    made = detector()
    camera = made.start()
    frames = footage(120, MOVES)
    show(made, camera, frames[:100])
    assert marks(show(made, camera, frames[100:102], WHOLE, first=100)) == "ww"
    assert camera.last_result is None
    assert marks(show(made, camera, frames[102:104], first=102)) == "ww"


def _brighten(reading: SceneReading) -> SceneReading:
    frame = replace(reading.evidence.frame, exposure=Exposure(0.2, 1.0, 4.0))
    return replace(reading, evidence=replace(reading.evidence, frame=frame))


LIGHTS: dict[str, Callable[[SceneReading], SceneReading]] = {
    "unsteady": lambda reading: replace(reading, phase=Phase.CHANGED),
    "a restless light": lambda reading: replace(reading, phase=Phase.RESTLESS),
    "brighter": _brighten,
}


@pytest.mark.parametrize("change_light", LIGHTS.values(), ids=LIGHTS)
def test_a_frame_in_another_light_is_computed_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, change_light: Callable[[SceneReading], SceneReading]
) -> None:
    made = detector()
    camera = made.start()
    frames = footage(120, MOVES)
    before = marks(show(made, camera, frames[:101]))
    at = 101 if before[-1] == "p" else 102
    show(made, camera, frames[101:at], first=101)
    read = camera.scene.read

    with monkeypatch.context() as patch:
        patch.setattr(camera.scene, "read", lambda thumb: change_light(read(thumb)))
        (seen,) = show(made, camera, frames[at : at + 1], first=at)
        assert seen.computed == 1.0
    # Nor is a part computed before the window holds one light again.
    after = marks(show(made, camera, frames[at + 1 : at + 10], first=at + 1))
    assert after[0] == "w"


def test_an_exposure_that_differs_by_a_grey_level_is_no_other_light() -> None:
    level = np.log1p(0.02 + 1.0 / 300.0)  # beyond what is left alone
    one, other = Light(Exposure(0.0, 1.0, 4.0)), Light(Exposure(float(level), 1.0, 4.0))
    assert one.is_near(other)
    assert one.is_near(Light())
    assert not one.is_near(Light(Exposure(0.1, 1.0, 4.0)))
    tones, gains = np.arange(256, dtype=np.uint8), np.ones((16, 16), np.float32)
    relit = Relighting(tones, gains)
    assert not Light(relighting=relit).is_near(Light())
    assert not Light(relighting=relit).is_near(Light(relighting=Relighting(tones, gains)))
    assert Light(relighting=relit).is_near(Light(relighting=relit))


def test_a_batch_of_still_and_whole_and_partly_computed_cameras() -> None:
    made = detector()
    clips = [
        footage(120),
        footage(120, range(120)),
        [np.roll(frame, 40, axis=0) for frame in footage(120, MOVES)],
        footage(120, range(0, 120, 2), seed=5),
    ]
    options = [OPTIONS, OPTIONS, OPTIONS, WHOLE]
    alone = [
        show(made, made.start(), clip, each) for clip, each in zip(clips, options, strict=True)
    ]
    cameras = [made.start() for _ in clips]
    together: list[list[Observation]] = []
    for number, frames in enumerate(zip(*clips, strict=True)):
        features = [extract(frame, number / FPS) for frame in frames]
        together.append(made.observe(cameras, frames, options, features))
    kinds = {"".join(marks([each]) for each in row) for row in together[60:]}
    assert any(len(set(kind)) == 3 for kind in kinds)
    for camera, seen in enumerate(alone):
        mine = [row[camera] for row in together]
        assert marks(mine) == marks(seen)
        assert [each.computed for each in mine] == [each.computed for each in seen]
        for one, other in zip(mine[4:], seen[4:], strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-3)


def zone() -> ZoneMask:
    """The left half of the picture, in which the thing moves."""
    half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    part = build_zone_mask([half], [], NET.height, NET.width)
    assert part is not None
    return part


def test_a_camera_with_zones_is_measured_on_the_composite() -> None:
    made, frames = detector(), footage(130, MOVES)
    chosen = replace(OPTIONS, watched=zone())
    seen = show(made, made.start(), frames, chosen)
    full = show(made, made.start(), frames, replace(chosen, skip_still=False))
    assert "p" in marks(seen)
    for mine, theirs in zip(seen[60:], full[60:], strict=True):
        assert mine.score == pytest.approx(theirs.score, abs=NEAR)
        assert mine.heat is not None
        assert not mine.heat[:, mine.heat.shape[1] // 2 + 2 :].any()


def test_the_memory_learns_from_the_queries_of_the_whole_composite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = detector()
    camera = made.start()
    frames = footage(110, MOVES)
    show(made, camera, frames[:100])
    given: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    learn = updates.learn_items

    def noted(queries: torch.Tensor, *args: object) -> list[torch.Tensor | None]:
        given.append(queries.numpy().copy())
        return learn(queries, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(updates, "learn_items", noted)
    seen = show(made, camera, frames[100:], first=100)
    parts = [number for number, each in enumerate(seen) if number and each.computed < 1.0]
    assert parts
    for number in parts:
        alike = (given[number] == given[number - 1]).all(axis=2)
        assert alike.shape == (1, NET.queries)
        # Those of the part are new, those outside of it are what they were.
        assert 0.5 < alike.mean() < 0.95
        assert seen[number].memory_updated


def test_after_a_failure_the_whole_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = detector()
    camera = made.start()
    frames = footage(120, MOVES)
    show(made, camera, frames[:101])
    held = len(camera.frames)

    def broken(*_: object) -> EngineOutput:
        raise RuntimeError("no more memory")

    with monkeypatch.context() as patch:
        patch.setattr(TorchEngine, "_compose", broken)
        with pytest.raises(RuntimeError, match="memory"):
            show(made, camera, frames[101:102], first=101)
    assert len(camera.frames) == held
    assert marks(show(made, camera, frames[101:102], first=101)) == "w"


def test_a_restored_camera_computes_the_whole_first() -> None:
    made = detector()
    camera = made.start()
    frames = footage(120, MOVES)
    show(made, camera, frames[:101])
    restored = made.restore(camera.save())
    assert marks(show(made, restored, frames[101:104], first=101)) == "www"
