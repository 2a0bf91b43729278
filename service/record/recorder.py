"""The recorder: scores leave Redis for the database, and become events on the way.

One front end records at a time. The cursor of each stream makes a second one, a crash or a lost
answer harmless: its version is compared in the transaction that stores the scores.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import structlog
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import DataError, IntegrityError

from model.events.event_detection import Change, EventStarted, close
from service.bus.recorder_lock import RecorderLock
from service.bus.registry import Registry
from service.bus.scores import IncomingScore, Scores
from service.calibrate.calibrator import Calibrator
from service.errors import StaleCursor
from service.history import rollups
from service.history.history_retention import HistoryRetention
from service.messages import FrameScore
from service.metrics import Metrics
from service.record.cursors import Cursors
from service.record.detection_input import make_rules, observe_scores
from service.record.outage_watch import OutageWatch
from service.record.schedules import read_schedule
from service.record.stream_configs import StreamRows, publish_streams
from service.record.stream_updates import StreamUpdate, store_updates
from service.rounds import run_rounds
from service.settings import Settings
from service.store.database import Database
from service.store.tables import StreamRow
from service.timers import Timer

log = structlog.stdlib.get_logger(__name__)

POLL_S = 0.1
REST_FACTOR = 100.0
"""A round is followed by a rest of so many times its duration, up to `LONGEST_PAUSE_S`."""
LONGEST_PAUSE_S = 0.4
READ_SCORES = 1000
"""Scores of one stream in one transaction, at most."""
SHARED_SCORES = 2000
"""A transaction with so many scores takes no further stream: others wait to write."""
PUBLISH_EVERY_S = 2.0
SILENCE_EVERY_S = 1.0
WATCH_EVERY_S = 1.0
CALIBRATE_EVERY_S = 2.0


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
        on_recorded: Callable[[StreamUpdate], object] = lambda _: None,
    ) -> None:
        """Args: on_recorded: called with each update that was committed; must return at once."""
        self._database = database
        self._redis = redis
        self._metrics = metrics
        self._clock = clock
        self._on_recorded = on_recorded
        self._rules = make_rules(settings)
        self._cooldown_s = settings.event_cooldown_s
        self._lock = RecorderLock(redis, owner)
        self._registry = Registry(redis)
        self._scores = Scores(redis, settings.max_score_backlog)
        self._watch = OutageWatch(database, redis, settings, metrics)
        self._calibrator = Calibrator(database, self._rules, settings.false_alarms_per_day)
        self._retention = HistoryRetention(database, settings, metrics)
        self._streams = StreamRows()
        self._cursors = Cursors(database)
        self._publish_timer = Timer(PUBLISH_EVERY_S, clock)
        self._silence_timer = Timer(SILENCE_EVERY_S, clock)
        self._watch_timer = Timer(WATCH_EVERY_S, clock)
        self._calibrate_timer = Timer(CALIBRATE_EVERY_S, clock)
        self._more = False

    def run(self, stop: threading.Event) -> None:
        """Record until stopped, even while Redis or the database is away."""

        def work() -> bool:
            began = time.monotonic()
            self.step()
            if not self._more:
                # Rounds cost by the stream more than by the score: the longer, the fewer.
                spent_s = time.monotonic() - began
                stop.wait(min(REST_FACTOR * spent_s, LONGEST_PAUSE_S))
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
        """Go once over all streams; return how many scores were stored.

        Raises: Exception: something failed. What concerns one stream only is raised after the
            others have had their turn.
        """
        self._more = False
        holding = self._lock.hold()
        self._metrics.recording.set(int(holding))
        if not holding:
            self._cursors.forget()
            return 0
        if self._publish_timer.is_due:
            publish_streams(self._database, self._registry, self._streams)
            self._publish_timer.restart()
        streams = self._refresh()
        waiting = self._read(list(streams))
        recorded = self._record_all(waiting, streams)
        if self._silence_timer.is_due:
            self._close_silent(waiting.keys(), streams)
            self._silence_timer.restart()
        if self._watch_timer.is_due:
            self._watch.update({key: row.paused for key, row in streams.items()}, self._clock())
            self._watch_timer.restart()
        if self._calibrate_timer.restart_if_due():
            foreign = [
                key
                for key, name in self._watch.models.items()
                if name is not None and key in streams and name != streams[key].model
            ]
            self._calibrator.visit_due(streams, foreign)
        self._retention.take_turn(self._clock(), recorded)
        self._more = any(len(found) >= READ_SCORES for found in waiting.values())
        return recorded

    def _refresh(self) -> Mapping[str, StreamRow]:
        with self._database.read() as session:
            return self._streams.refresh(session)

    def _read(self, stream_ids: Sequence[str]) -> dict[str, list[IncomingScore]]:
        try:
            return self._scores.read(stream_ids, READ_SCORES)
        except ValueError:
            for stream_id, count in self._scores.drop_malformed(stream_ids, READ_SCORES).items():
                log.error("entries that are no scores were dropped", stream=stream_id, count=count)
            return self._scores.read(stream_ids, READ_SCORES)

    def _record_all(
        self, waiting: Mapping[str, Sequence[IncomingScore]], streams: Mapping[str, StreamRow]
    ) -> int:
        recorded = 0
        failure: Exception | None = None
        for group in _split(waiting):
            try:
                recorded += self._record(group, streams)
                continue
            except (StaleCursor, IntegrityError, DataError):
                # Another recorder wrote, or a stream was deleted meanwhile: see what there is now.
                streams = self._refresh()
            # What concerns one stream must not keep back the others: each by itself.
            for stream_id, incoming in group.items():
                alone = {stream_id: incoming}
                try:
                    recorded += self._record(alone, streams)
                except (StaleCursor, IntegrityError, DataError) as error:
                    log.warning("scores were not stored", stream=stream_id, error=str(error))
                    failure = failure or error
        if failure is not None:
            raise failure
        return recorded

    def _record(
        self, waiting: Mapping[str, Sequence[IncomingScore]], streams: Mapping[str, StreamRow]
    ) -> int:
        """Store the waiting scores of these streams in one transaction; return their number."""
        updates = self._prepare(waiting, streams)
        if updates:
            self._commit(updates)
        # A deleted stream's scores are dropped.
        self._scores.acknowledge(
            {stream_id: [each.entry for each in found] for stream_id, found in waiting.items()}
        )
        return sum(len(each.scores) for each in updates)

    def _prepare(
        self, waiting: Mapping[str, Sequence[IncomingScore]], streams: Mapping[str, StreamRow]
    ) -> list[StreamUpdate]:
        """Return the updates of the streams that exist and have new scores."""
        updates: list[StreamUpdate] = []
        for stream_id, incoming in waiting.items():
            stream = streams.get(stream_id)
            if stream is None:
                continue
            cursor = self._cursors.get(stream_id)
            scores = _select_above(cursor.last_frame, incoming)
            if not scores:
                continue
            schedule = read_schedule(stream.schedule)
            detection, changes = observe_scores(cursor.detection, scores, schedule, self._rules)
            updates.append(
                StreamUpdate(
                    stream,
                    cursor,
                    scores,
                    detection,
                    changes,
                    picture=self._read_preview(stream.id, changes),
                    cooldown_s=(
                        self._cooldown_s if stream.cooldown_s is None else stream.cooldown_s
                    ),
                )
            )
        return updates

    def _close_silent(self, recorded: Collection[str], streams: Mapping[str, StreamRow]) -> None:
        """End events of streams that nothing was recorded for recently.

        The time since the recording counts, and not the time since the scoring: a worker's clock
        may differ from this one.
        """
        self._cursors.keep(streams.keys())
        before = self._clock() - self._rules.silence_s
        for stream_id, cursor in list(self._cursors.find_silent_events(before)):
            if stream_id not in recorded:
                detection, changes = close(cursor.detection)
                stream = streams[stream_id]
                self._commit([StreamUpdate(stream, cursor, (), detection, changes)])

    def _read_preview(self, stream_id: str, changes: Sequence[Change]) -> bytes | None:
        if not any(isinstance(change, EventStarted) for change in changes):
            return None
        preview = self._registry.preview(stream_id)
        return None if preview is None else preview.jpeg

    def _commit(self, updates: Sequence[StreamUpdate]) -> None:
        now = self._clock()
        self._cursors.doubt([each.stream.id for each in updates])
        with self._database.write() as session:
            stored = store_updates(session, updates, now)
            rollups.add_scores(session, {each.stream.id: each.scores for each in updates})
        self._cursors.settle(stored.cursors)
        self._metrics.events.labels("muted").inc(stored.muted)
        now = self._clock()
        for score in (score for each in updates for score in each.scores):
            self._metrics.recorded_scores.inc()
            self._metrics.record_delay.observe(max(0.0, now - score.scored_at))
        for each in updates:
            self._log_changes(each)
            self._on_recorded(each)

    def _log_changes(self, update: StreamUpdate) -> None:
        for change in update.changes:
            kind = "started" if isinstance(change, EventStarted) else "ended"
            self._metrics.events.labels(kind).inc()
            log.info(
                "an event changed",
                change=kind,
                stream=update.stream.id,
                first_frame=change.event.first_frame,
                last_frame=change.event.last_frame,
                peak_score=round(change.event.peak_score, 4),
            )


def _split(
    waiting: Mapping[str, Sequence[IncomingScore]],
) -> Iterator[dict[str, Sequence[IncomingScore]]]:
    """Yield streams that share a transaction: a flush to disk costs as much as many scores."""
    group: dict[str, Sequence[IncomingScore]] = {}
    scores = 0
    for stream_id, incoming in waiting.items():
        group[stream_id] = incoming
        scores += len(incoming)
        if scores >= SHARED_SCORES:
            yield group
            group, scores = {}, 0
    if group:
        yield group


def _select_above(last_frame: int, incoming: Sequence[IncomingScore]) -> list[FrameScore]:
    """Return the scores that aren't stored yet, in rising order of frames."""
    scores: list[FrameScore] = []
    for entry in incoming:
        if entry.score.frame > last_frame:
            scores.append(entry.score)
            last_frame = entry.score.frame
    return scores
