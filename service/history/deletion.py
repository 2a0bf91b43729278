"""What is deleted of a stream, in statements that touch few rows each.

Frames go by when they were scored, roll-ups by when they were captured, but not before the frames
that they are of: old footage that was uploaded today is there for as long as any other.
"""

from __future__ import annotations

import math
from itertools import takewhile

from sqlalchemy import Select, and_, delete, exists, func, select
from sqlalchemy.orm import Session

from service.history.rollups import MINUTE_S
from service.store.hidden import WITH_DELETED
from service.store.tables import (
    CursorRow,
    EventRow,
    MinuteRow,
    ScoreRow,
    SecondRow,
    StreamHealthRow,
    StreamLogRow,
    StreamRow,
)

STEP_ROWS = 1000
STEP_EVENTS = 50
"""They carry pictures."""

Rollup = type[SecondRow] | type[MinuteRow]


def mark_deleted(session: Session, stream: StreamRow, now: float) -> None:
    """Take the stream out of every answer; `erase` deletes what is left of it, by and by.

    Without its cursor nothing more is recorded of it: a recorder that has just read it is rolled
    back.
    """
    stream.deleted_at = now
    stream.source = ""
    for table in (CursorRow, StreamHealthRow):
        session.execute(delete(table).where(table.stream_id == stream.id))


def deleted_streams() -> Select[str]:
    """Streams of which something is left, the longest deleted first."""
    query = select(StreamRow.id).where(StreamRow.deleted_at.is_not(None))
    return query.order_by(StreamRow.deleted_at).execution_options(**{WITH_DELETED: True})


def with_old_scores(scored_before: float) -> Select[str]:
    """Streams whose first frame was scored earlier."""
    first = (
        select(ScoreRow.scored_at)
        .where(ScoreRow.stream_id == StreamRow.id)
        .order_by(ScoreRow.frame)
        .limit(1)
        .scalar_subquery()
    )
    return select(StreamRow.id).where(first < scored_before)


def with_old_rollups(table: Rollup, before: float) -> Select[str]:
    """Streams that have a roll-up which ended earlier."""
    first = (
        select(func.min(table.at))
        .where(table.stream_id == StreamRow.id)
        .correlate(StreamRow)
        .scalar_subquery()
    )
    return select(StreamRow.id).where(first <= math.floor(before) - _length_s(table))


def delete_scores(session: Session, stream_id: str, scored_before: float) -> int:
    """Delete the first frames that were scored earlier; how many, `STEP_ROWS` at most."""
    of_stream = ScoreRow.stream_id == stream_id
    first = select(ScoreRow.frame, ScoreRow.scored_at).where(of_stream).order_by(ScoreRow.frame)
    rows = session.execute(first.limit(STEP_ROWS))
    old = [frame for frame, _ in takewhile(lambda row: row[1] < scored_before, rows)]
    if old:
        session.execute(delete(ScoreRow).where(of_stream, ScoreRow.frame.between(old[0], old[-1])))
    return len(old)


def delete_rollups(session: Session, table: Rollup, stream_id: str, before: float) -> int:
    """Delete roll-ups that ended earlier, and before the first capture of the stream's frames; how
    many, `STEP_ROWS` at most."""
    captured = select(func.min(ScoreRow.captured_at)).where(ScoreRow.stream_id == stream_id)
    oldest = session.scalar(captured)
    end = min(before, math.inf if oldest is None else oldest)
    return _delete_first(session, table, stream_id, end)


def delete_events(session: Session, before: float) -> int:
    """Delete events that ended earlier, but for those whose first frame was scored since; how many,
    `STEP_EVENTS` at most."""
    scored_since = exists().where(
        ScoreRow.stream_id == EventRow.stream_id,
        ScoreRow.frame == EventRow.first_frame,
        ScoreRow.scored_at >= before,
    )
    old = and_(EventRow.started_at < before, EventRow.ended_at < before, ~scored_since)
    doomed = select(EventRow.id).where(old).order_by(EventRow.started_at).limit(STEP_EVENTS)
    return _delete_events(session, doomed)


def erase(session: Session, stream_id: str) -> tuple[str, int] | None:
    """One step of deleting a stream that is marked: the table and how many rows of it; None when
    nothing is left."""
    if count := delete_scores(session, stream_id, math.inf):
        return ScoreRow.__tablename__, count
    for table in (SecondRow, MinuteRow):
        if count := _delete_first(session, table, stream_id, math.inf):
            return table.__tablename__, count
    events = select(EventRow.id).where(EventRow.stream_id == stream_id).limit(STEP_EVENTS)
    if count := _delete_events(session, events.execution_options(**{WITH_DELETED: True})):
        return EventRow.__tablename__, count
    entries = select(StreamLogRow.id).where(StreamLogRow.stream_id == stream_id).limit(STEP_ROWS)
    if ids := session.scalars(entries).all():
        session.execute(delete(StreamLogRow).where(StreamLogRow.id.in_(ids)))
        return StreamLogRow.__tablename__, len(ids)
    row = delete(StreamRow).where(StreamRow.id == stream_id, StreamRow.deleted_at.is_not(None))
    if session.scalar(row.returning(StreamRow.id)) is None:
        return None
    return StreamRow.__tablename__, 1


def _length_s(table: Rollup) -> int:
    return MINUTE_S if table is MinuteRow else 1


def _delete_first(session: Session, table: Rollup, stream_id: str, end: float) -> int:
    of_stream = table.stream_id == stream_id
    first = select(table.at).where(of_stream).order_by(table.at).limit(STEP_ROWS)
    last = end - _length_s(table)
    old = list(takewhile(lambda at: at <= last, session.scalars(first)))
    if old:
        session.execute(delete(table).where(of_stream, table.at.between(old[0], old[-1])))
    return len(old)


def _delete_events(session: Session, doomed: Select[str]) -> int:
    ids = session.scalars(doomed).all()
    if ids:
        session.execute(delete(EventRow).where(EventRow.id.in_(ids)))
    return len(ids)
