"""The part of the recorder that keeps streams' logs and reports their outages.

Notes and statuses come from Redis; what follows from them is committed before notes are
acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import structlog
from redis import Redis
from sqlalchemy.exc import IntegrityError

from service.bus.log_entries import IncomingNote, Notes
from service.bus.registry import Registry
from service.errors import StaleCursor
from service.logs import hide_secrets
from service.messages import PAUSED, DropReason, StreamState, StreamStatus
from service.metrics import Metrics
from service.record import stream_log
from service.record.outages import (
    ObservedState,
    OutageChange,
    OutageRules,
    OutageStarted,
    observe_state,
)
from service.record.stream_log import LogEntry, LogKind, StoredOutage, StreamFindings
from service.settings import Settings
from service.store.database import Database

log = structlog.stdlib.get_logger(__name__)

SILENT_S = 5.0
"""A worker sends statuses every second; one that didn't for so long is gone."""
START_S = 30.0
"""What a worker may need to start, at the same time as the front end or later: until then, a stream
without any status is no outage."""
READ_NOTES = 100
"""Notes of one stream that are read at a time."""
SHARED_STREAMS = 200
"""Streams that one transaction writes about: others wait to write too."""
CLEAR_EVERY_S = 60.0
QUIET_S = 60.0
"""Losses of scores that are further apart are logged again."""
NO_STATUS = ObservedState(StreamState.PENDING, "no worker reports its status")


@dataclass(slots=True)
class _LastStatus:
    """When a stream's status was last renewed, by the recorder's clock."""

    updated_at: float | None
    received_at: float


@dataclass(slots=True)
class _LostScores:
    """How many scores a stream's owner has counted as lost, and when that last rose."""

    owner: tuple[str, int]
    count: int
    rose_at: float | None = None


class OutageWatch:
    """Remembers the streams' health between its rounds."""

    def __init__(
        self, database: Database, redis: Redis, settings: Settings, metrics: Metrics
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._registry = Registry(redis)
        self._notes = Notes(redis)
        self._rules = OutageRules(settings.down_after_s, settings.recovered_after_s)
        self._statuses: dict[str, _LastStatus] = {}
        self._lost: dict[str, _LostScores] = {}
        self.models: Mapping[str, str | None] = {}
        """The model that scores each stream, as its owner reports."""
        self._updated_at: float | None = None
        self._cleared_at: float | None = None

    def update(self, paused: Mapping[str, bool], now: float) -> None:
        """Read the news of these streams; `paused` says of each whether it is.

        Raises: Exception: something failed; what was written is acknowledged, the rest comes again.
        """
        notes = self._notes.read(list(paused), READ_NOTES)
        statuses = self._registry.statuses(list(paused))
        self.models = {key: status.model for key, status in statuses.items()}
        with self._database.read() as session:
            before = stream_log.load_outages(session)
        self._receive(paused, statuses, now)
        found = (
            self._examine(
                before.get(stream_id, StoredOutage()),
                notes.get(stream_id, ()),
                statuses.get(stream_id),
                stream_id=stream_id,
                is_paused=is_paused,
                now=now,
            )
            for stream_id, is_paused in paused.items()
        )
        changed = [each for each in found if _is_news(each)]
        failure: Exception | None = None
        for group in _split(changed):
            failure = self._write(group, notes, now) or failure
        self._clear(now)
        if failure is not None:
            raise failure

    def _receive(
        self, paused: Mapping[str, bool], statuses: Mapping[str, StreamStatus], now: float
    ) -> None:
        """Note which statuses are new. A gap between rounds counts as nobody's silence."""
        if self._updated_at is None or not 0 <= now - self._updated_at < SILENT_S:
            self._statuses.clear()
        self._updated_at = now
        self._statuses = {key: last for key, last in self._statuses.items() if key in paused}
        self._lost = {key: lost for key, lost in self._lost.items() if key in paused}
        for stream_id in paused:
            status = statuses.get(stream_id)
            updated_at = None if status is None else status.updated_at
            last = self._statuses.get(stream_id)
            if last is None or (updated_at is not None and updated_at != last.updated_at):
                self._statuses[stream_id] = _LastStatus(updated_at, now)

    def _examine(
        self,
        before: StoredOutage,
        notes: Sequence[IncomingNote],
        status: StreamStatus | None,
        *,
        stream_id: str,
        is_paused: bool,
        now: float,
    ) -> StreamFindings:
        entries = [_make_entry(each) for each in notes]
        outage, changes = before.outage, list[OutageChange]()
        states = [] if is_paused else [*_read_states(notes, now)]
        current = self._find_current_state(stream_id, is_paused, status, now)
        if current is not None:
            states.append((current, now))
        for observed, at in states:
            outage, news = observe_state(outage, observed, at, self._rules)
            changes.extend(news)
        if outage is not None and outage.state is StreamState.PENDING:
            was = before.outage
            if was is None or was.state is not StreamState.PENDING:
                entries.append(LogEntry(LogKind.STATE, now, StreamState.PENDING, NO_STATUS.reason))
        if status is not None:
            entries.extend(self._find_losses(stream_id, status, now))
        return StreamFindings(stream_id, entries, before, outage, changes)

    def _find_current_state(
        self, stream_id: str, is_paused: bool, status: StreamStatus | None, now: float
    ) -> ObservedState | None:
        """Return how the stream is now; None while that isn't known."""
        if is_paused:
            return ObservedState(StreamState.PAUSED, PAUSED)
        last = self._statuses[stream_id]
        if now - last.received_at >= (START_S if last.updated_at is None else SILENT_S):
            return ObservedState(NO_STATUS.state, NO_STATUS.reason, since=last.received_at)
        if status is None or status.state is StreamState.PAUSED:
            return None
        return ObservedState(status.state, hide_secrets(status.reason))

    def _find_losses(self, stream_id: str, status: StreamStatus, now: float) -> Iterator[LogEntry]:
        """Yield an entry when scores begin to be lost for want of room in Redis."""
        owner = (status.worker, status.epoch)
        count = status.dropped.get(DropReason.BACKLOG, 0)
        lost = self._lost.get(stream_id)
        if lost is None or lost.owner != owner:
            self._lost[stream_id] = _LostScores(owner, count)
            return
        if count <= lost.count:
            return
        is_new = lost.rose_at is None or not 0 <= now - lost.rose_at < QUIET_S
        more, lost.count, lost.rose_at = count - lost.count, count, now
        if is_new:
            reason = f"{more} scores waited for the database until there was no more room for them"
            log.error("scores were lost", stream=stream_id, count=more)
            yield LogEntry(LogKind.SCORES_LOST, now, status.state, reason, status.worker)

    def _write(
        self,
        group: Sequence[StreamFindings],
        notes: Mapping[str, Sequence[IncomingNote]],
        now: float,
    ) -> Exception | None:
        """Commit and acknowledge; what concerns one stream must not keep back the others."""
        try:
            with self._database.write() as session:
                stream_log.write_findings(session, group, now)
        except (StaleCursor, IntegrityError) as error:
            if len(group) == 1:
                log.warning(
                    "a log was not written", stream=group[0].stream_id, error=type(error).__name__
                )
                return error
            failures = [self._write([findings], notes, now) for findings in group]
            return next((failure for failure in failures if failure is not None), None)
        self._notes.acknowledge(
            {
                findings.stream_id: [note.entry for note in notes.get(findings.stream_id, ())]
                for findings in group
            }
        )
        for findings in group:
            self._count_changes(findings)
        return None

    def _count_changes(self, findings: StreamFindings) -> None:
        for change in findings.changes:
            is_start = isinstance(change, OutageStarted)
            kind = LogKind.DOWN if is_start else LogKind.RECOVERED
            cause = change.outage if isinstance(change, OutageStarted) else change.observed
            self._metrics.outages.labels(kind.value).inc()
            log.warning(
                "an outage was reported",
                kind=kind.value,
                stream=findings.stream_id,
                state=cause.state.value,
                reason=cause.reason,
            )

    def _clear(self, now: float) -> None:
        if self._cleared_at is not None and 0 <= now - self._cleared_at < CLEAR_EVERY_S:
            return
        with self._database.write() as session:
            count = stream_log.delete_old_entries(session, now)
        self._cleared_at = None if count >= stream_log.DELETED_AT_ONCE else now


def _read_states(
    notes: Sequence[IncomingNote], now: float
) -> Iterator[tuple[ObservedState, float]]:
    """Yield the states that notes report, with times by the recorder's clock.

    The newest counts as from now, and the others are as much older as they are by their worker's
    clock.
    """
    latest = notes[-1].note.at if notes else 0.0
    for each in notes:
        note = each.note
        state = ObservedState(note.state, hide_secrets(note.reason))
        yield state, min(now, now - (latest - note.at))


def _make_entry(incoming: IncomingNote) -> LogEntry:
    note = incoming.note
    return LogEntry(
        LogKind(note.kind.value),
        note.at,
        note.state,
        hide_secrets(note.reason),
        note.worker[:200],
        incoming.entry,
    )


def _is_news(findings: StreamFindings) -> bool:
    return bool(findings.entries or findings.changes) or findings.outage != findings.before.outage


def _split(findings: Sequence[StreamFindings]) -> Iterator[list[StreamFindings]]:
    """Yield groups of streams that share a transaction."""
    rest = iter(findings)
    while group := list(islice(rest, SHARED_STREAMS)):
        yield group
