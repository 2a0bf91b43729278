"""The worker scores still frames at once, in order with the others, and counts them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from model.bundles import bundle as bundles
from model.scene.features import extract
from service.capture.camera_capture import CaptureState
from service.capture.capture_messages import CapturedFrame
from service.capture.ring import Ring
from service.infer.frame_sources import FrameSource, SourceStatus
from service.infer.source_opening import SourceRequest
from tests.infer.conftest import Bus
from tests.infer.sources import EndlessRingSource
from tests.support.bundles import small_bundle

FRAMES = 150
MOVING = range(100, 110)


class QuietCamera(EndlessRingSource):
    """A camera that has seen an empty room for some seconds, and somebody once; all of it waits."""

    def __init__(self, first_frame: int) -> None:
        self._ring = Ring(FRAMES)
        super().__init__(self._ring, first_frame)
        rng = np.random.default_rng(0)
        room = np.kron(rng.integers(60, 190, (8, 8)), np.ones((8, 8), int))
        began = time.time() - FRAMES / 10.0
        for number in range(FRAMES):
            pixels = (room + rng.integers(-1, 2, room.shape)).astype(np.uint8)
            if number in MOVING:
                pixels[number - 90 : number - 70, 20:40] = 255
            at = began + number / 10.0
            features = extract(pixels, at)
            self._ring.push(CapturedFrame(at, number, pixels, None, number == 0, features))

    def count_waiting(self) -> int:
        return len(self._ring)

    def status(self) -> SourceStatus:
        return SourceStatus(CaptureState.PLAYING, "", FRAMES, Counter(), 0, len(self._ring))


@pytest.fixture
def skipping_bus(redis: Redis, valkey_server: object, tmp_path: Path) -> Bus:
    """A bus whose model skips still frames."""
    made = small_bundle()
    allowed = replace(made.calibration, skips_still=True)
    bundles.save(replace(made, calibration=allowed), tmp_path / "small")
    return Bus(redis, getattr(valkey_server, "url", ""), tmp_path)


def _open(request: SourceRequest, _: object) -> FrameSource:
    return QuietCamera(request.first_frame)


def test_still_frames_are_scored_in_order_and_counted(skipping_bus: Bus) -> None:
    skipping_bus.add("one", source="/cameras/one")
    with skipping_bus.worker(open_source=_open):
        scores = skipping_bus.wait_scores("one", FRAMES)
        status = skipping_bus.wait_status("one", lambda status: status.scored == FRAMES)
    assert [score.frame for score in scores] == list(range(FRAMES))
    assert 80 < status.still < FRAMES - 40
    assert status.captured == status.scored
    assert not status.dropped
    by_frame = {score.frame: score for score in scores}
    empty, seen = by_frame[MOVING[0] - 1].psnr, by_frame[MOVING[0]].psnr
    assert empty is not None
    assert seen is not None
    assert seen < empty - 1.0
