"""Registered streams: finding their rows, publishing them to workers, describing how they do."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.api.context import Context
from service.api.idents import IDENT, check_ids
from service.api.model_facts import ModelFacts, find_warnings, read_model_facts
from service.api.registered_learnings import describe_row, load_under_way
from service.api.schemas.stream_schemas import StreamOut, describe_status, describe_stream
from service.calibrate.stream_thresholds import choose_threshold
from service.errors import NotFound
from service.messages import NOT_TAKEN, PAUSED, StreamState, StreamStatus
from service.record.stream_configs import make_config
from service.store.tables import CursorRow, LearningRow, ReceiverRow, StreamRow

log = structlog.get_logger(__name__)

REDIS_AWAY = "Redis does not answer"


def find_stream(session: Session, stream_id: str, *, locked: bool = False) -> StreamRow:
    """Return the row; `locked` until the transaction ends. Raises: NotFound."""
    row = None
    if IDENT.fullmatch(stream_id):
        row = session.get(StreamRow, stream_id, with_for_update=True if locked else None)
    if row is None:
        raise NotFound("stream", stream_id)
    return row


def find_last_frame(session: Session, stream_id: str) -> int:
    """Return the number of the newest frame in the database; -1 before the first."""
    last = session.scalar(select(CursorRow.last_frame).where(CursorRow.stream_id == stream_id))
    return -1 if last is None else last


def check_receivers(session: Session, receiver_ids: list[str] | None) -> list[str] | None:
    """Return the ids, each once. Raises: RequestRefused: one of them is no receiver."""
    return check_ids(session, receiver_ids, ReceiverRow.id, "receiver_ids", "receiver")


def publish_stream(context: Context, row: StreamRow, last_frame: int) -> None:
    """Send a stream to the workers, after the commit; without Redis, the recorder does it later."""
    try:
        context.registry.publish([make_config(row, last_frame)])
    except RedisError as error:
        log.warning("a change will be sent to the workers later", stream=row.id, error=str(error))


def describe_streams(context: Context, rows: Sequence[StreamRow]) -> list[StreamOut]:
    """Return the answers about these rows, with how the streams do."""
    try:
        statuses = context.registry.statuses([row.id for row in rows])
        reason = NOT_TAKEN
    except RedisError:
        statuses, reason = {}, REDIS_AWAY
    facts = read_model_facts(context, rows)
    with context.database.read() as session:
        learnings = load_under_way(session, [row.id for row in rows])
    now = time.time()
    return [
        _describe(
            context,
            row,
            _find_status(row, statuses.get(row.id), reason),
            facts.get(row.id),
            learnings.get(row.id),
            now,
        )
        for row in rows
    ]


def _describe(
    context: Context,
    row: StreamRow,
    status: StreamStatus,
    facts: ModelFacts | None,
    learning: LearningRow | None,
    now: float,
) -> StreamOut:
    threshold, _ = choose_threshold(row, None if facts is None else facts.threshold)
    return describe_stream(
        row,
        describe_status(status, threshold),
        now,
        learning=None if learning is None else describe_row(context, row, learning),
        warnings=[] if facts is None else find_warnings(row, facts),
    )


def _find_status(row: StreamRow, reported: StreamStatus | None, reason: str) -> StreamStatus:
    if reported is not None:
        return reported
    if row.paused and reason != REDIS_AWAY:
        return StreamStatus(state=StreamState.PAUSED, reason=PAUSED, since=0.0)
    return StreamStatus(state=StreamState.PENDING, reason=reason, since=0.0)
