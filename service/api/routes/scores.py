"""Scores: by page, and live."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated

import anyio
import structlog
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from service.api.context import Context, Shared
from service.api.errors import field_refused
from service.api.schemas.scores import ScoreOut, ScoresFormat, ScoresOut, score_out
from service.api.streams import find_stream, recorded_frame
from service.api.times import ROUNDING_S, TimeIn, iso_time
from service.errors import NotFound
from service.store.tables import ScoreRow

log = structlog.get_logger(__name__)
router = APIRouter(tags=["scores"])

MAX_FRAME = 2**63 - 1
POLL_S = 0.25
PING_S = 15
STOP_S = 2.0
"""How long an answer has to end by itself when the server stops."""
BATCH = 500
RECONNECT_MS = 1000

FrameNumber = Annotated[int, Query(ge=-1, le=MAX_FRAME)]


@router.get(
    "/streams/{stream_id}/scores",
    summary="Scores of a stream",
    response_model=ScoresOut,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def read_scores(
    stream_id: str,
    request: Request,
    context: Shared,
    since: Annotated[
        TimeIn | None, Query(alias="from", description="Captured at this time or later.")
    ] = None,
    until: Annotated[
        TimeIn | None, Query(alias="to", description="Captured at this time or earlier.")
    ] = None,
    after: Annotated[
        FrameNumber | None, Query(description="Only frames with a higher number.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    form: Annotated[
        ScoresFormat | None,
        Query(alias="format", description="csv also by Accept: text/csv."),
    ] = None,
) -> Response:
    """In the order of their frames. Without `from`, `to` and `after` these are the newest ones.
    `next` (X-Next beside CSV) goes into `after` for the next page."""
    if since is not None and until is not None and since > until:
        raise field_refused(422, "from", "must not be later than to", iso_time(since))
    query = select(ScoreRow).where(ScoreRow.stream_id == stream_id)
    if since is not None:
        query = query.where(ScoreRow.captured_at >= since - ROUNDING_S)
    if until is not None:
        query = query.where(ScoreRow.captured_at <= until + ROUNDING_S)
    if after is not None:
        query = query.where(ScoreRow.frame > after)
    newest = since is None and until is None and after is None
    order = ScoreRow.frame.desc() if newest else ScoreRow.frame.asc()
    with context.database.read() as session:
        find_stream(session, stream_id)
        rows = session.scalars(query.order_by(order).limit(limit if newest else limit + 1)).all()
    items = [score_out(row) for row in (reversed(rows) if newest else rows[:limit])]
    following = items[-1].frame if len(rows) > limit else None
    accepts_csv = "text/csv" in request.headers.get("accept", "")
    if form is ScoresFormat.CSV or (form is None and accepts_csv):
        headers = {} if following is None else {"X-Next": str(following)}
        return StreamingResponse(_csv(items), media_type="text/csv", headers=headers)
    return JSONResponse(ScoresOut(items=items, next=following).model_dump(mode="json"))


def _csv(items: Sequence[ScoreOut]) -> Iterator[str]:
    names = list(ScoreOut.model_fields)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for item in items:
        writer.writerow(item.model_dump(mode="json"))
        if buffer.tell() > 64 * 1024:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


@router.get(
    "/streams/{stream_id}/scores/live",
    summary="Scores as they come",
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
    newest = await run_in_threadpool(_newest, context, stream_id)
    start = last_event_id if last_event_id is not None else after
    stopping = anyio.Event()
    return EventSourceResponse(
        _follow(context, stream_id, newest if start is None else start, stopping),
        ping=PING_S,
        shutdown_event=stopping,
        shutdown_grace_period=STOP_S,
    )


def _newest(context: Context, stream_id: str) -> int:
    with context.database.read() as session:
        find_stream(session, stream_id)
        return recorded_frame(session, stream_id)


async def _follow(
    context: Context, stream_id: str, after: int, stopping: anyio.Event
) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(comment="scores follow", retry=RECONNECT_MS)
    while not stopping.is_set():
        try:
            items = await run_in_threadpool(_behind, context, stream_id, after)
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


def _behind(context: Context, stream_id: str, after: int) -> list[ScoreOut]:
    query = (
        select(ScoreRow)
        .where(ScoreRow.stream_id == stream_id, ScoreRow.frame > after)
        .order_by(ScoreRow.frame)
        .limit(BATCH)
    )
    with context.database.read() as session:
        rows = session.scalars(query).all()
        if not rows:
            find_stream(session, stream_id)
    return [score_out(row) for row in rows]
