"""Streams between the database, Redis and what is shown: found, published, and how they do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import structlog
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.orm import Session

from model.catalog import BundleError, read_document
from service.api.catalog import bundles
from service.api.context import Context
from service.api.idents import IDENT, checked_ids
from service.api.schemas.streams import StreamOut, status_out, stream_out
from service.api.schemas.thresholds import ThresholdOrigin
from service.errors import NotFound
from service.messages import StreamState, StreamStatus
from service.record.publisher import to_config
from service.store.tables import CursorRow, StreamRow, WebhookRow

log = structlog.get_logger(__name__)

REDIS_AWAY = "Redis does not answer"


def find_stream(session: Session, stream_id: str, *, locked: bool = False) -> StreamRow:
    """The row; `locked` until the transaction ends. Raises: NotFound."""
    row = None
    if IDENT.fullmatch(stream_id):
        row = session.get(StreamRow, stream_id, with_for_update=True if locked else None)
    if row is None:
        raise NotFound("stream", stream_id)
    return row


def recorded_frame(session: Session, stream_id: str) -> int:
    """Number of the newest frame in the database; -1 before the first."""
    last = session.scalar(select(CursorRow.last_frame).where(CursorRow.stream_id == stream_id))
    return -1 if last is None else last


def checked_webhooks(session: Session, webhook_ids: list[str] | None) -> list[str] | None:
    """The ids, each once. Raises: Refused: one names no webhook."""
    return checked_ids(session, webhook_ids, WebhookRow.id, "webhook_ids", "webhook")


def publish(context: Context, row: StreamRow, last_frame: int) -> None:
    """Tell the workers, after the commit; without Redis, the recorder tells them later."""
    try:
        context.registry.publish([to_config(row, last_frame)])
    except RedisError as error:
        log.warning("a change will be told to the workers later", stream=row.id, error=str(error))


def views(context: Context, rows: Sequence[StreamRow]) -> list[StreamOut]:
    """The rows with how they do."""
    try:
        statuses = context.registry.statuses([row.id for row in rows])
        reason = "no worker has taken it yet"
    except RedisError:
        statuses, reason = {}, REDIS_AWAY
    thresholds = model_thresholds(context, {row.model for row in rows})
    return [
        stream_out(
            row,
            status_out(
                _status(row, statuses.get(row.id), reason),
                in_force(row, thresholds)[0],
            ),
            time.time(),
        )
        for row in rows
    ]


def _status(row: StreamRow, told: StreamStatus | None, reason: str) -> StreamStatus:
    if told is not None:
        return told
    if row.paused and reason != REDIS_AWAY:
        return StreamStatus(state=StreamState.PAUSED, since=0.0)
    return StreamStatus(state=StreamState.PENDING, reason=reason, since=0.0)


def in_force(
    row: StreamRow, of_models: Mapping[str, float]
) -> tuple[float | None, ThresholdOrigin]:
    """The threshold that workers take, and where it comes from."""
    if row.threshold is not None:
        return row.threshold, ThresholdOrigin.STREAM
    if row.calibrated_threshold is not None:
        return row.calibrated_threshold, ThresholdOrigin.CALIBRATED
    return of_models.get(row.model), ThresholdOrigin.MODEL


def model_thresholds(context: Context, models: set[str]) -> dict[str, float]:
    """Those of bundles, by name; none of a bundle that isn't there or can't be read."""
    found: dict[str, float] = {}
    for info in bundles(context.settings) if models else []:
        if info.name in models:
            try:
                document = read_document(info.path)
            except BundleError:  # it went between the listing and now
                continue
            threshold = document.calibration.thresholds.get(document.score.name)
            if threshold is not None:
                found[info.name] = threshold
    return found
