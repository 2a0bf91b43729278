"""The detector skips frames that show what was inferred last, where its bundle allows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.detect.detector import Detector
from model.detect.observation import CameraOptions, Observation
from model.engines.torch_engine import TorchEngine
from model.frames import Frame
from model.network.update_rules import LIVE_UPDATE
from model.scene.features import Features, extract
from model.scene.stillness import YOUNG_FRAMES
from tests.support.bundles import small_bundle

SHAPE = (64, 64)
FPS = 10.0
OPTIONS = CameraOptions(update=LIVE_UPDATE)


def footage(count: int, moves_at: tuple[int, ...] = ()) -> list[Frame]:
    """An empty room with a little noise; a square stands somewhere else in some frames."""
    rng = np.random.default_rng(3)
    room = np.full(SHAPE, 90, np.uint8)
    room[20:40, 10:50] = 140
    frames = []
    for number in range(count):
        frame = (room + rng.integers(-1, 2, SHAPE)).astype(np.uint8)
        if number in moves_at:
            frame[4 : 4 + 12, number % 40 : number % 40 + 12] = 250
        frames.append(frame)
    return frames


def detector(*, skips: bool) -> Detector:
    bundle = small_bundle()
    return Detector(replace(bundle, calibration=replace(bundle.calibration, skips_still=skips)))


def observe(
    made: Detector, frames: list[Frame], options: CameraOptions = OPTIONS
) -> list[Observation]:
    camera = made.start()
    return [
        made.observe([camera], [frame], [options], [extract(frame, number / FPS)])[0]
        for number, frame in enumerate(frames)
    ]


def marks(seen: list[Observation]) -> str:
    return "".join("s" if each.still else "-" if each.warming else "n" for each in seen)


def test_still_frames_take_over_the_measures_and_the_network_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = 0
    run = TorchEngine.run

    def counted(self: TorchEngine, *args: object, **more: object) -> object:
        nonlocal ran
        ran += 1
        return run(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(TorchEngine, "run", counted)
    frames = footage(120)
    seen = observe(detector(skips=True), frames)
    assert marks(seen[:YOUNG_FRAMES]) == "----" + "n" * (YOUNG_FRAMES - 4)
    assert marks(seen).count("s") > 70
    assert ran == marks(seen).count("n")
    full = observe(detector(skips=False), frames)
    assert "s" not in marks(full)
    assert [each.score for each in seen] == pytest.approx([f.score for f in full], abs=0.02)


def test_all_that_moves_scores_as_if_nothing_was_ever_skipped() -> None:
    frames = footage(140, moves_at=tuple(range(90, 110)))
    seen, full = (observe(detector(skips=skips), frames) for skips in (True, False))
    assert "s" in marks(seen[40:90])
    assert marks(seen[90:114]) == "n" * 24
    assert "s" in marks(seen[114:])
    # The memory learned from fewer empty frames: the measures differ by that.
    for mine, theirs in zip(seen[90:114], full[90:114], strict=True):
        assert mine.psnr == pytest.approx(theirs.psnr, abs=0.05)
        assert mine.score == pytest.approx(theirs.score, abs=0.02)


def test_a_still_frame_leaves_the_memory_alone() -> None:
    made = detector(skips=True)
    camera = made.start()
    before = None
    for number, frame in enumerate(footage(100)):
        items = camera.items
        features = extract(frame, number / FPS)
        (seen,) = made.observe([camera], [frame], [OPTIONS], [features])
        if seen.still:
            before = seen
            assert not seen.memory_updated
            assert torch.equal(camera.items, items)
    assert before is not None


def test_other_options_have_the_network_run_again() -> None:
    made = detector(skips=True)
    camera = made.start()
    frames = footage(100)
    for number, frame in enumerate(frames[:-1]):
        made.observe([camera], [frame], [OPTIONS], [extract(frame, number / FPS)])
    other = replace(OPTIONS, threshold=0.3)
    last = extract(frames[-1], 98.5 / FPS)
    assert not made.is_still(camera, last, other)
    (seen,) = made.observe([camera], [frames[-1]], [other], [last])
    assert not seen.still
    assert seen.threshold == 0.3


def test_a_batch_holds_still_and_moving_cameras() -> None:
    made = detector(skips=True)
    quiet, busy = made.start(), made.start()
    frames, moving = footage(100), footage(100, moves_at=tuple(range(100)))
    seen: list[Observation] = []
    for number, pair in enumerate(zip(frames, moving, strict=True)):
        features = [extract(frame, number / FPS) for frame in pair]
        seen += made.observe([quiet, busy], pair, [OPTIONS, OPTIONS], features)
    assert marks(seen[0::2]).count("s") > 50
    assert marks(seen[1::2]).count("s") == 0
    alone = observe(detector(skips=True), moving)
    assert [each.score for each in seen[1::2]] == pytest.approx([each.score for each in alone])


def test_a_saved_camera_infers_first() -> None:
    made = detector(skips=True)
    camera = made.start()
    frames = footage(100)
    for number, frame in enumerate(frames[:-1]):
        made.observe([camera], [frame], [OPTIONS], [extract(frame, number / FPS)])
    restored = made.restore(camera.save())
    assert not made.is_still(restored, Features(extract(frames[-1]).thumb, 9.9), OPTIONS)
