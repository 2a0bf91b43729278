"""Events, and their pictures."""

from __future__ import annotations

import itertools
import time
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import and_, or_, select, update

from service.api.context import Shared
from service.api.csv_table import write_csv
from service.api.error_answers import RequestRefused, refuse_field
from service.api.event_queries import (
    MEDIA_TYPES,
    ExportFormat,
    RequestedEvents,
    describe_events,
    list_cells,
    read_batches,
    select_events,
    write_jsonl,
)
from service.api.idents import IDENT
from service.api.schemas.event_schemas import EventOut, EventPatch, EventsOut
from service.api.times import parse_time
from service.errors import NotFound
from service.store.tables import EventRow

router = APIRouter(tags=["events"])


@router.get("/events", summary="List events, the newest first")
def list_events(
    context: Shared,
    filters: RequestedEvents,
    before: Annotated[
        str | None, Query(max_length=100, description="The `next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EventsOut:
    """Events that overlap the time asked for."""
    query = filters.select()
    if before is not None:
        started_at, ident = _parse_cursor(before)
        same = and_(EventRow.started_at == started_at, EventRow.id < ident)
        query = query.where(or_(EventRow.started_at < started_at, same))
    query = query.order_by(EventRow.started_at.desc(), EventRow.id.desc()).limit(limit + 1)
    with context.database.read() as session:
        filters.check(session)
        found = session.execute(query).all()
        items = describe_events(session, found[:limit])
    last = found[limit - 1][0] if len(found) > limit else None
    return EventsOut(items=items, next=f"{last.started_at!r}_{last.id}" if last else None)


def _parse_cursor(text: str) -> tuple[float, str]:
    """Parse a cursor: the exact start, and the id that settles ties."""
    started_at, _, ident = text.partition("_")
    try:
        if not IDENT.fullmatch(ident):
            raise ValueError("no id")
        return parse_time(started_at), ident
    except ValueError:
        raise refuse_field(422, "before", "is not the next of an earlier page", text) from None


@router.get(
    "/events/export",
    summary="Export events as a file, the oldest first",
    response_class=StreamingResponse,
    responses={
        200: {"content": {kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()}}
    },
)
def export_events(
    context: Shared,
    filters: RequestedEvents,
    form: Annotated[
        ExportFormat, Query(alias="format", description="A table, or a JSON object a line.")
    ] = ExportFormat.CSV,
) -> StreamingResponse:
    """All events that the filters leave, with their labels and notes, and without a limit."""
    with context.database.read() as session:
        filters.check(session)
    found = read_batches(context.database, filters)
    if form is ExportFormat.CSV:
        events = itertools.chain.from_iterable(found)
        lines = write_csv(list(EventOut.model_fields), map(list_cells, events))
    else:
        lines = write_jsonl(found)
    return StreamingResponse(
        lines,
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="events.{form.value}"'},
    )


@router.get("/events/{event_id}", summary="Read an event")
def read_event(event_id: str, context: Shared) -> EventOut:
    """`ended_at` is null while it goes on."""
    if not IDENT.fullmatch(event_id):
        raise NotFound("event", event_id)
    with context.database.read() as session:
        found = session.execute(select_events().where(EventRow.id == event_id)).all()
        if not found:
            raise NotFound("event", event_id)
        return describe_events(session, found)[0]


@router.patch("/events/{event_id}", summary="Label an event")
def review_event(event_id: str, body: EventPatch, context: Shared) -> EventOut:
    """`real`: it deserved an alert; `normal`: it did not. What is left out stays; null takes it
    back."""
    values: dict[str, object] = {}
    if "label" in body.model_fields_set:
        labelled_at = None if body.label is None else time.time()
        values |= {"label": body.label, "labelled_at": labelled_at}
    if "note" in body.model_fields_set:
        values["label_note"] = body.note
    if values and IDENT.fullmatch(event_id):
        with context.database.write() as session:
            session.execute(update(EventRow).where(EventRow.id == event_id).values(values))
        context.normal_keeper.notice(event_id)
    return read_event(event_id, context)


@router.get(
    "/events/{event_id}/start.jpg",
    summary="Read an event's picture at its start",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "A JPEG."}},
)
def read_picture(event_id: str, context: Shared) -> Response:
    """The picture nearest to its start; 404 where there was none."""
    query = select(EventRow.id, EventRow.picture).where(EventRow.id == event_id)
    with context.database.read() as session:
        found = session.execute(query).one_or_none() if IDENT.fullmatch(event_id) else None
    if found is None:
        raise NotFound("event", event_id)
    if found.picture is None:
        raise RequestRefused(404, "the event has no picture")
    # It never changes, but the next user of this browser may not be allowed to see it.
    headers = {"Cache-Control": "private, no-cache"}
    return Response(found.picture, media_type="image/jpeg", headers=headers)
