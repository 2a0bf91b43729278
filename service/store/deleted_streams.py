"""Hides deleted streams from queries while their rows are deleted in small steps.

Every ORM query leaves them and their events out, unless its option `WITH_DELETED` is true. Other
tables are only queried for a stream that was found.
"""

from __future__ import annotations

from sqlalchemy import event, select
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker, with_loader_criteria

from service.store.tables import EventRow, StreamRow

WITH_DELETED = "normwatch_with_deleted"
_STREAMS = StreamRow.__table__
_DELETED = select(_STREAMS.c.id).where(_STREAMS.c.deleted_at.is_not(None))
_HIDE = (
    with_loader_criteria(StreamRow, StreamRow.deleted_at.is_(None)),
    with_loader_criteria(EventRow, EventRow.stream_id.not_in(_DELETED)),
)


def hide_deleted_streams(sessions: sessionmaker[Session]) -> None:
    """Hide them from all sessions that the session maker makes."""

    @event.listens_for(sessions, "do_orm_execute")
    def _hide(state: ORMExecuteState) -> None:
        if state.is_select and not state.execution_options.get(WITH_DELETED, False):
            state.statement = state.statement.options(*_HIDE)
