"""Asks workers for pictures of the events that go on, and writes them to files.

In a thread of its own: recording only tells it what was recorded, and waits for nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import structlog
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from model.events import Event
from service.bus.footage import Footage
from service.media.clip import NoClip, write_clip
from service.media.gathering import ATTEMPTS, ClipRules, ClipState, Gathering
from service.media.heat import heated
from service.media.kinds import Kind
from service.media.shelf import NewFile, Shelf
from service.messages import WantedFootage
from service.metrics import Metrics
from service.record.storing import Recording, event_id
from service.rounds import run_rounds
from service.settings import Settings

log = structlog.stdlib.get_logger(__name__)

EVERY_S = 0.5
RECEIVE = 100
"""Pictures of one camera in one round."""
MAX_EVENTS = 256
"""Events that are followed at a time; what is more has no pictures."""
MAX_OF_STREAM = 8
"""Of one camera: an event's clip may still go on when the next ones begin."""
MAX_HELD_BYTES = 96 * 1024 * 1024
"""Pictures that wait to be encoded, of all events; then the largest clip ends."""
STOPPING_S = 2.5
"""At the end: so long clips that are under way are written."""
FAILURE_LOG_S = 60.0
WRITTEN, FAILED, ABSENT = "written", "failed", "absent"
"""What becomes of a file; absent: there were no pictures, or the event has gone."""


@dataclass(slots=True)
class _Heard:
    stream_id: str
    event: Event
    ended: bool


class Keeper:
    """Follows events from their start to their last file. `run` is a thread; `follow` is for the
    recorder."""

    def __init__(
        self,
        redis: Redis,
        shelf: Shelf,
        settings: Settings,
        metrics: Metrics,
        *,
        on_clip: Callable[[str], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: on_clip: is told the event of each clip that was written."""
        self._footage = Footage(redis)
        self._shelf = shelf
        self._metrics = metrics
        self._on_clip = on_clip
        self._clock = clock
        self._rules = ClipRules(
            settings.clip_before_s, settings.clip_after_s, settings.clip_max_s, settings.clip_fps
        )
        self._lock = threading.Lock()
        self._heard: dict[str, _Heard] = {}
        self._events: dict[str, Gathering] = {}
        self._asked: set[str] = set()
        self._failure_logged_at: float | None = None

    def follow(self, recording: Recording) -> None:
        """Something of a stream was recorded: remember what it says of events. Never waits."""
        if not self._rules.fps:
            return
        stream_id = recording.stream.id
        told = [change.event for change in recording.changes]
        current = recording.detection.told
        if current is not None:
            told.append(current)
        with self._lock:
            for event in told:
                ident = event_id(stream_id, event.first_frame)
                if ident in self._heard or len(self._heard) < 2 * MAX_EVENTS:
                    is_open = current is not None and event.first_frame == current.first_frame
                    self._heard[ident] = _Heard(stream_id, event, ended=not is_open)

    def run(self, stop: threading.Event) -> None:
        """Follow until stopped, whatever is away meanwhile; then write what is under way."""
        run_rounds(self.step, stop, name="events' media", every_s=EVERY_S, on_failure=lambda: None)
        self._finish()

    def step(self) -> bool:
        """One round; whether there is more to do at once.

        Raises: RedisError, SQLAlchemyError: that is away; clips become shorter, or are given up.
        """
        away: RedisError | None = None
        self._listen()
        try:
            self._exchange()
        except RedisError as error:
            away = error
        more = self._write_due()
        now = self._clock()
        self._events = {key: each for key, each in self._events.items() if not each.is_over(now)}
        if away is not None:
            raise away
        return more

    def _listen(self) -> None:
        with self._lock:
            heard, self._heard = self._heard, {}
        now = self._clock()
        while heard:
            ident, told = next(iter(heard.items()))
            try:
                known = self._events.get(ident)
                gathering = self._begin(ident, told, now) if known is None else known
            except SQLAlchemyError:
                with self._lock:
                    self._heard = heard | self._heard
                raise
            if gathering is not None:
                gathering.hear(told.event, ended=told.ended, now=now)
            del heard[ident]

    def _begin(self, ident: str, told: _Heard, now: float) -> Gathering | None:
        of_stream = sum(each.stream_id == told.stream_id for each in self._events.values())
        if len(self._events) >= MAX_EVENTS or of_stream >= MAX_OF_STREAM:
            if told.ended:
                self._metrics.event_media.labels(Kind.CLIP.value, ABSENT).inc()
            return None
        gathering = Gathering(
            stream_id=told.stream_id,
            event_id=ident,
            event=told.event,
            rules=self._rules,
            begun_at=now,
            heard_at=now,
        )
        # Another front end, or this one before it was started again, may have followed it.
        known = self._shelf.kinds(ident)
        if Kind.PEAK in known:
            gathering.peak_score = told.event.peak_score
        if Kind.CLIP in known:
            gathering.close_clip()
        self._events[ident] = gathering
        return gathering

    def _exchange(self) -> None:
        wanted: dict[str, list[Gathering]] = {}
        for gathering in self._events.values():
            wanted.setdefault(gathering.stream_id, []).append(gathering)
        if done := self._asked - wanted.keys():
            self._footage.withdraw(done)
        self._asked = set(wanted)
        received = self._footage.receive(list(wanted), RECEIVE) if wanted else {}
        for shots in received.values():
            for shot in shots:
                asking = self._events.get(shot.meta.event_id)
                if asking is not None:
                    asking.take(shot)
        self._footage.ask(
            {
                stream_id: WantedFootage(
                    before_s=self._rules.before_s, events=tuple(each.wanted() for each in group)
                )
                for stream_id, group in wanted.items()
            }
        )

    def _write_due(self) -> bool:
        """Write the peaks that are due and one clip; whether there are more clips."""
        now = self._clock()
        for gathering in self._events.values():
            gathering.advance(now)
            if gathering.is_peak_due(now):
                self._write_peak(gathering, now)
        held = sum(gathering.held_bytes for gathering in self._events.values())
        if held > MAX_HELD_BYTES:
            largest = max(self._events.values(), key=lambda each: each.held_bytes)
            largest.clip = ClipState.READY
        ready = [each for each in self._events.values() if each.clip is ClipState.READY]
        if ready:
            self._write_clip(ready[0])
        return len(ready) > 1

    def _write_peak(self, gathering: Gathering, now: float) -> None:
        shot = gathering.peak
        if shot is None:
            return
        gathering.peak, gathering.peak_written_at = None, now
        files = [NewFile(Kind.PEAK, partial(_write_bytes, shot.jpeg))]
        if shot.heat:
            files.append(NewFile(Kind.HEAT, partial(_write_bytes, heated(shot.jpeg, shot.heat))))
        if self._put(gathering, files) is None:
            gathering.peak = shot

    def _write_clip(self, gathering: Gathering) -> None:
        gathering.attempts += 1
        pictures, fps = gathering.clip_pictures(), self._rules.fps
        event = gathering.event
        frames = (event.first_frame, event.last_frame)
        write = partial(write_clip, shots=pictures, usual_fps=fps, event_frames=frames)
        outcome = self._put(gathering, [NewFile(Kind.CLIP, write)])
        if outcome is None and gathering.attempts >= ATTEMPTS:
            self._metrics.event_media.labels(Kind.CLIP.value, FAILED).inc()
        elif outcome is None:
            return
        gathering.close_clip()
        if outcome == WRITTEN:
            self._on_clip(gathering.event_id)

    def _put(self, gathering: Gathering, files: Sequence[NewFile]) -> str | None:
        """Write files; what became of them, which is counted. None: the database is away."""
        try:
            outcome = WRITTEN if self._shelf.put(gathering.event_id, files, time.time()) else ABSENT
        except NoClip as error:
            outcome = ABSENT
            log.info("an event has no clip", event_id=gathering.event_id, reason=str(error))
        except SQLAlchemyError as error:
            self._tell_failure(gathering, error)
            return None
        except (OSError, av.FFmpegError) as error:
            outcome = FAILED
            self._tell_failure(gathering, error)
        for file in files:
            self._metrics.event_media.labels(file.kind.value, outcome).inc()
        return outcome

    def _tell_failure(self, gathering: Gathering, error: Exception) -> None:
        """A disk that is full fails for every event: it is told once a minute."""
        now = self._clock()
        last = self._failure_logged_at
        if last is None or now - last >= FAILURE_LOG_S:
            self._failure_logged_at = now
            log.error(
                "files of an event can't be written",
                event_id=gathering.event_id,
                stream=gathering.stream_id,
                error=f"{type(error).__name__}: {error}",
            )

    def _finish(self) -> None:
        """Write the clips that are under way, shorter than they would have become."""
        until = self._clock() + STOPPING_S
        for gathering in self._events.values():
            if self._clock() >= until:
                return
            if gathering.clip is not ClipState.DONE and gathering.pictures:
                self._write_clip(gathering)


def _write_bytes(data: bytes, path: Path) -> None:
    path.write_bytes(data)
