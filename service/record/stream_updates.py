"""What the recorder writes about streams in one transaction: scores, events, messages, cursors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import cast

import sqlalchemy
from sqlalchemy import Table, bindparam, insert, update
from sqlalchemy.orm import Session

from model.events.event_detection import Change, DetectionState, Event, EventEnded
from service.alert.outbox import EventData, EventType, enqueue, iso8601
from service.errors import StaleCursor
from service.messages import FrameScore
from service.record.cursors import Cursor
from service.record.detection_input import to_json
from service.store.rows import Row, insert_rows
from service.store.tables import CursorRow, EventRow, ScoreRow, StreamRow

# Statements are built once, of tables and not of the ORM's classes: building one takes longer than
# running it. The other columns that an update sets follow from the names of its values.
_CURSORS = cast(Table, CursorRow.__table__)
_EVENTS = cast(Table, EventRow.__table__)
_SCORES = cast(Table, ScoreRow.__table__)
_SCORE_COLUMNS = tuple(_SCORES.c.keys())
_read_measures = attrgetter(*_SCORE_COLUMNS[1:-1])
"""Read the columns between the stream and the state, which are fields of a score."""
_BEGIN = insert(_CURSORS)
_MOVE = (
    update(_CURSORS)
    .where(_CURSORS.c.stream_id == bindparam("of"), _CURSORS.c.version == bindparam("compared"))
    .values(version=_CURSORS.c.version + 1)
)
_UPDATE_EVENT = (
    update(_EVENTS)
    .where(_EVENTS.c.id == bindparam("ident"))
    .returning(_EVENTS.c.muted, _EVENTS.c.label)
)


@dataclass(frozen=True, slots=True)
class StreamUpdate:
    """New scores of a stream, and what follows from them."""

    stream: StreamRow
    cursor: Cursor
    scores: Sequence[FrameScore]
    """Frames above the cursor, in rising order."""
    detection: DetectionState
    changes: Sequence[Change]
    picture: bytes | None = None
    """JPEG for events that start."""
    cooldown_s: float = 0.0
    """Seconds after a message on an event's start in which further events are muted."""

    def advance_cursor(self, now: float, notified_at: float | None) -> Cursor:
        """Return the cursor as it is once this update is stored."""
        before = self.cursor
        return Cursor(
            version=0 if before.version is None else before.version + 1,
            last_frame=self.scores[-1].frame if self.scores else before.last_frame,
            recorded_at=now if self.scores else before.recorded_at,
            detection=self.detection,
            notified_at=notified_at,
        )


def make_event_id(stream_id: str, first_frame: int) -> str:
    """Return the id of an event: always the same for the same one."""
    return "evt_" + hashlib.sha256(f"{stream_id}:{first_frame}".encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class StoredUpdates:
    """What a transaction wrote, once it is committed."""

    cursors: Mapping[str, Cursor]
    """The cursors as they are now, by stream."""
    muted: int
    """How many muted events started."""


def store_updates(session: Session, updates: Sequence[StreamUpdate], now: float) -> StoredUpdates:
    """Write scores, events and messages of different streams, and move their cursors.

    Raises: StaleCursor: one was moved meanwhile; the transaction must be rolled back.
    """
    _move_cursors(session, updates, now)
    rows = [_make_score_row(each.stream.id, score) for each in updates for score in each.scores]
    insert_rows(session, _SCORES, _SCORE_COLUMNS, rows)
    cursors: dict[str, Cursor] = {}
    muted = 0
    for stream_update in updates:
        notified_at = stream_update.cursor.notified_at
        for change in stream_update.changes:
            if isinstance(change, EventEnded):
                _end_event(session, stream_update.stream, change.event, now)
            elif _is_cooling_down(notified_at, stream_update.cooldown_s, now):
                muted += 1
                _start_event(session, stream_update, change.event, muted=True)
            else:
                _start_event(session, stream_update, change.event, muted=False)
                stream = stream_update.stream
                if _notify(session, stream, EventType.STARTED, change.event, now):
                    notified_at = now
        stream_id = stream_update.stream.id
        if notified_at != stream_update.cursor.notified_at:
            cursor = update(CursorRow).where(CursorRow.stream_id == stream_id)
            session.execute(cursor.values(notified_at=notified_at))
        event = stream_update.detection.reported
        if event is not None and event != stream_update.cursor.detection.reported:
            _update_event(session, stream_id, event, ended=False)
        cursors[stream_id] = stream_update.advance_cursor(now, notified_at)
    return StoredUpdates(cursors, muted)


def _is_cooling_down(notified_at: float | None, cooldown_s: float, now: float) -> bool:
    # A clock that was set back must not mute a stream for as much longer.
    return notified_at is not None and 0.0 <= now - notified_at < cooldown_s


def _start_event(
    session: Session, stream_update: StreamUpdate, event: Event, *, muted: bool
) -> None:
    row = _make_event_row(stream_update.stream.id, event, stream_update.picture)
    row.muted = muted
    session.add(row)
    session.flush()


def _end_event(session: Session, stream: StreamRow, event: Event, now: float) -> None:
    ended = _update_event(session, stream.id, event, ended=True)
    if ended is None or not ended.muted:
        label = None if ended is None else ended.label
        _notify(session, stream, EventType.ENDED, event, now, label=label)


def _move_cursors(session: Session, updates: Sequence[StreamUpdate], now: float) -> None:
    begun: list[dict[str, object]] = []
    moved: list[dict[str, object]] = []
    for each in updates:
        before, after = each.cursor, each.advance_cursor(now, each.cursor.notified_at)
        values = {
            "last_frame": after.last_frame,
            "recorded_at": after.recorded_at,
            "detection": to_json(after.detection),
        }
        if before.version is None:
            begun.append({"stream_id": each.stream.id, "version": after.version, **values})
        else:
            moved.append({"of": each.stream.id, "compared": before.version, **values})
    connection = session.connection()
    if begun:
        # This fails where another recorder has inserted the same row meanwhile.
        connection.execute(_BEGIN, begun)
    if moved and connection.execute(_MOVE, moved).rowcount != len(moved):
        raise StaleCursor(", ".join(each.stream.id for each in updates))


def _make_score_row(stream_id: str, score: FrameScore) -> Row:
    return (stream_id, *_read_measures(score), score.state.value)


def _make_event_row(stream_id: str, event: Event, picture: bytes | None) -> EventRow:
    return EventRow(
        id=make_event_id(stream_id, event.first_frame),
        stream_id=stream_id,
        started_at=event.started_at,
        first_frame=event.first_frame,
        last_frame=event.last_frame,
        peak_score=event.peak_score,
        peak_frame=event.peak_frame,
        threshold=event.threshold,
        region=_list_region(event),
        cause=event.cause.value,
        picture=picture,
    )


def _update_event(
    session: Session, stream_id: str, event: Event, *, ended: bool
) -> sqlalchemy.Row[bool, str | None] | None:
    """Return whether the event is muted, and its label; None: it was deleted."""
    values = {
        "ident": make_event_id(stream_id, event.first_frame),
        "last_frame": event.last_frame,
        "peak_score": event.peak_score,
        "peak_frame": event.peak_frame,
        "region": _list_region(event),
        "cause": event.cause.value,
        "ended_at": event.last_at if ended else None,
    }
    return session.connection().execute(_UPDATE_EVENT, values).one_or_none()


def _notify(
    session: Session,
    stream: StreamRow,
    event_type: EventType,
    event: Event,
    now: float,
    *,
    label: str | None = None,
) -> int:
    """Write the event's messages; return for how many receivers there is one."""
    ended = event_type is EventType.ENDED
    data = EventData(
        event_id=make_event_id(stream.id, event.first_frame),
        stream_id=stream.id,
        stream_name=stream.name,
        started_at=iso8601(event.started_at),
        ended_at=iso8601(event.last_at) if ended else None,
        first_frame=event.first_frame,
        last_frame=event.last_frame,
        peak_score=event.peak_score,
        peak_frame=event.peak_frame,
        threshold=event.threshold,
        region=event.region,
        cause=event.cause.value,
        label=label,
    )
    return enqueue(session, stream=stream, event_type=event_type, data=data, now=now)


def _list_region(event: Event) -> list[float] | None:
    return None if event.region is None else list(event.region)
