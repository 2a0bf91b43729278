"""All that one camera has to send to Redis: bounded, and what is given up is counted."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.bus.scores import OutgoingScore, PublishResult
from service.bus.uploads import QueuedFrame
from service.messages import DropReason, FrameScore, StreamNote
from service.timers import Deadline

MAX_HELD = 2000
"""Scores of one camera that wait while Redis is away; the oldest goes first."""
MAX_NOTES = 200
"""Notes of one camera that wait; the oldest goes first."""
SUSPENDED_S = 1.0


@dataclass(frozen=True, slots=True)
class PreviewPicture:
    """A picture to display, with the error by place."""

    jpeg: bytes
    heat: NDArray[np.float32] | None
    frame: int
    captured_at: float


@dataclass(frozen=True, slots=True)
class LostCounts:
    """Counts what was given up of the things that are not scores."""

    previews: int = 0
    notes: int = 0

    def __add__(self, other: LostCounts) -> LostCounts:
        return LostCounts(self.previews + other.previews, self.notes + other.notes)


@dataclass(slots=True)
class CameraOutbox:
    """Holds what one camera has to send. The worker fills it, the publisher empties it."""

    stream_id: str
    epoch: int
    waiting: deque[OutgoingScore] = field(default_factory=deque)
    discards: deque[QueuedFrame] = field(default_factory=deque)
    notes: deque[StreamNote] = field(default_factory=deque)
    snapshot: bytes | None = None
    preview: PreviewPicture | None = None
    scored: int = 0
    in_transit: int = 0
    """Scores that are being sent."""
    dropped: Counter[DropReason] = field(default_factory=Counter)
    dropped_previews: int = 0
    dropped_notes: int = 0
    stale: bool = False
    suspension: Deadline | None = None
    """After a refusal nothing is sent for a moment, until it is known whose the camera is."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    urgent: threading.Event = field(default_factory=threading.Event)
    """Set where a score must not wait for others: it reaches its threshold."""

    def put(self, score: FrameScore, upload: QueuedFrame | None) -> None:
        """Add a score; makes room by dropping the oldest."""
        with self.lock:
            if self.stale:
                self.dropped[DropReason.STALE_OWNER] += 1
                return
            if len(self.waiting) >= MAX_HELD:
                self.waiting.popleft()
                self.dropped[DropReason.BACKLOG] += 1
            self.waiting.append(OutgoingScore(self.stream_id, score, upload))
        if _is_high(score):
            self.urgent.set()

    def put_preview(self, preview: PreviewPicture) -> None:
        """Put the newest picture; one that still waits is given up."""
        with self.lock:
            self.dropped_previews += self.preview is not None
            self.preview = None if self.stale else preview

    def take_preview(self) -> PreviewPicture | None:
        with self.lock:
            preview, self.preview = self.preview, None
            return preview

    def add_note(self, note: StreamNote) -> None:
        """Add an entry for the stream's log; makes room by dropping the oldest."""
        with self.lock:
            if self.stale:
                return
            if len(self.notes) >= MAX_NOTES:
                self.notes.popleft()
                self.dropped_notes += 1
            self.notes.append(note)

    def next_note(self) -> StreamNote | None:
        """Return the oldest that waits, with the epoch of now; none while it is suspended."""
        with self.lock:
            if self.is_suspended or not self.notes:
                return None
            return self.notes[0].model_copy(update={"epoch": self.epoch})

    def remove_note(self, note: StreamNote) -> None:
        """Remove the oldest note, once it is in Redis."""
        with self.lock:
            # By its time: it was copied, and meanwhile it may have made room for another.
            if self.notes and self.notes[0].at == note.at:
                self.notes.popleft()

    @property
    def lost(self) -> LostCounts:
        """Return how much was given up so far of previews and notes."""
        return LostCounts(self.dropped_previews, self.dropped_notes)

    @property
    def is_empty(self) -> bool:
        """Return whether nothing waits that the next owner, or the recorder, needs."""
        with self.lock:
            held = self.waiting or self.discards or self.notes or self.snapshot
            return not held and not self.in_transit

    @property
    def held(self) -> int:
        """Scores that aren't in Redis yet."""
        with self.lock:
            return len(self.waiting) + self.in_transit

    def suspend(self) -> None:
        """Send nothing for a moment: a write was refused, so the camera may be another's."""
        self.suspension = Deadline(SUSPENDED_S)

    def take(self, count: int) -> list[OutgoingScore]:
        """Take the oldest out, with the epoch of now; nothing while it is suspended."""
        with self.lock:
            if self.is_suspended:
                return []
            taken = [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]
            self.in_transit += len(taken)
        return [
            out
            if out.score.epoch == self.epoch
            else OutgoingScore(
                out.stream_id, out.score.model_copy(update={"epoch": self.epoch}), out.upload
            )
            for out in taken
        ]

    @property
    def is_suspended(self) -> bool:
        """Return whether a write was refused a moment ago."""
        suspension = self.suspension
        return suspension is not None and not suspension.is_over

    def adopt(self, epoch: int) -> None:
        """Send under this epoch from now on."""
        with self.lock:
            if epoch != self.epoch:
                self.epoch = epoch
                self.suspension = None

    def put_back(self, taken: Sequence[OutgoingScore]) -> None:
        """Put back scores that could not be sent."""
        with self.lock:
            self.in_transit -= len(taken)
            if self.stale:
                self.dropped[DropReason.STALE_OWNER] += len(taken)
            else:
                self.waiting.extendleft(reversed(taken))

    def settle(self, answers: Sequence[PublishResult]) -> None:
        """Count scores that were sent, none of which was refused for its epoch."""
        with self.lock:
            self.in_transit -= len(answers)
            for answer in answers:
                # A duplicate is a score whose answer was lost, and that was sent again. An older
                # score that made room was counted as scored, and counts as dropped from now on.
                self.scored += 1 - answer.evicted
                self.dropped[DropReason.BACKLOG] += answer.evicted

    def next_discard(self) -> QueuedFrame | None:
        """Return an upload that was given up, and still waits in Redis."""
        with self.lock:
            return self.discards[0] if self.discards else None

    def remove_discard(self, upload: QueuedFrame) -> None:
        """Remove a given-up upload, once it is deleted from Redis."""
        with self.lock:
            if self.discards and self.discards[0] is upload:
                self.discards.popleft()

    def put_snapshot(self, data: bytes) -> None:
        """Put the newest state; an older one that waits is of no use."""
        with self.lock:
            self.snapshot = None if self.stale else data

    def remove_snapshot(self, data: bytes) -> None:
        """Remove a snapshot that is in Redis, or refused for good."""
        with self.lock:
            if self.snapshot is data:
                self.snapshot = None

    def close(self) -> None:
        """Drop what waits, and count it: the camera is another worker's."""
        with self.lock:
            self.stale = True
            self.dropped[DropReason.STALE_OWNER] += len(self.waiting)
            self.waiting.clear()
            self.discards.clear()
            self.notes.clear()
            self.snapshot = self.preview = None


def _is_high(score: FrameScore) -> bool:
    value, threshold = score.score, score.threshold
    return value is not None and threshold is not None and value >= threshold
