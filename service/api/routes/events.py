"""Events, and their pictures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import defer

from service.api.context import Shared
from service.api.errors import Refused, field_refused
from service.api.schemas.events import EventOut, EventsOut, event_out
from service.api.streams import IDENT, find_stream
from service.api.times import ROUNDING_S, TimeIn, iso_time, parse_time
from service.errors import NotFound
from service.media.shelf import kinds_of
from service.store.tables import EventRow, StreamRow

router = APIRouter(tags=["events"])


def _events() -> Select[EventRow, str, bool]:
    """Events with their stream's name and whether there is a picture; never the picture itself."""
    return (
        select(EventRow, StreamRow.name, EventRow.snapshot.is_not(None))
        .join(StreamRow, StreamRow.id == EventRow.stream_id)
        .options(defer(EventRow.snapshot, raiseload=True))
    )


@router.get("/events", summary="Events, the newest first")
def list_events(
    context: Shared,
    stream_id: Annotated[str | None, Query(description="Of this stream alone.")] = None,
    since: Annotated[
        TimeIn | None, Query(alias="from", description="That went on at this time or later.")
    ] = None,
    until: Annotated[
        TimeIn | None, Query(alias="to", description="That started at this time or earlier.")
    ] = None,
    is_open: Annotated[
        bool | None, Query(alias="open", description="Only those that go on, or that ended.")
    ] = None,
    before: Annotated[
        str | None, Query(max_length=100, description="The `next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EventsOut:
    """Those that overlap the time asked for."""
    if since is not None and until is not None and since > until:
        raise field_refused(422, "from", "must not be later than to", iso_time(since))
    query = _events()
    if stream_id is not None:
        query = query.where(EventRow.stream_id == stream_id)
    if since is not None:
        query = query.where(
            or_(EventRow.ended_at.is_(None), EventRow.ended_at >= since - ROUNDING_S)
        )
    if until is not None:
        query = query.where(EventRow.started_at <= until + ROUNDING_S)
    if is_open is not None:
        query = query.where(
            EventRow.ended_at.is_(None) if is_open else EventRow.ended_at.is_not(None)
        )
    if before is not None:
        started_at, ident = _cursor(before)
        same = and_(EventRow.started_at == started_at, EventRow.id < ident)
        query = query.where(or_(EventRow.started_at < started_at, same))
    query = query.order_by(EventRow.started_at.desc(), EventRow.id.desc()).limit(limit + 1)
    with context.database.read() as session:
        if stream_id is not None:
            find_stream(session, stream_id)
        found = session.execute(query).all()
        media = kinds_of(session, [row.id for row, _, _ in found])
    items = [
        event_out(row, name, has_snapshot=has, media=media.get(row.id, ()))
        for row, name, has in found[:limit]
    ]
    more = len(found) > limit
    last = found[limit - 1][0] if more else None
    return EventsOut(items=items, next=f"{last.started_at!r}_{last.id}" if last else None)


def _cursor(text: str) -> tuple[float, str]:
    """The cursor's parts: the exact start, and the id that settles ties."""
    started_at, _, ident = text.partition("_")
    try:
        if not IDENT.fullmatch(ident):
            raise ValueError("no id")
        return parse_time(started_at), ident
    except ValueError:
        raise field_refused(422, "before", "is not the next of an earlier page", text) from None


@router.get("/events/{event_id}", summary="One event")
def read_event(event_id: str, context: Shared) -> EventOut:
    """`ended_at` is null while it goes on."""
    if not IDENT.fullmatch(event_id):
        raise NotFound("event", event_id)
    with context.database.read() as session:
        found = session.execute(_events().where(EventRow.id == event_id)).one_or_none()
        media = kinds_of(session, [event_id])
    if found is None:
        raise NotFound("event", event_id)
    row, name, has_snapshot = found
    return event_out(row, name, has_snapshot=has_snapshot, media=media.get(row.id, ()))


@router.get(
    "/events/{event_id}/snapshot.jpg",
    summary="An event's picture",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "A JPEG."}},
)
def read_snapshot(event_id: str, context: Shared) -> Response:
    """The picture nearest to its start; 404 where there was none."""
    query = select(EventRow.id, EventRow.snapshot).where(EventRow.id == event_id)
    with context.database.read() as session:
        found = session.execute(query).one_or_none() if IDENT.fullmatch(event_id) else None
    if found is None:
        raise NotFound("event", event_id)
    if found.snapshot is None:
        raise Refused(404, "the event has no picture")
    # It never changes, but whoever may see it may not be the next one at this browser.
    headers = {"Cache-Control": "private, no-cache"}
    return Response(found.snapshot, media_type="image/jpeg", headers=headers)
