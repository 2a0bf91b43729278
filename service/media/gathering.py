"""What is gathered of one event until its files can be written: a state without clock or disk."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, auto

from model.events import Event
from service.bus.footage import SentShot
from service.messages import WantedEvent

GRACE_S = 4.0
"""What pictures may be late by, from the worker through Redis."""
PEAK_EVERY_S = 1.0
SILENT_S = 30.0
"""An event that nothing was heard of for so long is another front end's now."""
MAX_CLIP_BYTES = 24 * 1024 * 1024
"""Of a clip's pictures before they are encoded; then it ends."""
ATTEMPTS = 10
"""To write a clip, while the database is away."""
GIVE_UP_S = 90.0
"""After an event's end, for what can't be written."""


@dataclass(frozen=True, slots=True)
class ClipRules:
    """How long a clip is; seconds."""

    before_s: float
    after_s: float
    max_s: float
    """From the event's start."""
    fps: float
    """Pictures a second that workers keep."""

    @property
    def most(self) -> int:
        """Pictures of one clip."""
        return math.ceil((self.before_s + self.max_s) * self.fps * 1.2) + 1


class ClipState(Enum):
    """Where an event's clip is."""

    GATHERING = auto()
    READY = auto()
    """Nothing more is waited for."""
    DONE = auto()
    """Written, or given up."""


@dataclass(slots=True)
class Gathering:
    """One event's pictures. Times are monotonic, but for those of captures."""

    stream_id: str
    event_id: str
    event: Event
    rules: ClipRules
    begun_at: float
    heard_at: float
    ended_at: float | None = None
    """When its end was heard of."""
    clip: ClipState = ClipState.GATHERING
    attempts: int = 0
    """To write the clip."""
    pictures: list[SentShot] = field(default_factory=list)
    held_bytes: int = 0
    peak: SentShot | None = None
    """The best so far, while it isn't written."""
    peak_score: float | None = None
    """Of the best so far."""
    peak_written_at: float = -math.inf

    def hear(self, event: Event, *, ended: bool, now: float) -> None:
        """The recorder's word of it."""
        self.event, self.heard_at = event, now
        if ended and self.ended_at is None:
            self.ended_at = now

    def take(self, shot: SentShot) -> None:
        """A picture has come."""
        meta = shot.meta
        if meta.peak:
            if meta.score is not None and (self.peak_score is None or meta.score > self.peak_score):
                self.peak, self.peak_score = shot, meta.score
        elif self.clip is ClipState.GATHERING and meta.frame > self._newest_frame:
            self.pictures.append(shot)
            self.held_bytes += len(shot.jpeg)

    def wanted(self) -> WantedEvent:
        """What is to be asked for now."""
        return WantedEvent(
            event_id=self.event_id,
            first_frame=self.event.first_frame,
            after_frame=self._newest_frame,
            clip=self.clip is ClipState.GATHERING,
            peak_above=self.peak_score,
        )

    def advance(self, now: float) -> None:
        """See whether the clip is complete."""
        if self.clip is ClipState.GATHERING and self._is_full(now):
            self.clip = ClipState.READY

    def clip_pictures(self) -> list[SentShot]:
        """Those of the clip, without what came after its end."""
        end_s = self._end_s
        first = self.event.first_frame
        return [
            shot
            for shot in self.pictures[: self.rules.most]
            if shot.meta.frame < first or shot.meta.captured_at <= end_s
        ]

    def close_clip(self) -> None:
        """It is written, or given up: its pictures go."""
        self.clip = ClipState.DONE
        self.pictures, self.held_bytes = [], 0

    def is_peak_due(self, now: float) -> bool:
        """Whether a better picture is there, and the last one was written a while ago."""
        return self.peak is not None and now - self.peak_written_at >= PEAK_EVERY_S

    def is_over(self, now: float) -> bool:
        """Whether nothing more will come of it."""
        if self.clip is not ClipState.DONE:
            return False
        if self.ended_at is None:
            return now - self.heard_at >= SILENT_S
        since_s = now - self.ended_at
        return since_s >= GIVE_UP_S or (self.peak is None and since_s >= GRACE_S)

    @property
    def _newest_frame(self) -> int:
        return self.pictures[-1].meta.frame if self.pictures else -1

    @property
    def _end_s(self) -> float:
        """Capture time of the clip's end, as far as it is known."""
        longest_s = self.event.started_at + self.rules.max_s
        if self.ended_at is None:
            return longest_s
        return min(longest_s, self.event.last_at + self.rules.after_s)

    def _is_full(self, now: float) -> bool:
        rules = self.rules
        if len(self.pictures) >= rules.most or self.held_bytes >= MAX_CLIP_BYTES:
            return True
        if self.pictures:
            newest = self.pictures[-1].meta
            since_start = newest.frame >= self.event.first_frame
            if since_start and newest.captured_at > self._end_s:
                return True
        if self.ended_at is not None and now - self.ended_at >= rules.after_s + GRACE_S:
            return True
        return now - self.begun_at >= rules.max_s + GRACE_S or now - self.heard_at >= SILENT_S
