"""What one camera has to send to Redis: bounded, and what is given up is counted."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.bus.scores import Outgoing, Published
from service.bus.uploads import QueuedFrame
from service.messages import DropReason, FrameScore, StreamNote

MAX_HELD = 2000
"""Scores of one camera that wait while Redis is away; the oldest goes first."""
MAX_NOTES = 200
"""Notes of one camera, likewise."""
SUSPENDED_S = 1.0


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture to show, with the error by place."""

    jpeg: bytes
    heat: NDArray[np.float32] | None
    frame: int
    captured_at: float


@dataclass(frozen=True, slots=True)
class Lost:
    """What was given up of the things that are not scores."""

    previews: int = 0
    notes: int = 0

    def __add__(self, other: Lost) -> Lost:
        return Lost(self.previews + other.previews, self.notes + other.notes)


@dataclass(slots=True)
class Outbox:
    """What one camera has to send. The worker fills it, the publisher empties it."""

    stream_id: str
    epoch: int
    waiting: deque[Outgoing] = field(default_factory=deque)
    discards: deque[QueuedFrame] = field(default_factory=deque)
    notes: deque[StreamNote] = field(default_factory=deque)
    snapshot: bytes | None = None
    shown: Shown | None = None
    scored: int = 0
    under_way: int = 0
    """Scores that are being sent."""
    dropped: Counter[DropReason] = field(default_factory=Counter)
    dropped_previews: int = 0
    dropped_notes: int = 0
    stale: bool = False
    suspended_until: float = float("-inf")
    """Monotonic: after a refusal nothing is sent until it is known whose the camera is."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, score: FrameScore, upload: QueuedFrame | None) -> None:
        """Add a score; makes room by dropping the oldest."""
        with self.lock:
            if self.stale:
                self.dropped[DropReason.STALE_OWNER] += 1
                return
            if len(self.waiting) >= MAX_HELD:
                self.waiting.popleft()
                self.dropped[DropReason.BACKLOG] += 1
            self.waiting.append(Outgoing(self.stream_id, score, upload))

    def show(self, shown: Shown) -> None:
        """The newest picture; one that still waits is given up."""
        with self.lock:
            self.dropped_previews += self.shown is not None
            self.shown = None if self.stale else shown

    def take_shown(self) -> Shown | None:
        """Take the newest picture out."""
        with self.lock:
            shown, self.shown = self.shown, None
            return shown

    def note(self, note: StreamNote) -> None:
        """Add an entry for the stream's log; makes room by dropping the oldest."""
        with self.lock:
            if self.stale:
                return
            if len(self.notes) >= MAX_NOTES:
                self.notes.popleft()
                self.dropped_notes += 1
            self.notes.append(note)

    def next_note(self) -> StreamNote | None:
        """The oldest that waits, with the epoch of now; none while it is suspended."""
        with self.lock:
            if self.suspended or not self.notes:
                return None
            return self.notes[0].model_copy(update={"epoch": self.epoch})

    def noted(self, note: StreamNote) -> None:
        """It is in Redis."""
        with self.lock:
            # By its time: it was copied, and meanwhile it may have made room for another.
            if self.notes and self.notes[0].at == note.at:
                self.notes.popleft()

    @property
    def lost(self) -> Lost:
        """What was given up so far."""
        return Lost(self.dropped_previews, self.dropped_notes)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits that the next owner, or the recorder, needs."""
        with self.lock:
            held = self.waiting or self.discards or self.notes or self.snapshot
            return not held and not self.under_way

    @property
    def held(self) -> int:
        """Scores that aren't in Redis yet."""
        with self.lock:
            return len(self.waiting) + self.under_way

    def refuse_for_a_moment(self) -> None:
        """A write was refused: send nothing more until it is known whose the camera is."""
        self.suspended_until = time.monotonic() + SUSPENDED_S

    def take(self, count: int) -> list[Outgoing]:
        """Take the oldest out, with the epoch of now; nothing while it is suspended."""
        with self.lock:
            if self.suspended:
                return []
            taken = [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]
            self.under_way += len(taken)
        return [
            out
            if out.score.epoch == self.epoch
            else Outgoing(
                out.stream_id, out.score.model_copy(update={"epoch": self.epoch}), out.upload
            )
            for out in taken
        ]

    @property
    def suspended(self) -> bool:
        """Whether its last score was refused, a moment ago."""
        return time.monotonic() < self.suspended_until

    def adopt(self, epoch: int) -> None:
        """The camera is ours under this epoch."""
        with self.lock:
            if epoch != self.epoch:
                self.epoch = epoch
                self.suspended_until = float("-inf")

    def put_back(self, taken: Sequence[Outgoing]) -> None:
        """They could not be sent."""
        with self.lock:
            self.under_way -= len(taken)
            if self.stale:
                self.dropped[DropReason.STALE_OWNER] += len(taken)
            else:
                self.waiting.extendleft(reversed(taken))

    def settle(self, answers: Sequence[Published]) -> None:
        """They were sent, and none was refused for its epoch."""
        with self.lock:
            self.under_way -= len(answers)
            for answer in answers:
                # A duplicate is a score whose answer was lost, and that was sent again. An older
                # score that made room was counted as scored, and counts as dropped from now on.
                self.scored += 1 - answer.evicted
                self.dropped[DropReason.BACKLOG] += answer.evicted

    def next_discard(self) -> QueuedFrame | None:
        """An upload that was given up, and still waits in Redis."""
        with self.lock:
            return self.discards[0] if self.discards else None

    def discarded(self, upload: QueuedFrame) -> None:
        """It waits no more."""
        with self.lock:
            if self.discards and self.discards[0] is upload:
                self.discards.popleft()

    def put_snapshot(self, data: bytes) -> None:
        """The newest state; an older one that waits is of no use."""
        with self.lock:
            self.snapshot = None if self.stale else data

    def sent_snapshot(self, data: bytes) -> None:
        """It is in Redis, or refused for good."""
        with self.lock:
            if self.snapshot is data:
                self.snapshot = None

    def shut(self) -> None:
        """The camera is another's: what waits is dropped, and counted."""
        with self.lock:
            self.stale = True
            self.dropped[DropReason.STALE_OWNER] += len(self.waiting)
            self.waiting.clear()
            self.discards.clear()
            self.notes.clear()
            self.snapshot = self.shown = None
