"""Scores of a stream, by page and live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

import anyio
import structlog
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from service.api.context import Context, Shared
from service.api.csv_table import write_csv
from service.api.error_answers import refuse_field
from service.api.registered_streams import find_last_frame, find_stream
from service.api.schemas.score_schemas import (
    RollupOut,
    RollupsOut,
    ScoreOut,
    ScoresFormat,
    ScoresOut,
    ScoresResolution,
    describe_rollup,
    describe_score,
)
from service.api.times import ROUNDING_S, TimeIn, format_time
from service.errors import NotFound
from service.history.rollup_queries import Resolution, choose_resolution, read_rollups
from service.store.tables import ScoreRow

log = structlog.get_logger(__name__)
router = APIRouter(tags=["scores"])

MAX_FRAME = 2**63 - 1
POLL_S = 0.25
PING_S = 15
STOP_S = 2.0
"""Seconds in which a live answer must end by itself when the server stops."""
BATCH = 500
FRAMES = 1000
MAX_ITEMS = 10_000
RECONNECT_MS = 1000

FrameNumber = Annotated[int, Query(ge=-1, le=MAX_FRAME)]


@dataclass(frozen=True, slots=True)
class CaptureSpan:
    """A span of capture times, in seconds since 1970; None is open."""

    since: float | None
    until: float | None


def parse_span(
    since: Annotated[
        TimeIn | None, Query(alias="from", description="Captured at this time or later.")
    ] = None,
    until: Annotated[
        TimeIn | None, Query(alias="to", description="Captured at this time or earlier.")
    ] = None,
) -> CaptureSpan:
    """Parse the span of a request. Raises: RequestRefused: it ends before it begins."""
    if since is not None and until is not None and since > until:
        raise refuse_field(422, "from", "must not be later than to", format_time(since))
    return CaptureSpan(since, until)


@router.get(
    "/streams/{stream_id}/scores",
    summary="Read a stream's scores",
    response_model=ScoresOut | RollupsOut,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def read_scores(
    stream_id: str,
    request: Request,
    context: Shared,
    span: Annotated[CaptureSpan, Depends(parse_span)],
    after: Annotated[
        FrameNumber | None, Query(description="Only frames with a higher number.")
    ] = None,
    limit: Annotated[
        int | None,
        Query(ge=1, le=MAX_ITEMS, description="1000 frames, or 10,000 roll-ups, unless given."),
    ] = None,
    form: Annotated[
        ScoresFormat | None, Query(alias="format", description="csv also by Accept: text/csv.")
    ] = None,
    resolution: Annotated[
        ScoresResolution,
        Query(description="auto: by frame, unless both from and to are given: then as suits them."),
    ] = ScoresResolution.AUTO,
) -> Response:
    """They come in the order of their frames, or of their times. Without `from`, `to` and `after`
    these are the newest ones. `next` (in CSV the header X-Next) goes into `after` for the next page
    of frames, and into `from` for that of roll-ups. X-Resolution says what an item stands for."""
    if after is not None and resolution in (ScoresResolution.SECOND, ScoresResolution.MINUTE):
        reason = f"is a frame's number, and items are by {resolution.value}: page by from"
        raise refuse_field(422, "after", reason, after)
    with context.database.read() as session:
        find_stream(session, stream_id)
        resolved = _choose_resolution(session, stream_id, span, after, resolution)
        page: ScoresOut | RollupsOut
        if resolved is Resolution.FRAME:
            page = _read_frames(session, stream_id, span, after, limit or FRAMES)
        else:
            page = _read_rollups(session, stream_id, span, resolved, limit or MAX_ITEMS)
    headers = {"X-Resolution": resolved.value}
    accepts_csv = "text/csv" in request.headers.get("accept", "")
    if form is ScoresFormat.CSV or (form is None and accepts_csv):
        if page.next is not None:
            headers["X-Next"] = str(page.model_dump(include={"next"})["next"])
        item_type = ScoreOut if resolved is Resolution.FRAME else RollupOut
        rows = (item.model_dump(mode="json") for item in page.items)
        table = write_csv(list(item_type.model_fields), rows)
        return StreamingResponse(table, media_type="text/csv", headers=headers)
    return Response(page.model_dump_json(), media_type="application/json", headers=headers)


def _choose_resolution(
    session: Session,
    stream_id: str,
    span: CaptureSpan,
    after: int | None,
    resolution: ScoresResolution,
) -> Resolution:
    if resolution is not ScoresResolution.AUTO:
        return Resolution(resolution.value)
    if after is not None or span.since is None or span.until is None:
        return Resolution.FRAME
    return choose_resolution(session, stream_id, span.since, span.until)


def _read_frames(
    session: Session, stream_id: str, span: CaptureSpan, after: int | None, limit: int
) -> ScoresOut:
    query = select(ScoreRow).where(ScoreRow.stream_id == stream_id)
    if span.since is not None:
        query = query.where(ScoreRow.captured_at >= span.since - ROUNDING_S)
    if span.until is not None:
        query = query.where(ScoreRow.captured_at <= span.until + ROUNDING_S)
    if after is not None:
        query = query.where(ScoreRow.frame > after)
    newest = span.since is None and span.until is None and after is None
    order = ScoreRow.frame.desc() if newest else ScoreRow.frame.asc()
    rows = session.scalars(query.order_by(order).limit(limit if newest else limit + 1)).all()
    items = [describe_score(row) for row in (reversed(rows) if newest else rows[:limit])]
    return ScoresOut(items=items, next=items[-1].frame if len(rows) > limit else None)


def _read_rollups(
    session: Session, stream_id: str, span: CaptureSpan, resolution: Resolution, limit: int
) -> RollupsOut:
    newest = span.since is None and span.until is None
    found = read_rollups(
        session,
        stream_id,
        resolution,
        since=span.since,
        until=span.until,
        limit=limit if newest else limit + 1,
    )
    items = [describe_rollup(each) for each in found[:limit]]
    following = items[-1].at + resolution.length_s if len(found) > limit else None
    return RollupsOut(resolution=resolution, items=items, next=following)


@router.get(
    "/streams/{stream_id}/scores/live",
    summary="Follow a stream's scores as they come",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def follow_scores(
    stream_id: str,
    context: Shared,
    after: Annotated[
        FrameNumber | None, Query(description="Begin behind this frame; else with the next one.")
    ] = None,
    last_event_id: Annotated[int | None, Header(ge=-1, le=MAX_FRAME)] = None,
) -> EventSourceResponse:
    """Events named `score`, each with a score as its JSON and the frame as its id. A client that
    comes back with Last-Event-ID misses none. An event `end` says that the stream was deleted."""
    newest = await run_in_threadpool(_find_newest_frame, context, stream_id)
    start = last_event_id if last_event_id is not None else after
    stopping = anyio.Event()
    return EventSourceResponse(
        _follow(context, stream_id, newest if start is None else start, stopping),
        ping=PING_S,
        shutdown_event=stopping,
        shutdown_grace_period=STOP_S,
    )


def _find_newest_frame(context: Context, stream_id: str) -> int:
    with context.database.read() as session:
        find_stream(session, stream_id)
        return find_last_frame(session, stream_id)


async def _follow(
    context: Context, stream_id: str, after: int, stopping: anyio.Event
) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(comment="scores follow", retry=RECONNECT_MS)
    while not stopping.is_set():
        try:
            items = await run_in_threadpool(_read_after, context, stream_id, after)
        except NotFound:
            yield ServerSentEvent(event="end", data="{}")
            return
        except SQLAlchemyError:
            log.warning("live scores wait for the database", stream=stream_id)
            items = []
        for item in items:
            after = item.frame
            yield ServerSentEvent(event="score", id=str(after), data=item.model_dump_json())
        if len(items) < BATCH:
            with anyio.move_on_after(POLL_S):
                await stopping.wait()


def _read_after(context: Context, stream_id: str, after: int) -> list[ScoreOut]:
    query = (
        select(ScoreRow)
        .where(ScoreRow.stream_id == stream_id, ScoreRow.frame > after)
        .order_by(ScoreRow.frame)
        .limit(BATCH)
    )
    with context.database.read() as session:
        find_stream(session, stream_id)
        rows = session.scalars(query).all()
    return [describe_score(row) for row in rows]
