"""Registering, changing and removing cameras."""

from __future__ import annotations

import time
import uuid
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Response
from redis.exceptions import RedisError
from sqlalchemy import select

from model.tails import LEAST_PEAKS
from service.api.catalog import chosen_model
from service.api.context import Context, Shared
from service.api.schemas.streams import (
    StreamIn,
    StreamLogOut,
    StreamOut,
    StreamPatch,
    StreamsOut,
    log_entry_out,
)
from service.api.schemas.thresholds import FootageOut, ThresholdOut, found_threshold_out
from service.api.schemas.zones import stored
from service.api.sources import check_content, checked_source
from service.api.streams import (
    checked_webhooks,
    find_stream,
    in_force,
    model_thresholds,
    publish,
    recorded_frame,
    views,
)
from service.api.webhooks import forget_stream
from service.calibrate.basis import basis
from service.calibrate.thresholds import LEAST_FOOTAGE_S, footage, newest
from service.history.deletion import mark_deleted
from service.store.tables import StreamLogRow, StreamRow, ThresholdRow

log = structlog.get_logger(__name__)
router = APIRouter(tags=["streams"])

MAX_ID = 2**63 - 1


@router.post("/streams", status_code=201, summary="Register a camera")
def create_stream(body: StreamIn, context: Shared, response: Response) -> StreamOut:
    """A worker takes it within a second or so. A camera that doesn't answer now is accepted, and
    tried again for ever; a source that answers and is no video is refused."""
    source = checked_source(body.source, context.settings.media_dirs)
    model = chosen_model(body.model, context.settings)
    with context.database.read() as session:
        checked_webhooks(session, body.webhook_ids)
    check_content(source)
    row = StreamRow(
        id=uuid.uuid4().hex,
        name=body.name,
        source=source,
        model=model,
        gamma=body.gamma,
        memory_rule=body.memory_rule,
        appearance_weight=body.appearance_weight,
        threshold=body.threshold,
        false_alarms_per_day=body.false_alarms_per_day,
        fps=body.fps,
        weight=body.weight,
        loop=body.loop,
        paused=False,
        transport=body.transport,
        decode=body.decode,
        schedule=None if body.schedule is None else body.schedule.to_json(),
        cooldown_s=body.cooldown_s,
        zones=stored(body.zones),
        revision=1,
        created_at=time.time(),
    )
    with context.database.write() as session:
        row.webhook_ids = checked_webhooks(session, body.webhook_ids)
        session.add(row)
    publish(context, row, -1)
    context.normal_keeper.notice_streams()
    response.headers["Location"] = f"/streams/{row.id}"
    return views(context, [row])[0]


@router.get("/streams", summary="All cameras, and how they are doing")
def list_streams(context: Shared) -> StreamsOut:
    """The oldest first."""
    with context.database.read() as session:
        rows = session.scalars(select(StreamRow).order_by(StreamRow.created_at, StreamRow.id)).all()
    return StreamsOut(items=views(context, rows))


@router.get("/streams/{stream_id}", summary="One camera, and how it is doing")
def read_stream(stream_id: str, context: Shared) -> StreamOut:
    """Its source is shown without credentials."""
    with context.database.read() as session:
        row = find_stream(session, stream_id)
    return views(context, [row])[0]


@router.patch("/streams/{stream_id}", summary="Change a camera, or pause it")
def change_stream(stream_id: str, body: StreamPatch, context: Shared) -> StreamOut:
    """What is left out stays; null takes an override back. γ, λ, threshold, zones, rate, weight,
    pause and the memory's rule apply while the camera runs, without losing its memory; another
    transport or way to decode opens the source again; another source or model starts it anew."""
    given = body.model_fields_set
    with context.database.read() as session:
        find_stream(session, stream_id)
        checked_webhooks(session, body.webhook_ids)
    changes: dict[str, object] = {name: getattr(body, name) for name in given - {"webhook_ids"}}
    if body.source is not None:
        changes["source"] = checked_source(body.source, context.settings.media_dirs)
    if body.schedule is not None:
        changes["schedule"] = body.schedule.to_json()
    if "model" in given:
        changes["model"] = chosen_model(body.model, context.settings)
    if "zones" in given:
        changes["zones"] = stored(body.zones)
    if body.source is not None:
        check_content(str(changes["source"]))
    row, last_frame = _apply(context, stream_id, body, changes)
    publish(context, row, last_frame)
    return views(context, [row])[0]


def _apply(
    context: Context, stream_id: str, body: StreamPatch, changes: dict[str, object]
) -> tuple[StreamRow, int]:
    with context.database.write() as session:
        row = find_stream(session, stream_id, locked=True)
        before = basis(row)
        for name, value in changes.items():
            setattr(row, name, value)
        if basis(row) != before:
            row.calibrated_threshold = None
        if "webhook_ids" in body.model_fields_set:
            row.webhook_ids = checked_webhooks(session, body.webhook_ids)
        if session.is_modified(row):
            row.revision += 1
        return row, recorded_frame(session, stream_id)


@router.get("/streams/{stream_id}/log", summary="What became of a camera")
def read_log(
    stream_id: str,
    context: Shared,
    before: Annotated[
        int | None, Query(ge=0, le=MAX_ID, description="Only entries older than this one's id.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> StreamLogOut:
    """Its states, changes of the light, and outages that were told, the newest first. The newest
    1,000 entries of a stream are kept, for 90 days. `next` goes into `before` for the next page."""
    query = select(StreamLogRow).where(StreamLogRow.stream_id == stream_id)
    if before is not None:
        query = query.where(StreamLogRow.id < before)
    with context.database.read() as session:
        find_stream(session, stream_id)
        rows = session.scalars(query.order_by(StreamLogRow.id.desc()).limit(limit + 1)).all()
    items = [log_entry_out(row) for row in rows[:limit]]
    return StreamLogOut(items=items, next=items[-1].id if len(rows) > limit else None)


@router.get("/streams/{stream_id}/threshold", summary="A camera's threshold, and what it rests on")
def read_threshold(
    stream_id: str,
    context: Shared,
    limit: Annotated[int, Query(ge=1, le=100, description="Of the history.")] = 10,
) -> ThresholdOut:
    """Made of the scores of its own normal footage, so that it raises as many false alarms a day
    as it may (`false_alarms_per_day`), and made anew as footage accumulates. The stream's own
    `threshold` wins; while there is too little footage the model's is in force."""
    query = select(ThresholdRow).where(ThresholdRow.stream_id == stream_id)
    with context.database.read() as session:
        row = find_stream(session, stream_id)
        last, at_hand = newest(session, row), footage(session, row)
        rows = session.scalars(query.order_by(ThresholdRow.id.desc()).limit(limit)).all()
    threshold, origin = in_force(row, model_thresholds(context, {row.model}))
    return ThresholdOut(
        stream_id=row.id,
        threshold=threshold,
        origin=origin,
        false_alarms_per_day=row.false_alarms_per_day or context.settings.false_alarms_per_day,
        calibrated=None if last is None else found_threshold_out(last),
        footage=FootageOut(
            seconds=at_hand.seconds,
            peaks=at_hand.peaks,
            least_seconds=LEAST_FOOTAGE_S,
            least_peaks=LEAST_PEAKS,
        ),
        history=[found_threshold_out(each) for each in rows],
    )


@router.delete("/streams/{stream_id}", status_code=204, summary="Remove a camera")
def delete_stream(stream_id: str, context: Shared) -> None:
    """It is gone at once, and its scores and events with it; the room that they take on disk is
    free later, as they are many."""
    with context.database.write() as session:
        mark_deleted(session, find_stream(session, stream_id, locked=True), time.time())
        forget_stream(session, stream_id)
    context.normal_keeper.notice_streams()
    try:
        context.registry.remove(stream_id)
    except RedisError as error:
        log.warning(
            "a removal will be told to the workers later", stream=stream_id, error=str(error)
        )
