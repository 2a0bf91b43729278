"""Captured = scored + dropped by reason + what is on its way, at any time in a camera's life."""

from __future__ import annotations

import time
from collections import Counter

from service.capture.camera_capture import CaptureState
from service.capture.capture_messages import CapturedFrame
from service.capture.ring import Ring
from service.infer.frame_sources import FrameSource, SourceStatus
from service.infer.source_opening import SourceRequest
from service.messages import DropReason, StreamState, StreamStatus
from tests.infer.conftest import Bus
from tests.infer.sources import EndlessRingSource
from tests.support.cameras import SHAPE, expected_frame
from tests.support.servers import wait_for

RING = 8
BURST = 20
EVERY_S = 0.1
KEPT = 2
"""Frames that always stay in the ring, so that closing finds some."""
OLD_S = 100.0


class Bursts(EndlessRingSource):
    """Gives frames in bursts: too many for its ring, some too old to be scored, one that the
    detector refuses; after each burst it says that a frame was the same again."""

    def __init__(self, first_frame: int) -> None:
        self._ring = Ring(RING)
        super().__init__(self._ring, first_frame)
        self._captured = self._frozen = self._bursts = 0
        self._due = time.monotonic()

    def count_waiting(self) -> int:
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

    def status(self) -> SourceStatus:
        dropped = {DropReason.CAPTURE_RING: self._ring.dropped, DropReason.FROZEN: self._frozen}
        captured, waiting = self._captured, len(self._ring)
        return SourceStatus(
            CaptureState.PLAYING, "", captured, Counter(dropped), self._bursts, waiting
        )


def _open_bursts(request: SourceRequest, _: object) -> FrameSource:
    return Bursts(request.first_frame)


def _count_missing(status: StreamStatus) -> int:
    return status.captured - status.scored - sum(status.dropped.values()) - status.waiting


def test_every_captured_frame_is_accounted_for(bus: Bus) -> None:
    bus.add("one", source="/cameras/one")
    reasons = {
        DropReason.CAPTURE_RING,
        DropReason.FROZEN,
        DropReason.OVERLOAD,
        DropReason.FAULT,
        DropReason.CLOSED,
    }
    with bus.worker(open_source=_open_bursts, max_frame_age_s=5.0):
        for revision in (2, 4):
            seen: list[StreamStatus] = []

            def goes_on(seen: list[StreamStatus] = seen) -> bool:
                status = bus.status("one")
                if status is not None and status.state is not StreamState.PAUSED:
                    seen.append(status)
                return len({each.scored for each in seen}) > 3

            # After a pause it starts with the statuses of the source that is open now.
            wait_for(goes_on, "statuses with ever more scores")
            # Another thread reports than scores: between the two, a burst may have come.
            assert all(abs(_count_missing(status)) <= BURST + 1 for status in seen)
            bus.add("one", source="/cameras/one", paused=True, revision=revision)
            still = bus.wait_status(
                "one", lambda status: status.state is StreamState.PAUSED and status.waiting == 0
            )
            assert _count_missing(still) == 0
            assert still.scored == len(bus.read_published("one"))
            bus.add("one", source="/cameras/one", revision=revision + 1)
        last = bus.wait_status("one", lambda status: status.captured > still.captured)
    assert set(last.dropped) == reasons
    assert last.reconnects > still.reconnects
