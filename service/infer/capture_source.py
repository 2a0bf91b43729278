"""Frames of a camera's own capture process, numbered for the stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from model.scene.features import Features
from service.capture.camera_capture import CameraCapture
from service.capture.capture_messages import CapturedFrame
from service.capture.ring import Ring
from service.infer.frame_sources import SourceFrame, SourceStatus
from service.messages import DropReason


class RingSource:
    """Numbers the frames of a ring as they are captured: drops leave gaps."""

    def __init__(self, ring: Ring, first_frame: int) -> None:
        self._ring = ring
        self._first_frame = first_frame

    def count_waiting(self) -> int:
        return len(self._ring)

    def pop_stale(self, before: float) -> list[SourceFrame]:
        return [self._number(frame) for frame in self._ring.pop_stale(before)]

    def pop(self) -> SourceFrame | None:
        frame = self._ring.pop()
        return None if frame is None else self._number(frame)

    def pop_if(self, fits: Callable[[Features], bool]) -> SourceFrame | None:

        def frame_fits(frame: CapturedFrame) -> bool:
            return not frame.cut and frame.features is not None and fits(frame.features)

        frame = self._ring.pop_if(frame_fits)
        return None if frame is None else self._number(frame)

    def look_closely(self) -> None:
        """Do nothing: a ring has the pictures that it has."""

    def _number(self, frame: CapturedFrame) -> SourceFrame:
        return SourceFrame(
            self._first_frame + frame.sequence,
            frame.captured_at,
            frame.pixels,
            frame.cut,
            frame.preview,
            features=frame.features,
        )


class CaptureSource(RingSource):
    """Runs a camera's capture process, and gives its frames."""

    def __init__(self, capture: CameraCapture, first_frame: int) -> None:
        super().__init__(capture.ring, first_frame)
        self._capture = capture
        capture.start()

    def look_closely(self) -> None:
        self._capture.look_closely()

    def status(self) -> SourceStatus:
        status = self._capture.status
        return SourceStatus(
            status.state,
            status.reason,
            status.captured,
            Counter(
                {
                    DropReason.CAPTURE_RING: status.dropped,
                    DropReason.FROZEN: status.frozen,
                    DropReason.UNREADABLE: status.lost,
                }
            ),
            status.reconnects,
            len(self._ring),
        )

    def stop(self) -> None:
        self._capture.stop()

    def close(self) -> None:
        self._capture.close()
