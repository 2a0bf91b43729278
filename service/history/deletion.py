"""Deletes a stream's rows, in statements that touch few rows each.

Frames are deleted by the time of their score, roll-ups by the time of their capture, but not before
their frames: old footage that was uploaded today is kept for as long as any other.
"""

from __future__ import annotations

import math
from itertools import takewhile

from sqlalchemy import Select, and_, delete, exists, func, select
from sqlalchemy.orm import Session

from service.history.rollups import MINUTE_S
from service.store.deleted_streams import WITH_DELETED
from service.store.tables import (
    CursorRow,
    EventRow,
    LearningRow,
    MinuteRow,
    ScoreRow,
    SecondRow,
    StreamHealthRow,
    StreamLogRow,
    StreamRow,
)

STEP_ROWS = 1000
STEP_EVENTS = 50
"""Fewer than other rows: events hold pictures."""

RollupTable = type[SecondRow] | type[MinuteRow]


def hide_stream(session: Session, stream: StreamRow, now: float) -> None:
    """Take the stream out of every answer; `erase_some` deletes what is left of it, step by step.

    Without its cursor nothing more is recorded for it: a recorder that has just read it is rolled
    back. Its learnings are deleted at once, and so their learners stop; their models stay.
    """
    stream.deleted_at = now
    stream.source = ""
    for table in (CursorRow, StreamHealthRow, LearningRow):
        session.execute(delete(table).where(table.stream_id == stream.id))


def select_deleted_streams() -> Select[str]:
    """Select deleted streams that have rows left, the longest deleted first."""
    query = select(StreamRow.id).where(StreamRow.deleted_at.is_not(None))
    return query.order_by(StreamRow.deleted_at).execution_options(**{WITH_DELETED: True})


def select_streams_with_old_scores(scored_before: float) -> Select[str]:
    """Select streams whose first frame was scored earlier."""
    first = (
        select(ScoreRow.scored_at)
        .where(ScoreRow.stream_id == StreamRow.id)
        .order_by(ScoreRow.frame)
        .limit(1)
        .scalar_subquery()
    )
    return select(StreamRow.id).where(first < scored_before)


def select_streams_with_old_rollups(table: RollupTable, before: float) -> Select[str]:
    """Select streams that have a roll-up which ended earlier."""
    first = (
        select(func.min(table.at))
        .where(table.stream_id == StreamRow.id)
        .correlate(StreamRow)
        .scalar_subquery()
    )
    return select(StreamRow.id).where(first <= math.floor(before) - _length_s(table))


def delete_scores(session: Session, stream_id: str, scored_before: float) -> int:
    """Delete up to `STEP_ROWS` first frames that were scored earlier; return how many."""
    of_stream = ScoreRow.stream_id == stream_id
    first = select(ScoreRow.frame, ScoreRow.scored_at).where(of_stream).order_by(ScoreRow.frame)
    rows = session.execute(first.limit(STEP_ROWS))
    old = [frame for frame, _ in takewhile(lambda row: row[1] < scored_before, rows)]
    if old:
        session.execute(delete(ScoreRow).where(of_stream, ScoreRow.frame.between(old[0], old[-1])))
    return len(old)


def delete_rollups(session: Session, table: RollupTable, stream_id: str, before: float) -> int:
    """Delete up to `STEP_ROWS` roll-ups that ended earlier; return how many.

    Those that reach into the captures of the stream's frames stay.
    """
    captured = select(func.min(ScoreRow.captured_at)).where(ScoreRow.stream_id == stream_id)
    oldest = session.scalar(captured)
    end = min(before, math.inf if oldest is None else oldest)
    return _delete_first(session, table, stream_id, end)


def delete_events(session: Session, before: float) -> int:
    """Delete up to `STEP_EVENTS` events that ended earlier; return how many.

    Those whose first frame was scored since stay.
    """
    scored_since = exists().where(
        ScoreRow.stream_id == EventRow.stream_id,
        ScoreRow.frame == EventRow.first_frame,
        ScoreRow.scored_at >= before,
    )
    old = and_(EventRow.started_at < before, EventRow.ended_at < before, ~scored_since)
    doomed = select(EventRow.id).where(old).order_by(EventRow.started_at).limit(STEP_EVENTS)
    return _delete_events(session, doomed)


def erase_some(session: Session, stream_id: str) -> tuple[str, int] | None:
    """Delete some rows of a deleted stream; return the table and their number, None at the end."""
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


def _length_s(table: RollupTable) -> int:
    return MINUTE_S if table is MinuteRow else 1


def _delete_first(session: Session, table: RollupTable, stream_id: str, end: float) -> int:
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
