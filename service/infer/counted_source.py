"""One camera's source. It counts frames over all sources that the camera has had:
captured = popped + dropped + waiting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from model.scene.features import Features
from service.infer.frame_sources import FrameSource, SourceFrame, SourceStatus
from service.messages import DropReason


@dataclass(frozen=True, slots=True)
class SourceTotals:
    """Counts what became of the frames of a camera's sources before they were scored."""

    captured: int = 0
    dropped: Counter[DropReason] = field(default_factory=Counter)
    reconnects: int = 0
    waiting: int = 0
    """Frames that wait in the open source, or are being scored."""

    def add_source(self, status: SourceStatus, *, waiting: int = 0) -> SourceTotals:
        """Return the totals with those of one more source."""
        return SourceTotals(
            self.captured + status.captured,
            self.dropped + status.dropped,
            self.reconnects + status.reconnects,
            self.waiting + waiting,
        )


class CountedSource:
    """Gives the frames of the open source, and counts them over all sources.

    It belongs to the worker's thread; any thread may call `sum_up` and `stop`.
    """

    def __init__(self, first_frame: int, close_source: Callable[[FrameSource], None]) -> None:
        """Args: close_source: ends a source without waiting for its end."""
        self.next_frame = first_frame
        """The least number that the next source may give to a frame."""
        self._close_source = close_source
        self._source: FrameSource | None = None
        self._popped = 0
        """Frames that the open source has given."""
        self._in_work = 0
        """Of them, those that are being scored."""
        self._past = SourceTotals()
        """The totals of the closed sources."""

    @property
    def is_open(self) -> bool:
        return self._source is not None

    def open(self, source: FrameSource) -> None:
        """Take frames from this source from now on."""
        self._source = source
        self._popped = 0

    def count_waiting(self) -> int:
        return 0 if self._source is None else self._source.count_waiting()

    def pop(self) -> SourceFrame | None:
        """Take the next frame to be scored, if there is one."""
        return None if self._source is None else self._begin(self._source.pop())

    def pop_if(self, fits: Callable[[Features], bool]) -> SourceFrame | None:
        """Take the next frame to be scored, if its features are known and fit."""
        return None if self._source is None else self._begin(self._source.pop_if(fits))

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """Take the waiting frames captured before a time, which won't be scored."""
        if self._source is None:
            return []
        frames = self._source.pop_stale(before)
        for frame in frames:
            self._count(frame)
        return frames

    def finish_frame(self) -> None:
        """Note that the frame that was popped last is scored or dropped."""
        self._in_work = 0

    def look_closely(self) -> None:
        if self._source is not None:
            self._source.look_closely()

    def status(self) -> SourceStatus | None:
        source = self._source
        return None if source is None else source.status()

    def sum_up(self) -> SourceTotals:
        """Sum up all sources so far. Any thread may call it."""
        status, past, in_work = self.status(), self._past, self._in_work
        if status is None:
            return replace(past, waiting=in_work)
        return past.add_source(status, waiting=status.waiting + in_work)

    def stop(self) -> None:
        """Ask the source to end; returns at once."""
        if self._source is not None:
            self._source.stop()

    def close(self) -> bool:
        """End the source. Returns whether there was one."""
        source, self._source = self._source, None
        if source is None:
            return False
        status = source.status()
        # Frames that come from now on aren't captured; those that wait will not be scored.
        unseen = max(0, status.captured - status.dropped.total() - self._popped)
        past = self._past.add_source(status)
        self._past = replace(past, dropped=past.dropped + Counter({DropReason.CLOSED: unseen}))
        self._close_source(source)
        return True

    def _begin(self, frame: SourceFrame | None) -> SourceFrame | None:
        if frame is not None:
            self._count(frame)
            self._in_work = 1
        return frame

    def _count(self, frame: SourceFrame) -> None:
        self.next_frame = max(self.next_frame, frame.frame + 1)
        self._popped += 1
