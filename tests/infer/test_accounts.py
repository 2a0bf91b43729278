"""Captured = scored + dropped by reason + what is on its way, whatever happens to a camera."""

from __future__ import annotations

import time
from collections import Counter

from service.capture.camera import CaptureState
from service.capture.ring import Ring
from service.capture.wire import CapturedFrame
from service.infer.camera import Camera
from service.infer.sources import FrameSource, SourceFrame, SourceStatus
from service.messages import DropReason, StreamState, StreamStatus
from tests.infer.conftest import Bus
from tests.support.cameras import SHAPE, expected_frame
from tests.support.servers import wait_for

RING = 8
BURST = 20
EVERY_S = 0.1
KEPT = 2
"""Frames that are always about to be looked at, so that closing finds some."""
OLD_S = 100.0


class Bursts:
    """Gives frames in bursts: too many for its ring, some too old to be scored, one that the
    detector refuses; after each burst it says that a frame was the same again."""

    def __init__(self, first_frame: int) -> None:
        self._first_frame = first_frame
        self._ring = Ring(RING)
        self._captured = self._frozen = self._bursts = 0
        self._due = time.monotonic()

    def waiting(self) -> int:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY_S
            self._burst()
        return max(0, len(self._ring) - KEPT)

    def _burst(self) -> None:
        self._bursts += 1
        for step in range(BURST):
            sequence = self._captured
            pixels = expected_frame(sequence % 256)
            if step == BURST - KEPT - 2:
                pixels = pixels[: SHAPE.height // 2]
            old_s = OLD_S if step < BURST - 4 else 0.0
            self._ring.push(CapturedFrame(time.time() - old_s, sequence, pixels))
            self._captured += 1
        self._captured += 1
        self._frozen += 1

    def look_closely(self) -> None: ...

    def pop_stale(self, before: float) -> list[SourceFrame]:
        return [self._numbered(frame) for frame in self._ring.pop_stale(before)]

    def pop(self) -> SourceFrame | None:
        frame = self._ring.pop()
        return None if frame is None else self._numbered(frame)

    def _numbered(self, frame: CapturedFrame) -> SourceFrame:
        number = self._first_frame + frame.sequence
        return SourceFrame(number, frame.captured_at, frame.pixels, frame.cut)

    def status(self) -> SourceStatus:
        dropped = {DropReason.CAPTURE_RING: self._ring.dropped, DropReason.FROZEN: self._frozen}
        captured, waiting = self._captured, len(self._ring)
        return SourceStatus(
            CaptureState.PLAYING, "", captured, Counter(dropped), self._bursts, waiting
        )

    def stop(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Nothing to close."""


def _bursts(camera: Camera, _: object) -> FrameSource:
    return Bursts(camera.next_frame)


def _missing(told: StreamStatus) -> int:
    return told.captured - told.scored - sum(told.dropped.values()) - told.waiting


def test_every_captured_frame_is_accounted_for(bus: Bus) -> None:
    bus.add("one", source="/cameras/one")
    reasons = {
        DropReason.CAPTURE_RING,
        DropReason.FROZEN,
        DropReason.OVERLOAD,
        DropReason.FAULT,
        DropReason.CLOSED,
    }
    with bus.worker(open_source=_bursts, max_frame_age_s=5.0):
        for revision in (2, 4):
            seen: list[StreamStatus] = []

            def goes_on(seen: list[StreamStatus] = seen) -> bool:
                told = bus.status("one")
                if told is not None and told.state is not StreamState.PAUSED:
                    seen.append(told)
                return len({each.scored for each in seen}) > 3

            # After a pause it starts with the statuses of the source that is open now.
            wait_for(goes_on, "statuses with ever more scores")
            # Another thread tells of it than scores it: by then a burst may have come.
            assert all(abs(_missing(told)) <= BURST + 1 for told in seen)
            bus.add("one", source="/cameras/one", paused=True, revision=revision)
            still = bus.wait_status(
                "one", lambda told: told.state is StreamState.PAUSED and told.waiting == 0
            )
            assert _missing(still) == 0
            assert still.scored == len(bus.published("one"))
            bus.add("one", source="/cameras/one", revision=revision + 1)
        last = bus.wait_status("one", lambda told: told.captured > still.captured)
    assert set(last.dropped) == reasons
    assert last.reconnects > still.reconnects
