"""Uploaded frames of one camera, decoded ahead, and which of them follow each other."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from itertools import takewhile

from model.footage.gaps import Gaps
from model.frames import Frame
from model.scene.features import Features
from service.bus.uploads import QueuedFrame
from service.capture.camera_capture import CaptureState
from service.infer.frame_sources import SourceFrame, SourceStatus
from service.messages import DropReason

PREFETCH = 4
"""Uploaded frames of one camera that are decoded ahead."""


@dataclass(frozen=True, slots=True)
class DecodedUpload:
    """An uploaded picture, decoded and fitted."""

    pixels: Frame
    preview: bytes | None


class UploadSource:
    """Uploaded frames, decoded ahead by the feeder that fills it.

    A frame that was captured before the last one, or longer after it than these pictures usually
    are apart, begins a new run, however soon it arrives: it is a cut, as a camera's gap is. The
    first frame has none before it: the camera that opens the source cuts there.
    """

    def __init__(
        self, stream_id: str, first_frame: int, discard: Callable[[QueuedFrame], object]
    ) -> None:
        self.stream_id = stream_id
        self.position = "0-0"
        """The entry up to which the queue was read; only the feeder moves it."""
        self.first_frame = first_frame
        """Numbers below were scored before: their entries are left-overs."""
        self._discard = discard
        self._queue: deque[tuple[QueuedFrame, Future[DecodedUpload | None]]] = deque()
        self._captured = 0
        self._unreadable = 0
        self._cut = False
        self._gaps = Gaps()
        self._captured_at = float("-inf")
        """When the last frame that was given was captured."""
        self._open = threading.Event()
        self._open.set()

    @property
    def room(self) -> int:
        """Frames that there is room for now."""
        return PREFETCH - len(self._queue)

    @property
    def closed(self) -> bool:
        """Return whether it was stopped, and takes nothing more."""
        return not self._open.is_set()

    def add(self, queued: QueuedFrame, decoding: Future[DecodedUpload | None]) -> None:
        """Add an entry that the feeder has read, and its picture, which is being decoded."""
        self._queue.append((queued, decoding))

    def count_waiting(self) -> int:
        """Count the oldest frames up to the first that isn't decoded yet."""
        return sum(1 for _ in takewhile(lambda each: each[1].done(), tuple(self._queue)))

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """Return nothing: what was accepted is scored, however late."""
        return []

    def pop_if(self, fits: Callable[[Features], bool]) -> SourceFrame | None:
        """Return nothing: an upload's features aren't known before it is observed."""
        return None

    def look_closely(self) -> None:
        """Do nothing: every upload is given, with its picture where one is due."""

    def pop(self) -> SourceFrame | None:
        """Take the next frame that can be used; discard and count the others."""
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
                self._jumps_to(queued.meta.captured_at) or cut,
                decoded.preview,
                queued,
            )
        return None

    def _jumps_to(self, captured_at: float) -> bool:
        """Return whether the next frame's capture doesn't follow the last one's."""
        after_silence = self._gaps.add(captured_at)
        before, self._captured_at = self._captured_at, captured_at
        return after_silence or captured_at < before

    def status(self) -> SourceStatus:
        """Return the counters; the state is always the same: uploads come when they come."""
        dropped = Counter({DropReason.UNREADABLE: self._unreadable})
        return SourceStatus(CaptureState.PLAYING, "", self._captured, dropped)

    def stop(self) -> None:
        """Take nothing more; entries stay in Redis."""
        self._open.clear()

    def close(self) -> None:
        self._open.clear()
