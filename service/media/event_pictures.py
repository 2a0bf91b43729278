"""The pictures of one event until its files are written: a state without clock or disk."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, auto

from model.events.event_detection import Event
from service.bus.picture_requests import SentShot
from service.messages import RequestedEvent

GRACE_S = 4.0
"""Seconds by which pictures may be late, from the worker through Redis."""
PEAK_EVERY_S = 1.0
SILENT_S = 30.0
"""An event without updates for so long is another front end's now."""
MAX_CLIP_BYTES = 24 * 1024 * 1024
"""Bytes of a clip's pictures before they are encoded, at which it ends."""
ATTEMPTS = 10
"""Attempts to write a clip while the database is away."""
GIVE_UP_S = 90.0
"""Seconds after an event's end in which it is tried to write its files."""


@dataclass(frozen=True, slots=True)
class ClipRules:
    """How long a clip is, in seconds."""

    before_s: float
    after_s: float
    max_s: float
    """Seconds from the event's start."""
    fps: float
    """Pictures a second that workers keep."""

    @property
    def max_pictures(self) -> int:
        return math.ceil((self.before_s + self.max_s) * self.fps * 1.2) + 1


class ClipState(Enum):
    """The state of an event's clip."""

    GATHERING = auto()
    READY = auto()
    """Nothing more is waited for."""
    DONE = auto()
    """Written, or given up."""


@dataclass(slots=True)
class EventPictures:
    """One event's pictures. Times are monotonic, except for those of captures."""

    stream_id: str
    event_id: str
    event: Event
    rules: ClipRules
    begun_at: float
    updated_at: float
    ended_at: float | None = None
    """When its end was reported."""
    clip: ClipState = ClipState.GATHERING
    attempts: int = 0
    """Attempts to write the clip."""
    pictures: list[SentShot] = field(default_factory=list)
    held_bytes: int = 0
    peak: SentShot | None = None
    """The best so far, while it isn't written."""
    peak_score: float | None = None
    """The score of the best picture so far."""
    peak_written_at: float = -math.inf

    def update(self, event: Event, *, ended: bool, now: float) -> None:
        """Note what the recorder committed about the event."""
        self.event, self.updated_at = event, now
        if ended and self.ended_at is None:
            self.ended_at = now

    def add(self, shot: SentShot) -> None:
        """Keep a picture that was received, if it is needed."""
        meta = shot.meta
        if meta.peak:
            if meta.score is not None and (self.peak_score is None or meta.score > self.peak_score):
                self.peak, self.peak_score = shot, meta.score
        elif self.clip is ClipState.GATHERING and meta.frame > self._newest_frame:
            self.pictures.append(shot)
            self.held_bytes += len(shot.jpeg)

    def make_request(self) -> RequestedEvent:
        """Return what to ask the worker for now."""
        return RequestedEvent(
            event_id=self.event_id,
            first_frame=self.event.first_frame,
            after_frame=self._newest_frame,
            clip=self.clip is ClipState.GATHERING,
            peak_above=self.peak_score,
        )

    def advance(self, now: float) -> None:
        """Mark the clip as ready if it is complete."""
        if self.clip is ClipState.GATHERING and self._is_full(now):
            self.clip = ClipState.READY

    def select_for_clip(self) -> list[SentShot]:
        """Return the clip's pictures, without those after its end, or after a jump back in time."""
        end_s = self._end_s
        first, last = self.event.first_frame, self.event.last_frame
        chosen: list[SentShot] = []
        for shot in self.pictures[: self.rules.max_pictures]:
            meta = shot.meta
            if chosen and meta.frame > last and meta.captured_at < chosen[-1].meta.captured_at:
                break
            if meta.frame < first or meta.captured_at <= end_s:
                chosen.append(shot)
        return chosen

    def close_clip(self) -> None:
        """Note that the clip is written or given up, and drop its pictures."""
        self.clip = ClipState.DONE
        self.pictures, self.held_bytes = [], 0

    def is_peak_due(self, now: float) -> bool:
        """Return whether there is a better picture, and the last one was written a while ago."""
        return self.peak is not None and now - self.peak_written_at >= PEAK_EVERY_S

    def is_over(self, now: float) -> bool:
        """Return whether nothing more will be written about the event."""
        if self.clip is not ClipState.DONE:
            return False
        if self.ended_at is None:
            return now - self.updated_at >= SILENT_S
        since_s = now - self.ended_at
        return since_s >= GIVE_UP_S or (self.peak is None and since_s >= GRACE_S)

    @property
    def _newest_frame(self) -> int:
        return self.pictures[-1].meta.frame if self.pictures else -1

    @property
    def _end_s(self) -> float:
        """The capture time of the clip's end, as far as it is known."""
        longest_s = self.event.started_at + self.rules.max_s
        if self.ended_at is None:
            return longest_s
        return min(longest_s, self.event.last_at + self.rules.after_s)

    def _is_full(self, now: float) -> bool:
        rules = self.rules
        if len(self.pictures) >= rules.max_pictures or self.held_bytes >= MAX_CLIP_BYTES:
            return True
        if self.pictures:
            newest = self.pictures[-1].meta
            since_start = newest.frame >= self.event.first_frame
            if since_start and newest.captured_at > self._end_s:
                return True
        if self.ended_at is not None and now - self.ended_at >= rules.after_s + GRACE_S:
            return True
        return now - self.begun_at >= rules.max_s + GRACE_S or now - self.updated_at >= SILENT_S
