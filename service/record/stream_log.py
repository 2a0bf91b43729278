"""A stream's log and its outage in the database: what the recorder writes of them, and deletes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlalchemy import delete, func, insert, select, tuple_, update
from sqlalchemy.orm import Session

from service.alert.outbox import EventType, OutageData, RecoveryData, enqueue, iso8601
from service.errors import StaleCursor
from service.messages import NoteKind, StreamState
from service.record.outages import Outage, OutageChange, OutageStarted
from service.store.tables import StreamHealthRow, StreamLogRow, StreamRow

KEEP_ENTRIES = 1000
"""Entries that are kept of each stream."""
KEEP_S = 90 * 86_400.0
DELETED_AT_ONCE = 500
"""Old entries that one transaction deletes at most, so that it never blocks others for long."""

_OUTAGES = select(StreamHealthRow.__table__)


class LogKind(StrEnum):
    """What an entry of a stream's log is about."""

    STATE = NoteKind.STATE.value
    SCENE_CHANGED = NoteKind.SCENE_CHANGED.value
    MODEL_CHANGED = NoteKind.MODEL_CHANGED.value
    DOWN = EventType.DOWN.value
    """Receivers were notified that the stream is down."""
    RECOVERED = EventType.RECOVERED.value
    """Receivers were notified that it is watched again."""
    SCORES_LOST = "scores.lost"
    """Scores waited for the database for so long that there was no more room for them."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry to write."""

    kind: LogKind
    at: float
    state: StreamState
    reason: str = ""
    worker: str = ""
    note: str | None = None
    """The note's id in Redis; None for the recorder's own entries."""


@dataclass(frozen=True, slots=True)
class StoredOutage:
    """A stream's outage as the database has it."""

    version: int | None = None
    """None: there is no row."""
    outage: Outage | None = None


@dataclass(frozen=True, slots=True)
class StreamFindings:
    """What there is to write about one stream."""

    stream_id: str
    entries: Sequence[LogEntry]
    before: StoredOutage
    outage: Outage | None
    changes: Sequence[OutageChange]


def load_outages(session: Session) -> dict[str, StoredOutage]:
    """Return the outages that last, by stream."""
    return {
        row.stream_id: StoredOutage(
            row.version,
            Outage(row.began_at, StreamState(row.state), row.reason, row.watched_at, row.notified),
        )
        for row in session.connection().execute(_OUTAGES)
    }


def write_findings(session: Session, group: Sequence[StreamFindings], now: float) -> None:
    """Write entries, outages and messages; nothing about a stream that was deleted.

    Raises: StaleCursor: another recorder has written one of the outages meanwhile.
    """
    ids = [findings.stream_id for findings in group]
    found = session.scalars(select(StreamRow).where(StreamRow.id.in_(ids)))
    streams = {stream.id: stream for stream in found}
    existing = [findings for findings in group if findings.stream_id in streams]
    _save_outages(session, [each for each in existing if each.outage != each.before.outage])
    entries: list[tuple[str, LogEntry]] = []
    for findings in existing:
        stream = streams[findings.stream_id]
        entries += [(stream.id, entry) for entry in findings.entries]
        entries += [(stream.id, _notify(session, stream, each, now)) for each in findings.changes]
    _append(session, entries)


def delete_old_entries(session: Session, now: float) -> int:
    """Delete up to `DELETED_AT_ONCE` entries that are too old; return how many there were."""
    old = select(StreamLogRow.id).where(StreamLogRow.at < now - KEEP_S).limit(DELETED_AT_ONCE)
    doomed = list(session.scalars(old))
    if doomed:
        session.execute(delete(StreamLogRow).where(StreamLogRow.id.in_(doomed)))
    return len(doomed)


def make_outage_id(stream_id: str, began_at: float) -> str:
    """Return the id of an outage: always the same for the same one."""
    return "out_" + hashlib.sha256(f"{stream_id}:{began_at!r}".encode()).hexdigest()[:24]


def _append(session: Session, entries: Sequence[tuple[str, LogEntry]]) -> None:
    """Add the entries that aren't stored yet, and delete those above `KEEP_ENTRIES`."""
    notes = {(stream_id, entry.note) for stream_id, entry in entries if entry.note is not None}
    pair = tuple_(StreamLogRow.stream_id, StreamLogRow.note)
    query = select(StreamLogRow.stream_id, StreamLogRow.note).where(pair.in_(notes))
    known = {(stream_id, note) for stream_id, note in session.execute(query)} if notes else set()
    new = [each for each in entries if (each[0], each[1].note) not in known]
    if not new:
        return
    session.execute(insert(StreamLogRow), [_make_log_columns(*each) for each in new])
    of_these = StreamLogRow.stream_id.in_({stream_id for stream_id, _ in new})
    full = (
        select(StreamLogRow.stream_id)
        .where(of_these)
        .group_by(StreamLogRow.stream_id)
        .having(func.count() > KEEP_ENTRIES)
    )
    for stream_id in session.scalars(full).all():
        of_stream = StreamLogRow.stream_id == stream_id
        newest = select(StreamLogRow.id).where(of_stream).order_by(StreamLogRow.id.desc())
        last_kept = session.scalar(newest.offset(KEEP_ENTRIES - 1).limit(1))
        session.execute(delete(StreamLogRow).where(of_stream, StreamLogRow.id < last_kept))


def _make_log_columns(stream_id: str, entry: LogEntry) -> dict[str, object]:
    plain = {"kind": entry.kind.value, "state": entry.state.value}
    return {"stream_id": stream_id, **asdict(entry), **plain}


def _save_outages(session: Session, group: Sequence[StreamFindings]) -> None:
    begun: list[dict[str, object]] = []
    for findings in group:
        stream_id, version, outage = findings.stream_id, findings.before.version, findings.outage
        row = (StreamHealthRow.stream_id == stream_id, StreamHealthRow.version == version)
        if outage is None:
            gone = delete(StreamHealthRow).where(*row).returning(StreamHealthRow.version)
            if session.scalar(gone) is None:
                raise StaleCursor(stream_id)
        elif version is None:
            begun.append({"stream_id": stream_id, "version": 0, **_make_outage_columns(outage)})
        else:
            changed = update(StreamHealthRow).where(*row)
            changed = changed.values(version=version + 1, **_make_outage_columns(outage))
            if session.scalar(changed.returning(StreamHealthRow.version)) is None:
                raise StaleCursor(stream_id)
    if begun:
        # This fails where another recorder has inserted the same row meanwhile.
        session.execute(insert(StreamHealthRow), begun)


def _make_outage_columns(outage: Outage) -> dict[str, object]:
    return asdict(outage) | {"state": outage.state.value}


def _notify(session: Session, stream: StreamRow, change: OutageChange, now: float) -> LogEntry:
    """Put the message into the outbox, and return the entry for the stream's log."""
    ident = make_outage_id(stream.id, change.outage.began_at)
    found = change.outage if isinstance(change, OutageStarted) else change.observed
    state, named = found.state, (ident, stream.id, stream.name, found.state.value, found.reason)
    if isinstance(change, OutageStarted):
        down = OutageData(*named, iso8601(change.outage.began_at))
        enqueue(session, stream=stream, event_type=EventType.DOWN, data=down, now=now)
        return LogEntry(LogKind.DOWN, now, state, found.reason)
    down_for_s = round(change.down_for_s, 3)
    recovery = RecoveryData(*named, iso8601(change.watched_at), down_for_s)
    enqueue(session, stream=stream, event_type=EventType.RECOVERED, data=recovery, now=now)
    reason = f"it could not be watched for {down_for_s:.0f} s"
    return LogEntry(LogKind.RECOVERED, now, state, reason)
