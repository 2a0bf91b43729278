"""The part of the recorder that keeps streams' logs and tells of their outages.

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

from service.bus.notes import IncomingNote, Notes
from service.bus.registry import Registry
from service.errors import StaleCursor
from service.logs import hide_secrets
from service.messages import DropReason, StreamState, StreamStatus
from service.metrics import Metrics
from service.record import journal
from service.record.health import Down, HealthRules, Outage, Seen, Told, observe
from service.record.journal import Entry, Findings, LogKind, Standing
from service.settings import Settings
from service.store.database import Database

log = structlog.stdlib.get_logger(__name__)

SILENT_S = 5.0
"""A worker tells of its streams every second; one that didn't for so long isn't there."""
START_S = 30.0
"""What a worker may need to start, beside the front end or after it: until then, a stream that was
never heard of is no outage."""
READ_NOTES = 100
"""Of one stream at a time."""
SHARED_STREAMS = 200
"""Streams of which one transaction writes: others wait to write too."""
CLEAR_EVERY_S = 60.0
QUIET_S = 60.0
"""Losses of scores that are further apart are told of again."""
UNTOLD = Seen(StreamState.PENDING, "no worker tells of it")


@dataclass(slots=True)
class _Heard:
    """When a stream's status was renewed last, by the recorder's clock."""

    updated_at: float | None
    at: float


@dataclass(slots=True)
class _Lost:
    """How many scores a stream's owner has counted as lost, and when that last rose."""

    owner: tuple[str, int]
    count: int
    rose_at: float | None = None


class Watch:
    """What the recorder knows of the streams' health between its looks."""

    def __init__(
        self, database: Database, redis: Redis, settings: Settings, metrics: Metrics
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._registry = Registry(redis)
        self._notes = Notes(redis)
        self._rules = HealthRules(settings.down_after_s, settings.recovered_after_s)
        self._heard: dict[str, _Heard] = {}
        self._lost: dict[str, _Lost] = {}
        self._looked_at: float | None = None
        self._cleared_at: float | None = None

    def look(self, paused: Mapping[str, bool], now: float) -> None:
        """Take in what came of these streams; `paused` says of each whether it is.

        Raises: whatever failed; what was written is acknowledged, the rest comes again.
        """
        notes = self._notes.read(list(paused), READ_NOTES)
        statuses = self._registry.statuses(list(paused))
        with self._database.read() as session:
            before = journal.standings(session)
        self._listen(paused, statuses, now)
        found = (
            self._found(stream_id, is_paused, notes.get(stream_id, ()), statuses, before, now)
            for stream_id, is_paused in paused.items()
        )
        changed = [each for each in found if _is_news(each)]
        failure: Exception | None = None
        for group in _groups(changed):
            failure = self._write(group, notes, now) or failure
        self._clear(now)
        if failure is not None:
            raise failure

    def _listen(
        self, paused: Mapping[str, bool], statuses: Mapping[str, StreamStatus], now: float
    ) -> None:
        """Note who was heard of. After a gap in looking nobody's silence counts from before it."""
        if self._looked_at is None or not 0 <= now - self._looked_at < SILENT_S:
            self._heard.clear()
        self._looked_at = now
        self._heard = {key: heard for key, heard in self._heard.items() if key in paused}
        self._lost = {key: lost for key, lost in self._lost.items() if key in paused}
        for stream_id in paused:
            status = statuses.get(stream_id)
            updated_at = None if status is None else status.updated_at
            heard = self._heard.get(stream_id)
            if heard is None or (updated_at is not None and updated_at != heard.updated_at):
                self._heard[stream_id] = _Heard(updated_at, now)

    def _found(
        self,
        stream_id: str,
        is_paused: bool,
        notes: Sequence[IncomingNote],
        statuses: Mapping[str, StreamStatus],
        standings: Mapping[str, Standing],
        now: float,
    ) -> Findings:
        before = standings.get(stream_id, Standing())
        status = statuses.get(stream_id)
        entries = [_entry(each) for each in notes]
        outage, told = before.outage, list[Told]()
        looks = [] if is_paused else [*_told_of(notes, now)]
        present = self._present(stream_id, is_paused, status, now)
        if present is not None:
            looks.append((present, now))
        for seen, at in looks:
            outage, news = observe(outage, seen, at, self._rules)
            told.extend(news)
        if outage is not None and outage.state is StreamState.PENDING:
            was = before.outage
            if was is None or was.state is not StreamState.PENDING:
                entries.append(Entry(LogKind.STATE, now, StreamState.PENDING, UNTOLD.reason))
        if status is not None:
            entries.extend(self._losses(stream_id, status, now))
        return Findings(stream_id, entries, before, outage, told)

    def _present(
        self, stream_id: str, is_paused: bool, status: StreamStatus | None, now: float
    ) -> Seen | None:
        """How the stream is now; None while that isn't known."""
        if is_paused:
            return Seen(StreamState.PAUSED)
        heard = self._heard[stream_id]
        if now - heard.at >= (START_S if heard.updated_at is None else SILENT_S):
            return Seen(UNTOLD.state, UNTOLD.reason, since=heard.at)
        if status is None or status.state is StreamState.PAUSED:
            return None
        return Seen(status.state, hide_secrets(status.reason))

    def _losses(self, stream_id: str, status: StreamStatus, now: float) -> Iterator[Entry]:
        """An entry when scores begin to be lost for want of room in Redis."""
        owner = (status.worker, status.epoch)
        count = status.dropped.get(DropReason.BACKLOG, 0)
        lost = self._lost.get(stream_id)
        if lost is None or lost.owner != owner:
            self._lost[stream_id] = _Lost(owner, count)
            return
        if count <= lost.count:
            return
        is_new = lost.rose_at is None or not 0 <= now - lost.rose_at < QUIET_S
        more, lost.count, lost.rose_at = count - lost.count, count, now
        if is_new:
            reason = f"{more} scores waited for the database until there was no more room for them"
            log.error("scores were lost", stream=stream_id, count=more)
            yield Entry(LogKind.SCORES_LOST, now, status.state, reason, status.worker)

    def _write(
        self, group: Sequence[Findings], notes: Mapping[str, Sequence[IncomingNote]], now: float
    ) -> Exception | None:
        """Commit and acknowledge; what concerns one stream must not keep back the others."""
        try:
            with self._database.write() as session:
                journal.write(session, group, now)
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
            self._count(findings)
        return None

    def _count(self, findings: Findings) -> None:
        for told in findings.told:
            kind = LogKind.DOWN if isinstance(told, Down) else LogKind.RECOVERED
            seen = told.outage if isinstance(told, Down) else told.seen
            self._metrics.outages.labels(kind.value).inc()
            log.warning(
                "an outage was told",
                kind=kind.value,
                stream=findings.stream_id,
                state=seen.state.value,
                reason=seen.reason,
            )

    def _clear(self, now: float) -> None:
        if self._cleared_at is not None and 0 <= now - self._cleared_at < CLEAR_EVERY_S:
            return
        with self._database.write() as session:
            more = journal.clear(session, now) >= journal.CLEAR_ROWS
        self._cleared_at = None if more else now


def _told_of(notes: Sequence[IncomingNote], now: float) -> Iterator[tuple[Seen, float]]:
    """States that the notes tell of, with times by the recorder's clock.

    The newest is taken for new, and the others are as much older as they are by their worker's
    clock.
    """
    latest = notes[-1].note.at if notes else 0.0
    for each in notes:
        note = each.note
        yield Seen(note.state, hide_secrets(note.reason)), min(now, now - (latest - note.at))


def _entry(incoming: IncomingNote) -> Entry:
    note = incoming.note
    return Entry(
        LogKind(note.kind.value),
        note.at,
        note.state,
        hide_secrets(note.reason),
        note.worker[:200],
        incoming.entry,
    )


def _is_news(findings: Findings) -> bool:
    outage: Outage | None = findings.before.outage
    return bool(findings.entries or findings.told) or findings.outage != outage


def _groups(findings: Sequence[Findings]) -> Iterator[list[Findings]]:
    rest = iter(findings)
    while group := list(islice(rest, SHARED_STREAMS)):
        yield group
