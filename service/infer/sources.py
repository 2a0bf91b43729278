"""Where a camera's frames come from, behind one face: a capture process, or uploads in Redis."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from model.frames import Frame
from service.bus.uploads import QueuedFrame
from service.capture.camera import CameraCapture, CaptureState
from service.capture.wire import CapturedFrame
from service.messages import DropReason

PREFETCH = 4
"""Uploaded frames of one camera that are decoded ahead."""


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame whose turn it is."""

    frame: int
    """Its number in the stream."""
    captured_at: float
    pixels: Frame
    cut: bool
    preview: bytes | None = None
    """JPEG of the whole picture, now and then."""
    upload: QueuedFrame | None = None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is doing."""

    state: CaptureState
    reason: str
    captured: int
    dropped: Counter[DropReason]
    reconnects: int = 0
    waiting: int = 0
    """Frames among the captured ones that wait to be scored."""


class FrameSource(Protocol):
    """Frames of one camera. All but `status`, `stop` and `close` is for the worker's thread."""

    def waiting(self) -> int:
        """Frames that `pop` would give now, one after the other."""

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """The waiting frames, the oldest first, that were captured before a time and need no score;
        never the newest frame."""

    def pop(self) -> SourceFrame | None:
        """The next frame, if there is one that can be used."""

    def look_closely(self) -> None:
        """Give more pictures for the next seconds, where there are few otherwise."""

    def status(self) -> SourceStatus:
        """State and counters."""

    def stop(self) -> None:
        """Ask it to end; returns at once."""

    def close(self) -> None:
        """End, and wait for the end."""


class CaptureSource:
    """Frames of a camera's own process, numbered as they are captured: drops leave gaps."""

    def __init__(self, capture: CameraCapture, first_frame: int) -> None:
        self._capture = capture
        self._first_frame = first_frame
        capture.start()

    def waiting(self) -> int:
        """Frames in the ring."""
        return self._capture.waiting

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """Those of the ring."""
        return [self._numbered(frame) for frame in self._capture.pop_stale(before)]

    def pop(self) -> SourceFrame | None:
        """The oldest waiting frame."""
        frame = self._capture.pop()
        return None if frame is None else self._numbered(frame)

    def look_closely(self) -> None:
        """More pictures, for the next seconds."""
        self._capture.look_closely()

    def _numbered(self, frame: CapturedFrame) -> SourceFrame:
        return SourceFrame(
            self._first_frame + frame.sequence,
            frame.captured_at,
            frame.pixels,
            frame.cut,
            frame.preview,
        )

    def status(self) -> SourceStatus:
        """As the capture tells."""
        status = self._capture.status
        return SourceStatus(
            status.state,
            status.reason,
            status.captured,
            Counter({DropReason.CAPTURE_RING: status.dropped, DropReason.FROZEN: status.frozen}),
            status.reconnects,
            self._capture.waiting,
        )

    def stop(self) -> None:
        """Ask the process to end."""
        self._capture.stop()

    def close(self) -> None:
        """End the process."""
        self._capture.close()


@dataclass(frozen=True, slots=True)
class DecodedUpload:
    """An uploaded picture, decoded and fitted."""

    pixels: Frame
    preview: bytes | None


class UploadSource:
    """Uploaded frames, decoded ahead by the feeder that fills it."""

    def __init__(
        self, stream_id: str, first_frame: int, discard: Callable[[QueuedFrame], object]
    ) -> None:
        self.stream_id = stream_id
        self.position = "0-0"
        """Entry up to which the queue was read; only the feeder moves it."""
        self.first_frame = first_frame
        """Numbers below were scored before: their entries are left-overs."""
        self._discard = discard
        self._queue: deque[tuple[QueuedFrame, Future[DecodedUpload | None]]] = deque()
        self._captured = 0
        self._unreadable = 0
        self._cut = False
        self._open = threading.Event()
        self._open.set()

    @property
    def room(self) -> int:
        """Frames that it would take now."""
        return PREFETCH - len(self._queue)

    @property
    def closed(self) -> bool:
        """Whether it takes nothing more."""
        return not self._open.is_set()

    def add(self, queued: QueuedFrame, decoding: Future[DecodedUpload | None]) -> None:
        """The feeder has read an entry."""
        self._queue.append((queued, decoding))

    def waiting(self) -> int:
        """The oldest ones that are decoded."""
        return sum(1 for _ in takewhile(lambda each: each[1].done(), tuple(self._queue)))

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """None: what was accepted is scored, however late."""
        return []

    def look_closely(self) -> None:
        """It has all that are wanted at any time."""

    def pop(self) -> SourceFrame | None:
        """The next one that can be used; others are discarded and counted."""
        while self._queue and self._queue[0][1].done():
            queued, decoding = self._queue.popleft()
            if queued.meta.frame < self.first_frame:
                self._discard(queued)
                continue
            cut, self._cut = queued.meta.cut or self._cut, False
            try:
                decoded = decoding.result()
            except CancelledError:
                return None
            self._captured += 1
            if decoded is None:
                self._unreadable += 1
                self._cut = cut
                self._discard(queued)
                continue
            return SourceFrame(
                queued.meta.frame,
                queued.meta.captured_at,
                decoded.pixels,
                cut,
                decoded.preview,
                queued,
            )
        return None

    def status(self) -> SourceStatus:
        """Always there: frames come when they come."""
        dropped = Counter({DropReason.UNREADABLE: self._unreadable})
        return SourceStatus(CaptureState.PLAYING, "", self._captured, dropped)

    def stop(self) -> None:
        """Take nothing more; entries stay in Redis."""
        self._open.clear()

    def close(self) -> None:
        """As `stop`."""
        self._open.clear()
