"""Registered streams: finding their rows, publishing them to workers, describing how they do."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.orm import Session

from model.bundles.catalog import BundleError, read_document
from service.api.bundle_names import list_bundles
from service.api.context import Context
from service.api.idents import IDENT, check_ids
from service.api.schemas.stream_schemas import StreamOut, describe_status, describe_stream
from service.calibrate.stream_thresholds import choose_threshold
from service.errors import NotFound
from service.messages import NOT_TAKEN, PAUSED, StreamState, StreamStatus
from service.record.stream_configs import make_config
from service.store.tables import CursorRow, ReceiverRow, StreamRow

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
    thresholds = read_model_thresholds(context, {row.model for row in rows})
    return [
        describe_stream(
            row,
            describe_status(
                _find_status(row, statuses.get(row.id), reason),
                choose_threshold(row, thresholds.get(row.model))[0],
            ),
            time.time(),
        )
        for row in rows
    ]


def _find_status(row: StreamRow, reported: StreamStatus | None, reason: str) -> StreamStatus:
    if reported is not None:
        return reported
    if row.paused and reason != REDIS_AWAY:
        return StreamStatus(state=StreamState.PAUSED, reason=PAUSED, since=0.0)
    return StreamStatus(state=StreamState.PENDING, reason=reason, since=0.0)


def read_model_thresholds(context: Context, models: set[str]) -> dict[str, float]:
    """Return bundles' thresholds by name, without those of bundles that can't be read."""
    found: dict[str, float] = {}
    for info in list_bundles(context.settings) if models else []:
        if info.name in models:
            try:
                document = read_document(info.path)
            except BundleError:  # it went between the listing and now
                continue
            threshold = document.calibration.thresholds.get(document.score.name)
            if threshold is not None:
                found[info.name] = threshold
    return found
