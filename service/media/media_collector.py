"""Collects pictures of events from workers, and writes them to files.

It runs in a thread of its own: the recorder only passes on what it committed, and waits for
nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import av
import structlog
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from model.events.event_detection import Event
from service.bus.picture_requests import Shots
from service.media.clip import NoClip, encode_clip
from service.media.event_pictures import ATTEMPTS, ClipRules, ClipState, EventPictures
from service.media.failure_log import FailureLog
from service.media.heat_overlay import overlay_heat
from service.media.shelf import MediaKind, Shelf
from service.messages import ShotRequest
from service.metrics import Metrics
from service.record.stream_updates import StreamUpdate, make_event_id
from service.rounds import run_rounds
from service.settings import Settings

log = structlog.stdlib.get_logger(__name__)

EVERY_S = 0.5
RECEIVE = 100
"""Pictures of one camera in one round."""
MAX_EVENTS = 256
"""Events that are followed at a time; further ones have no pictures."""
MAX_OF_STREAM = 8
"""Events of one camera: one's clip may still go on when the next ones begin."""
MAX_HELD_BYTES = 96 * 1024 * 1024
"""Pictures that wait to be encoded, of all events; above that the largest clip ends."""
STOPPING_S = 2.5
"""Seconds at the end in which clips that are under way are written."""
WRITTEN, FAILED, ABSENT = "written", "failed", "absent"
"""What becomes of a file; absent: there were no pictures, or the event was deleted."""


@dataclass(frozen=True, slots=True)
class _EventNews:
    """What the recorder last committed about an event."""

    stream_id: str
    event: Event
    ended: bool


class MediaCollector:
    """Follows events from their start to their last file.

    A picture's way: a worker sends it (`_exchange`), an event's `EventPictures` keeps it, and it is
    written when it is due (`_write_due`). `run` is a thread; `follow` is for the recorder.
    """

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
        """Args: on_clip: called with the event's id after each clip that was written."""
        self._footage = Shots(redis)
        self._shelf = shelf
        self._metrics = metrics
        self._on_clip = on_clip
        self._clock = clock
        self._rules = ClipRules(
            settings.clip_before_s, settings.clip_after_s, settings.clip_max_s, settings.clip_fps
        )
        self._lock = threading.Lock()
        self._news: dict[str, _EventNews] = {}
        self._events: dict[str, EventPictures] = {}
        self._asked: set[str] = set()
        self._failures = FailureLog("files of an event can't be written")

    def follow(self, update: StreamUpdate) -> None:
        """Remember what a committed update says of events. It never waits."""
        events = [change.event for change in update.changes]
        current = update.detection.reported
        if current is not None:
            events.append(current)
        if not events or not self._rules.fps:
            return
        stream_id = update.stream.id
        with self._lock:
            for event in events:
                event_id = make_event_id(stream_id, event.first_frame)
                if event_id in self._news or len(self._news) < 2 * MAX_EVENTS:
                    is_open = current is not None and event.first_frame == current.first_frame
                    self._news[event_id] = _EventNews(stream_id, event, ended=not is_open)

    def run(self, stop: threading.Event) -> None:
        """Follow until stopped, even while Redis or the database is away; then finish clips."""
        run_rounds(self.step, stop, name="events' media", every_s=EVERY_S, on_failure=lambda: None)
        self._finish()

    def step(self) -> bool:
        """Do one round; return whether there is more to do at once.

        Raises: RedisError, SQLAlchemyError: that is away; clips become shorter, or are given up.
        """
        away: RedisError | None = None
        self._read_news()
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

    def _read_news(self) -> None:
        with self._lock:
            waiting, self._news = self._news, {}
        now = self._clock()
        while waiting:
            event_id, news = next(iter(waiting.items()))
            try:
                pictures = self._events.get(event_id) or self._begin(event_id, news, now)
            except SQLAlchemyError:
                with self._lock:
                    self._news = waiting | self._news
                raise
            if pictures is not None:
                pictures.update(news.event, ended=news.ended, now=now)
            del waiting[event_id]

    def _begin(self, event_id: str, news: _EventNews, now: float) -> EventPictures | None:
        of_stream = sum(each.stream_id == news.stream_id for each in self._events.values())
        if len(self._events) >= MAX_EVENTS or of_stream >= MAX_OF_STREAM:
            if news.ended:
                self._count(MediaKind.CLIP, ABSENT)
            return None
        pictures = EventPictures(
            stream_id=news.stream_id,
            event_id=event_id,
            event=news.event,
            rules=self._rules,
            begun_at=now,
            updated_at=now,
        )
        # Another front end, or this one before it was started again, may have followed it.
        known = self._shelf.kinds(event_id)
        if MediaKind.PEAK in known:
            pictures.peak_score = news.event.peak_score
        if MediaKind.CLIP in known:
            pictures.close_clip()
        self._events[event_id] = pictures
        return pictures

    def _exchange(self) -> None:
        """Receive what workers have sent, then ask for what is missing."""
        followed: dict[str, list[EventPictures]] = {}
        for pictures in self._events.values():
            followed.setdefault(pictures.stream_id, []).append(pictures)
        if done := self._asked - followed.keys():
            self._footage.withdraw(done)
        self._asked = set(followed)
        received = self._footage.receive(list(followed), RECEIVE) if followed else {}
        for shots in received.values():
            for shot in shots:
                receiving = self._events.get(shot.meta.event_id)
                if receiving is not None:
                    receiving.add(shot)
        self._footage.request(
            {
                stream_id: ShotRequest(
                    before_s=self._rules.before_s,
                    events=tuple(each.make_request() for each in group),
                )
                for stream_id, group in followed.items()
            }
        )

    def _write_due(self) -> bool:
        """Write the peaks that are due and one clip; return whether there are more clips."""
        now = self._clock()
        for pictures in self._events.values():
            pictures.advance(now)
            if pictures.is_peak_due(now):
                self._write_peak(pictures, now)
        held = sum(pictures.held_bytes for pictures in self._events.values())
        if held > MAX_HELD_BYTES:
            largest = max(self._events.values(), key=lambda each: each.held_bytes)
            largest.clip = ClipState.READY
        ready = [each for each in self._events.values() if each.clip is ClipState.READY]
        if ready:
            self._write_clip(ready[0])
        return len(ready) > 1

    def _write_peak(self, pictures: EventPictures, now: float) -> None:
        shot = pictures.peak
        if shot is None:
            return
        pictures.peak, pictures.peak_written_at = None, now
        files = {MediaKind.PEAK: shot.jpeg}
        if shot.heat:
            files[MediaKind.HEAT] = overlay_heat(shot.jpeg, shot.heat)
        if self._write(pictures, files) is None:
            pictures.peak = shot

    def _write_clip(self, pictures: EventPictures) -> None:
        pictures.attempts += 1
        event = pictures.event
        outcome: str | None
        try:
            clip = encode_clip(
                pictures.select_for_clip(), self._rules.fps, (event.first_frame, event.last_frame)
            )
        except NoClip as error:
            log.info("an event has no clip", event_id=pictures.event_id, reason=str(error))
            outcome = ABSENT
            self._count(MediaKind.CLIP, outcome)
        except (OSError, av.FFmpegError) as error:
            self._failures.add(pictures.stream_id, pictures.event_id, error)
            outcome = FAILED
            self._count(MediaKind.CLIP, outcome)
        else:
            outcome = self._write(pictures, {MediaKind.CLIP: clip})
        if outcome is None and pictures.attempts >= ATTEMPTS:
            self._count(MediaKind.CLIP, FAILED)
        elif outcome is None:
            return
        pictures.close_clip()
        if outcome == WRITTEN:
            self._on_clip(pictures.event_id)

    def _write(self, pictures: EventPictures, files: Mapping[MediaKind, bytes]) -> str | None:
        """Write files, count and return what became of them; None: the database is away."""
        try:
            outcome = WRITTEN if self._shelf.put(pictures.event_id, files, time.time()) else ABSENT
        except SQLAlchemyError as error:
            self._failures.add(pictures.stream_id, pictures.event_id, error)
            return None
        except OSError as error:
            self._failures.add(pictures.stream_id, pictures.event_id, error)
            outcome = FAILED
        for kind in files:
            self._count(kind, outcome)
        return outcome

    def _count(self, kind: MediaKind, outcome: str) -> None:
        self._metrics.event_media.labels(kind.value, outcome).inc()

    def _finish(self) -> None:
        """Write the clips that are under way, shorter than they would have become."""
        until = self._clock() + STOPPING_S
        for pictures in self._events.values():
            if self._clock() >= until:
                return
            if pictures.clip is not ClipState.DONE and pictures.pictures:
                self._write_clip(pictures)
