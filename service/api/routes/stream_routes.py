"""Registering, changing and removing streams."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Response
from redis.exceptions import RedisError
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from model.events.tails import LEAST_PEAKS
from service.api.bundle_names import choose_model
from service.api.context import Context, Shared
from service.api.model_facts import read_model_facts
from service.api.receiver_rows import forget_stream
from service.api.registered_streams import (
    check_receivers,
    describe_streams,
    find_last_frame,
    find_stream,
    publish_stream,
)
from service.api.schemas.stream_schemas import (
    StreamIn,
    StreamLogOut,
    StreamOut,
    StreamPatch,
    StreamsOut,
    describe_log_entry,
)
from service.api.schemas.threshold_schemas import FootageOut, ThresholdOut, describe_found_threshold
from service.api.source_checks import check_content, check_source
from service.calibrate.stream_thresholds import (
    LEAST_FOOTAGE_S,
    choose_threshold,
    find_newest_threshold,
    measure_footage,
)
from service.history.deletion import hide_stream
from service.record.stream_changes import change_stream as apply_changes
from service.store.tables import StreamLogRow, StreamRow, ThresholdRow

log = structlog.get_logger(__name__)
router = APIRouter(tags=["streams"])

MAX_ID = 2**63 - 1


@router.post("/streams", status_code=201, summary="Register a stream")
async def create_stream(body: StreamIn, context: Shared, response: Response) -> StreamOut:
    """A worker takes it within a second or so. A source that doesn't answer now is accepted, and
    retried for ever; one that answers and is no video is refused."""
    columns = await run_in_threadpool(_check_new_stream, context, body)
    await _probe(context, str(columns["source"]))
    created = await run_in_threadpool(_add_stream, context, body, columns)
    response.headers["Location"] = f"/streams/{created.id}"
    return created


async def _probe(context: Context, source: str) -> None:
    await context.probes.run(partial(check_content, source, context.settings.source_networks))


def _check_new_stream(context: Context, body: StreamIn) -> dict[str, object]:
    """Return the stream's columns, but for those that it gets by itself."""
    settings = context.settings
    source = check_source(body.source, settings.media_dirs, settings.source_networks)
    model = choose_model(body.model, settings)
    with context.database.read() as session:
        check_receivers(session, body.receiver_ids)
    return body.to_columns() | {"source": source, "model": model}


def _add_stream(context: Context, body: StreamIn, columns: dict[str, object]) -> StreamOut:
    row = StreamRow(
        id=uuid.uuid4().hex, paused=False, revision=1, created_at=time.time(), **columns
    )
    with context.database.write() as session:
        row.receiver_ids = check_receivers(session, body.receiver_ids)
        session.add(row)
    publish_stream(context, row, -1)
    context.normal_keeper.notice_streams()
    return describe_streams(context, [row])[0]


@router.get("/streams", summary="List all streams, with their status")
def list_streams(context: Shared) -> StreamsOut:
    """The oldest first."""
    with context.database.read() as session:
        rows = session.scalars(select(StreamRow).order_by(StreamRow.created_at, StreamRow.id)).all()
    return StreamsOut(items=describe_streams(context, rows))


@router.get("/streams/{stream_id}", summary="Read a stream, with its status")
def read_stream(stream_id: str, context: Shared) -> StreamOut:
    """Its source comes without credentials."""
    with context.database.read() as session:
        row = find_stream(session, stream_id)
    return describe_streams(context, [row])[0]


@router.patch("/streams/{stream_id}", summary="Change a stream, or pause it")
async def change_stream(stream_id: str, body: StreamPatch, context: Shared) -> StreamOut:
    """What is left out stays; null takes an override back. γ, λ, threshold, zones, rate, weight,
    pause and the memory's rule apply while the stream runs, without losing its memory; another
    transport or way to decode opens the source again; another source or model starts it afresh."""
    changes = await run_in_threadpool(_check_changes, context, stream_id, body)
    if "source" in changes:
        await _probe(context, str(changes["source"]))
    return await run_in_threadpool(_change_stream, context, stream_id, body, changes)


def _check_changes(context: Context, stream_id: str, body: StreamPatch) -> dict[str, object]:
    with context.database.read() as session:
        find_stream(session, stream_id)
        check_receivers(session, body.receiver_ids)
    changes = body.to_columns()
    if body.source is not None:
        settings = context.settings
        changes["source"] = check_source(body.source, settings.media_dirs, settings.source_networks)
    if "model" in changes:
        changes["model"] = choose_model(body.model, context.settings)
    return changes


def _change_stream(
    context: Context, stream_id: str, body: StreamPatch, changes: dict[str, object]
) -> StreamOut:
    row, last_frame = _apply(context, stream_id, body, changes)
    publish_stream(context, row, last_frame)
    return describe_streams(context, [row])[0]


def _apply(
    context: Context, stream_id: str, body: StreamPatch, changes: dict[str, object]
) -> tuple[StreamRow, int]:
    with context.database.write() as session:
        row = find_stream(session, stream_id, locked=True)
        if "receiver_ids" in changes:
            changes["receiver_ids"] = check_receivers(session, body.receiver_ids)
        apply_changes(session, row, changes)
        return row, find_last_frame(session, stream_id)


@router.get("/streams/{stream_id}/log", summary="Read a stream's log")
def read_log(
    stream_id: str,
    context: Shared,
    before: Annotated[
        int | None, Query(ge=0, le=MAX_ID, description="Only entries older than this one's id.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> StreamLogOut:
    """Its states, changes of the light, and outages that were reported, newest first. The newest
    1,000 entries of a stream are kept, for 90 days. `next` goes into `before` for the next page."""
    query = select(StreamLogRow).where(StreamLogRow.stream_id == stream_id)
    if before is not None:
        query = query.where(StreamLogRow.id < before)
    with context.database.read() as session:
        find_stream(session, stream_id)
        rows = session.scalars(query.order_by(StreamLogRow.id.desc()).limit(limit + 1)).all()
    items = [describe_log_entry(row) for row in rows[:limit]]
    return StreamLogOut(items=items, next=items[-1].id if len(rows) > limit else None)


@router.get(
    "/streams/{stream_id}/threshold", summary="Read a stream's threshold, and what it rests on"
)
def read_threshold(
    stream_id: str,
    context: Shared,
    limit: Annotated[int, Query(ge=1, le=100, description="Thresholds of the history.")] = 10,
) -> ThresholdOut:
    """It is found from the scores of the stream's own normal footage, so that it raises as many
    false alarms a day as it may (`false_alarms_per_day`), and renewed as footage accumulates. The
    stream's own `threshold` wins; while there is too little footage the model's is in force."""
    query = select(ThresholdRow).where(ThresholdRow.stream_id == stream_id)
    with context.database.read() as session:
        row = find_stream(session, stream_id)
        last, at_hand = find_newest_threshold(session, row), measure_footage(session, row)
        rows = session.scalars(query.order_by(ThresholdRow.id.desc()).limit(limit)).all()
    facts = read_model_facts(context, [row]).get(row.id)
    threshold, origin = choose_threshold(row, None if facts is None else facts.threshold)
    return ThresholdOut(
        stream_id=row.id,
        threshold=threshold,
        origin=origin,
        false_alarms_per_day=row.false_alarms_per_day or context.settings.false_alarms_per_day,
        calibrated=None if last is None else describe_found_threshold(last),
        footage=FootageOut(
            seconds=at_hand.seconds,
            peaks=at_hand.peaks,
            least_seconds=LEAST_FOOTAGE_S,
            least_peaks=LEAST_PEAKS,
        ),
        history=[describe_found_threshold(each) for each in rows],
    )


@router.delete("/streams/{stream_id}", status_code=204, summary="Remove a stream")
def delete_stream(stream_id: str, context: Shared) -> None:
    """It is gone at once, and its scores and events with it; the room that they take on disk is
    free later, as they are many."""
    with context.database.write() as session:
        hide_stream(session, find_stream(session, stream_id, locked=True), time.time())
        forget_stream(session, stream_id)
    context.normal_keeper.notice_streams()
    try:
        context.registry.remove(stream_id)
    except RedisError as error:
        log.warning(
            "a removal will be sent to the workers later", stream=stream_id, error=str(error)
        )
