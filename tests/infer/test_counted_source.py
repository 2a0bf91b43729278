"""The account of a camera's sources: captured = popped + dropped + waiting, over all of them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from service.capture.camera_capture import CaptureState
from service.capture.capture_messages import CapturedFrame
from service.capture.ring import Ring
from service.infer.counted_source import CountedSource
from service.infer.frame_sources import FrameSource, SourceStatus
from service.messages import DropReason
from tests.infer.sources import EndlessRingSource

PIXELS = np.zeros((8, 8), np.uint8)


class FilledSource(EndlessRingSource):
    """A ring that is full at first: the oldest frames were dropped."""

    def __init__(self, first_frame: int, *, captured: int, room: int) -> None:
        self._ring = Ring(room)
        super().__init__(self._ring, first_frame)
        self._captured = captured
        for number in range(captured):
            self._ring.push(CapturedFrame(1000.0 + number, number, PIXELS))

    def count_waiting(self) -> int:
        return len(self._ring)

    def status(self) -> SourceStatus:
        dropped = Counter({DropReason.CAPTURE_RING: self._ring.dropped})
        return SourceStatus(
            CaptureState.PLAYING, "", self._captured, dropped, 1, self.count_waiting()
        )


def test_frames_are_counted_where_they_are() -> None:
    closed: list[FrameSource] = []
    counted = CountedSource(5, closed.append)
    assert counted.pop() is None
    assert (counted.count_waiting(), counted.pop_stale(2000.0), counted.close()) == (0, [], False)

    counted.open(FilledSource(counted.next_frame, captured=10, room=8))
    assert [frame.frame for frame in counted.pop_stale(1004.0)] == [7, 8]
    frame = counted.pop()
    assert frame is not None and frame.frame == 9
    totals = counted.sum_up()
    assert (totals.captured, totals.waiting, totals.reconnects) == (10, 5 + 1, 1)
    assert totals.dropped == {DropReason.CAPTURE_RING: 2}
    counted.finish_frame()
    assert counted.sum_up().waiting == 5
    assert counted.next_frame == 10


def test_frames_that_wait_when_a_source_is_closed_are_dropped() -> None:
    closed: list[FrameSource] = []
    counted = CountedSource(0, closed.append)
    for captured in (4, 6):
        source = FilledSource(counted.next_frame, captured=captured, room=9)
        counted.open(source)
        assert counted.pop() is not None
        counted.finish_frame()
        assert counted.close()
        assert (closed[-1], counted.is_open, counted.status()) == (source, False, None)
    totals = counted.sum_up()
    assert (totals.captured, totals.waiting, totals.reconnects) == (10, 0, 2)
    assert totals.dropped == {DropReason.CLOSED: 3 + 5}
