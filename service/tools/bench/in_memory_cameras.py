"""Gives a worker cameras whose frames are in memory: at a fixed rate, or always ready."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2

from model.frames import Frame, FrameShape
from model.scene.features import Features
from service.capture.camera_capture import CaptureState
from service.capture.capture_messages import CapturedFrame
from service.capture.ring import Ring
from service.infer.frame_sources import FrameSource, SourceFrame, SourceStatus
from service.infer.source_opening import SourceRequest
from service.messages import DropReason
from service.settings import Settings
from service.tools.bench.camera_clips import fit_drawn_frames, play_back_and_forth

FRAMES = 40
LEAD_S = 0.05
"""Time from a camera's opening to its first frame."""


class _MemorySource:
    """Holds what both kinds of camera have: frames, a picture a second, no features."""

    def __init__(self, frames: Sequence[Frame], first_frame: int, preview: bytes) -> None:
        self._frames = play_back_and_forth(frames)
        self._first_frame = first_frame
        self._captured = 0
        self._preview, self._previewed_at = preview, float("-inf")
        self.closed = False

    def _capture(self, now: float) -> CapturedFrame:
        """Make the next frame, once a second with a picture."""
        preview = None
        if now - self._previewed_at >= 1.0:
            self._previewed_at, preview = now, self._preview
        number = self._captured
        self._captured += 1
        return CapturedFrame(now, number, next(self._frames), preview, number == 0)

    def _number(self, frame: CapturedFrame) -> SourceFrame:
        number = self._first_frame + frame.sequence
        return SourceFrame(number, frame.captured_at, frame.pixels, frame.cut, frame.preview)

    def look_closely(self) -> None:
        """Do nothing: there are no pictures."""

    def pop_if(self, is_wanted: Callable[[Features], bool]) -> SourceFrame | None:
        """Return None: the frames have no features."""
        return None

    def status(self) -> SourceStatus:
        """Report that it plays."""
        return SourceStatus(CaptureState.PLAYING, "", self._captured, Counter())

    def stop(self) -> None:
        """Give no more frames."""
        self.closed = True

    def close(self) -> None:
        """Do the same as `stop`."""
        self.closed = True


class ReadySource(_MemorySource):
    """Always has a frame: the next is captured when the last is taken."""

    def __init__(self, frames: Sequence[Frame], first_frame: int, preview: bytes) -> None:
        super().__init__(frames, first_frame, preview)
        self._next_at = time.time()

    def count_waiting(self) -> int:
        """Return 1 until it is stopped."""
        return int(not self.closed)

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """Return nothing: the only frame is the newest."""
        return []

    def pop(self) -> SourceFrame | None:
        """Return the frame that was captured when the last one was taken."""
        if self.closed:
            return None
        captured_at, self._next_at = self._next_at, time.time()
        return self._number(self._capture(captured_at))


class PacedSource(_MemorySource):
    """Gives frames at a fixed rate; they wait in a ring as a camera's do."""

    def __init__(
        self, frames: Sequence[Frame], first_frame: int, preview: bytes, ring_frames: int
    ) -> None:
        super().__init__(frames, first_frame, preview)
        self._ring = Ring(ring_frames)

    def capture(self, now: float) -> None:
        """Put the next frame into the ring."""
        self._ring.push(self._capture(now))

    def count_waiting(self) -> int:
        """Return the number of frames in the ring."""
        return 0 if self.closed else len(self._ring)

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """Return the ring's stale frames."""
        return [self._number(frame) for frame in self._ring.pop_stale(before)]

    def pop(self) -> SourceFrame | None:
        """Return the oldest waiting frame."""
        frame = self._ring.pop()
        return None if frame is None or self.closed else self._number(frame)

    def status(self) -> SourceStatus:
        """Report that it plays, and how many frames the ring dropped."""
        dropped = Counter({DropReason.CAPTURE_RING: self._ring.dropped})
        return replace(super().status(), dropped=dropped)


class Feed:
    """Opens the cameras of a worker; one thread captures the frames of those with a rate."""

    def __init__(self, settings: Settings, fps: float | None, cameras: int) -> None:
        self._settings = settings
        self._period_s = None if fps is None else 1.0 / fps
        self._cameras = cameras
        self._lock = threading.Condition()
        self._due: list[tuple[float, int, PacedSource, Callable[[], object]]] = []
        self._opened = 0
        self._frames: dict[FrameShape, list[Frame]] = {}
        self.engine = ""
        """Name of the engine of the cameras' model; empty before it is loaded."""
        self.thread = threading.Thread(target=self._pass_time, name="feed", daemon=True)
        self.thread.start()

    def open(self, request: SourceRequest, on_frame: Callable[[], object]) -> FrameSource:
        """Open a camera whose frames have the shape that its model needs."""
        if request.model is not None:
            self.engine = str(request.model.detector.engine)
        shape = request.shape
        if shape not in self._frames:
            self._frames[shape] = fit_drawn_frames(shape, FRAMES)
        frames = self._frames[shape]
        preview = _encode_jpeg(frames[0])
        if self._period_s is None:
            return ReadySource(frames, request.first_frame, preview)
        ring = self._settings.capture_ring_frames
        source = PacedSource(frames, request.first_frame, preview, ring)
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


def _encode_jpeg(picture: Frame) -> bytes:
    done, data = cv2.imencode(".jpg", picture)
    if not done:
        raise ValueError(f"cannot encode a picture of shape {picture.shape}")
    return data.tobytes()
