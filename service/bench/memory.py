"""Cameras that are made of frames in memory, for a worker: with a rate, or as fast as it takes."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import cv2

from model.frames import Frame, FrameShape
from service.bench.footage import back_and_forth, fitted_frames
from service.capture.camera import CaptureState
from service.capture.ring import Ring
from service.capture.wire import CapturedFrame
from service.infer.camera import Camera
from service.infer.sources import FrameSource, SourceFrame, SourceStatus
from service.messages import DropReason
from service.settings import Settings

FRAMES = 40
LEAD_S = 0.05
"""From a camera's opening to its first frame."""


class ReadySource:
    """Always has a frame: its next one is captured when the last one was taken."""

    def __init__(self, frames: Sequence[Frame], first_frame: int, preview: bytes) -> None:
        self._frames = back_and_forth(frames)
        self._number = first_frame
        self._captured_at = time.time()
        self._preview, self._shown_at = preview, float("-inf")
        self._taken = 0
        self._open = True

    def waiting(self) -> int:
        """Always one, until it is stopped."""
        return int(self._open)

    def look_closely(self) -> None:
        """There are no pictures."""

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """None: the one frame is the newest."""
        return []

    def pop(self) -> SourceFrame | None:
        """The frame that has waited since the one before it was taken."""
        if not self._open:
            return None
        captured_at, self._captured_at = self._captured_at, time.time()
        preview = None
        if captured_at - self._shown_at >= 1.0:
            self._shown_at, preview = captured_at, self._preview
        number = self._number + self._taken
        self._taken += 1
        return SourceFrame(number, captured_at, next(self._frames), self._taken == 1, preview)

    def status(self) -> SourceStatus:
        """Playing."""
        return SourceStatus(CaptureState.PLAYING, "", self._taken, Counter())

    def stop(self) -> None:
        """Give nothing more."""
        self._open = False

    def close(self) -> None:
        """As `stop`."""
        self._open = False


class PacedSource:
    """Has so many frames a second, which wait in a ring as a camera's do."""

    def __init__(
        self, frames: Sequence[Frame], first_frame: int, preview: bytes, ring_frames: int
    ) -> None:
        self._frames = back_and_forth(frames)
        self._first_frame = first_frame
        self._ring = Ring(ring_frames)
        self._preview, self._shown_at = preview, float("-inf")
        self._captured = 0
        self.closed = False

    def capture(self, now: float) -> None:
        """The next frame is there."""
        preview = None
        if now - self._shown_at >= 1.0:
            self._shown_at, preview = now, self._preview
        cut = self._captured == 0
        self._ring.push(CapturedFrame(now, self._captured, next(self._frames), preview, cut))
        self._captured += 1

    def waiting(self) -> int:
        """Frames in the ring."""
        return 0 if self.closed else len(self._ring)

    def look_closely(self) -> None:
        """There are no pictures."""

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """Those of the ring."""
        return [self._numbered(frame) for frame in self._ring.pop_stale(before)]

    def pop(self) -> SourceFrame | None:
        """The oldest waiting frame."""
        frame = self._ring.pop()
        return None if frame is None or self.closed else self._numbered(frame)

    def _numbered(self, frame: CapturedFrame) -> SourceFrame:
        number = self._first_frame + frame.sequence
        return SourceFrame(number, frame.captured_at, frame.pixels, frame.cut, frame.preview)

    def status(self) -> SourceStatus:
        """Playing; what the ring let go is counted."""
        dropped = Counter({DropReason.CAPTURE_RING: self._ring.dropped})
        return SourceStatus(CaptureState.PLAYING, "", self._captured, dropped)

    def stop(self) -> None:
        """Capture nothing more."""
        self.closed = True

    def close(self) -> None:
        """As `stop`."""
        self.closed = True


class Feed:
    """Opens the cameras of one worker; of those with a rate, one thread lets the time pass."""

    def __init__(self, settings: Settings, fps: float | None, cameras: int) -> None:
        self._settings = settings
        self._period_s = None if fps is None else 1.0 / fps
        self._cameras = cameras
        self._lock = threading.Condition()
        self._due: list[tuple[float, int, PacedSource, Callable[[], object]]] = []
        self._opened = 0
        self._frames: dict[FrameShape, list[Frame]] = {}
        self.engine = ""
        """Of the model that the cameras have; empty before it is loaded."""
        self.thread = threading.Thread(target=self._pass_time, name="feed", daemon=True)
        self.thread.start()

    def open(self, camera: Camera, on_frame: Callable[[], object]) -> FrameSource:
        """A camera's frames, of the shape that its model takes."""
        if camera.model is None:
            raise RuntimeError("a source is opened after its model is loaded")
        detector = camera.model.detector
        self.engine = str(detector.engine)
        shape = detector.bundle.frame_shape
        if shape not in self._frames:
            self._frames[shape] = fitted_frames(shape, FRAMES)
        frames = self._frames[shape]
        preview = _jpeg(frames[0])
        if self._period_s is None:
            return ReadySource(frames, camera.next_frame, preview)
        ring = self._settings.capture_ring_frames
        source = PacedSource(frames, camera.next_frame, preview, ring)
        with self._lock:
            # Cameras aren't in step with each other.
            phase_s = self._period_s * self._opened / self._cameras
            due = time.monotonic() + LEAD_S + phase_s
            heapq.heappush(self._due, (due, self._opened, source, on_frame))
            self._opened += 1
            self._lock.notify()
        return source

    def _pass_time(self) -> None:
        while True:
            with self._lock:
                while not self._due:
                    self._lock.wait()
                rest_s = self._due[0][0] - time.monotonic()
                if rest_s > 0.0:
                    self._lock.wait(rest_s)
                    continue
                due, index, source, on_frame = heapq.heappop(self._due)
                if source.closed or self._period_s is None:
                    continue
                heapq.heappush(self._due, (due + self._period_s, index, source, on_frame))
            source.capture(time.time())
            on_frame()


def _jpeg(picture: Frame) -> bytes:
    done, data = cv2.imencode(".jpg", picture)
    if not done:
        raise ValueError(f"cannot encode a picture of shape {picture.shape}")
    return data.tobytes()
