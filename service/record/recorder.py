"""The recorder: scores leave Redis for the database, and become events on the way.

One front end records at a time. What makes a second one, a crash or a lost answer harmless is the
cursor of each stream: its version is compared in the transaction that stores its scores.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import structlog
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.exc import DataError, IntegrityError

from model.events import Change, Detection, EventStarted, close, observe_all
from service.bus.recorder_lock import RecorderLock
from service.bus.registry import Registry
from service.bus.scores import Incoming, Scores
from service.calibrate.calibrator import Calibrator
from service.errors import StaleCursor
from service.history import rollups
from service.history.retention import Retention
from service.messages import FrameScore
from service.metrics import Metrics
from service.record.events import from_json, rules, scored_frame
from service.record.publisher import publish_streams
from service.record.schedules import schedule_of
from service.record.storing import Position, Recording, store
from service.record.watch import Watch
from service.rounds import run_rounds
from service.settings import Settings
from service.store.database import Database
from service.store.tables import CursorRow, StreamRow

log = structlog.stdlib.get_logger(__name__)

POLL_S = 0.1
REST = 10.0
"""A round is followed by so many times its duration of rest, up to `LONGEST_PAUSE_S`."""
LONGEST_PAUSE_S = 0.5
READ_SCORES = 1000
"""Scores of one stream in one transaction, at most."""
SHARED_SCORES = 2000
"""A transaction that holds so many takes no further stream in: others wait to write."""
PUBLISH_EVERY_S = 2.0
SILENCE_EVERY_S = 1.0
WATCH_EVERY_S = 1.0
CALIBRATE_EVERY_S = 2.0

_PAUSED = select(StreamRow.id, StreamRow.paused)


class Recorder:
    """The part of a front end that records, while it holds the recorder's lock."""

    def __init__(
        self,
        database: Database,
        redis: Redis,
        settings: Settings,
        metrics: Metrics,
        *,
        owner: str,
        clock: Callable[[], float] = time.time,
        on_recorded: Callable[[Recording], object] = lambda _: None,
    ) -> None:
        """Args: on_recorded: hears of what was committed; must return at once."""
        self._database = database
        self._redis = redis
        self._metrics = metrics
        self._clock = clock
        self._on_recorded = on_recorded
        self._rules = rules(settings)
        self._cooldown_s = settings.event_cooldown_s
        self._lock = RecorderLock(redis, owner)
        self._registry = Registry(redis)
        self._scores = Scores(redis, settings.max_score_backlog)
        self._watch = Watch(database, redis, settings, metrics)
        self._calibrator = Calibrator(database, self._rules, settings.false_alarms_per_day)
        self._retention = Retention(database, settings, metrics)
        self._published_at: float | None = None
        self._silence_at: float | None = None
        self._watched_at: float | None = None
        self._calibrated_at: float | None = None
        self._more = False

    def run(self, stop: threading.Event) -> None:
        """Record until stopped, whatever is away meanwhile."""

        def work() -> bool:
            began = time.monotonic()
            self.step()
            if not self._more:
                # Rounds cost by the stream more than by the score: the longer, the fewer.
                spent_s = time.monotonic() - began
                stop.wait(min(REST * spent_s, LONGEST_PAUSE_S))
            return self._more

        try:
            run_rounds(
                work,
                stop,
                name="recording",
                every_s=POLL_S,
                on_failure=self._metrics.record_failures.inc,
            )
        finally:
            self._metrics.recording.set(0)
            with contextlib.suppress(RedisError):
                self._lock.release()

    def step(self) -> int:
        """One round over all streams; how many scores were stored.

        Raises: whatever failed. What concerns one stream only is raised after the others have had
            their turn.
        """
        self._more = False
        holding = self._lock.hold()
        self._metrics.recording.set(int(holding))
        if not holding:
            return 0
        if self._is_due(self._published_at, PUBLISH_EVERY_S):
            publish_streams(self._database, self._redis)
            self._published_at = self._clock()
        with self._database.read() as session:
            paused = {key: bool(is_so) for key, is_so in session.execute(_PAUSED)}
        waiting = self._read(list(paused))
        recorded = self._record_all(waiting)
        if self._is_due(self._silence_at, SILENCE_EVERY_S):
            self._close_silent(waiting.keys())
            self._silence_at = self._clock()
        if self._is_due(self._watched_at, WATCH_EVERY_S):
            self._watch.look(paused, self._clock())
            self._watched_at = self._clock()
        if self._is_due(self._calibrated_at, CALIBRATE_EVERY_S):
            self._calibrated_at = self._clock()
            self._calibrator.look(paused)
        self._retention.turn(self._clock(), recorded)
        self._more = any(len(found) >= READ_SCORES for found in waiting.values())
        return recorded

    def _is_due(self, last: float | None, every_s: float) -> bool:
        # A clock that was set back must not keep it from its turn.
        return last is None or not 0 <= self._clock() - last < every_s

    def _read(self, stream_ids: Sequence[str]) -> dict[str, list[Incoming]]:
        try:
            return self._scores.read(stream_ids, READ_SCORES)
        except ValidationError:
            for stream_id, count in self._scores.drop_malformed(stream_ids, READ_SCORES).items():
                log.error("entries that are no scores were dropped", stream=stream_id, count=count)
            return self._scores.read(stream_ids, READ_SCORES)

    def _record_all(self, waiting: Mapping[str, Sequence[Incoming]]) -> int:
        recorded = 0
        failure: Exception | None = None
        for group in _groups(waiting):
            try:
                recorded += self._record(group)
                continue
            except (StaleCursor, IntegrityError, DataError) as error:
                if len(group) == 1:
                    failure = failure or _told(group, error)
                    continue
            # What concerns one stream must not keep back the others: each by itself.
            for stream_id, incoming in group.items():
                alone = {stream_id: incoming}
                try:
                    recorded += self._record(alone)
                except (StaleCursor, IntegrityError, DataError) as error:
                    failure = failure or _told(alone, error)
        if failure is not None:
            raise failure
        return recorded

    def _record(self, waiting: Mapping[str, Sequence[Incoming]]) -> int:
        """Store what waits of these streams in one transaction; how many scores that was."""
        recordings = self._prepared(waiting)
        if recordings:
            self._commit(recordings)
        # A deleted stream's scores are dropped.
        self._scores.acknowledge(
            {stream_id: [each.entry for each in found] for stream_id, found in waiting.items()}
        )
        return sum(len(recording.scores) for recording in recordings)

    def _prepared(self, waiting: Mapping[str, Sequence[Incoming]]) -> list[Recording]:
        """What is to be stored, of streams that are there and have something new."""
        with self._database.read() as session:
            streams = session.scalars(select(StreamRow).where(StreamRow.id.in_(waiting))).all()
            found = session.scalars(select(CursorRow).where(CursorRow.stream_id.in_(waiting))).all()
        cursors = {cursor.stream_id: cursor for cursor in found}
        recordings: list[Recording] = []
        for stream in streams:
            position = _position(cursors.get(stream.id), stream.id)
            scores = _above(position.last_frame, waiting[stream.id])
            if not scores:
                continue
            schedule = schedule_of(stream.schedule)
            frames = (scored_frame(score, schedule) for score in scores)
            detection, changes = observe_all(position.detection, frames, self._rules)
            recordings.append(self._recording(stream, position, scores, detection, changes))
        return recordings

    def _recording(
        self,
        stream: StreamRow,
        position: Position,
        scores: Sequence[FrameScore],
        detection: Detection,
        changes: Sequence[Change],
    ) -> Recording:
        return Recording(
            stream,
            position,
            scores,
            detection,
            changes,
            snapshot=self._snapshot(stream.id, changes),
            cooldown_s=self._cooldown_s if stream.cooldown_s is None else stream.cooldown_s,
        )

    def _close_silent(self, heard: Collection[str]) -> None:
        """End events of streams that nothing was recorded of for a while.

        The time since the recording counts, and not the time since the scoring: a worker's clock
        may differ from this one.
        """
        before = self._clock() - self._rules.silence_s
        query = (
            select(StreamRow, CursorRow)
            .join(CursorRow, CursorRow.stream_id == StreamRow.id)
            .where(CursorRow.recorded_at < before)
        )
        with self._database.read() as session:
            found = session.execute(query).all()
        for stream, cursor in found:
            position = _position(cursor, stream.id)
            if position.detection.told is not None and stream.id not in heard:
                detection, changes = close(position.detection)
                self._commit([Recording(stream, position, (), detection, changes)])

    def _snapshot(self, stream_id: str, changes: Sequence[Change]) -> bytes | None:
        if not any(isinstance(change, EventStarted) for change in changes):
            return None
        preview = self._registry.preview(stream_id)
        return None if preview is None else preview.jpeg

    def _commit(self, recordings: Sequence[Recording]) -> None:
        muted = 0
        with self._database.write() as session:
            for recording in recordings:
                muted += store(session, recording, self._clock())
            rollups.add(session, {each.stream.id: each.scores for each in recordings})
        self._metrics.events.labels("muted").inc(muted)
        now = self._clock()
        for recording in recordings:
            self._count(recording, now)
            self._on_recorded(recording)

    def _count(self, recording: Recording, now: float) -> None:
        self._metrics.recorded_scores.inc(len(recording.scores))
        for score in recording.scores:
            self._metrics.record_delay.observe(max(0.0, now - score.scored_at))
        for change in recording.changes:
            kind = "started" if isinstance(change, EventStarted) else "ended"
            self._metrics.events.labels(kind).inc()
            log.info(
                "an event changed",
                change=kind,
                stream=recording.stream.id,
                first_frame=change.event.first_frame,
                last_frame=change.event.last_frame,
                peak_score=round(change.event.peak_score, 4),
            )


def _groups(
    waiting: Mapping[str, Sequence[Incoming]],
) -> Iterator[dict[str, Sequence[Incoming]]]:
    """Streams that share a transaction: a flush to disk costs as much as many scores."""
    group: dict[str, Sequence[Incoming]] = {}
    for stream_id, incoming in waiting.items():
        group[stream_id] = incoming
        if sum(map(len, group.values())) >= SHARED_SCORES:
            yield group
            group = {}
    if group:
        yield group


def _told(group: Mapping[str, Sequence[Incoming]], error: Exception) -> Exception:
    log.warning("scores were not stored", stream=next(iter(group)), error=str(error))
    return error


def _position(cursor: CursorRow | None, stream_id: str) -> Position:
    if cursor is None:
        return Position(version=None, last_frame=-1, recorded_at=0.0, detection=Detection())
    try:
        detection = from_json(cursor.detection)
    except ValueError:
        log.error("the state of event detection can't be read; it starts anew", stream=stream_id)
        detection = Detection()
    return Position(
        cursor.version, cursor.last_frame, cursor.recorded_at, detection, cursor.told_at
    )


def _above(last_frame: int, incoming: Sequence[Incoming]) -> list[FrameScore]:
    """Scores that aren't stored yet, in rising order of frames."""
    scores: list[FrameScore] = []
    for entry in incoming:
        if entry.score.frame > last_frame:
            scores.append(entry.score)
            last_frame = entry.score.frame
    return scores
