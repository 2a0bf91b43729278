"""Events, and their pictures."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import and_, or_, select, update

from service.api.context import Shared
from service.api.errors import Refused, field_refused
from service.api.events import (
    MEDIA_TYPES,
    ExportFormat,
    Wanted,
    as_csv,
    as_jsonl,
    batches,
    events_query,
)
from service.api.idents import IDENT
from service.api.schemas.events import EventOut, EventPatch, EventsOut, event_out
from service.api.times import parse_time
from service.errors import NotFound
from service.media.shelf import kinds_of
from service.store.tables import EventRow

router = APIRouter(tags=["events"])


@router.get("/events", summary="Events, the newest first")
def list_events(
    context: Shared,
    wanted: Wanted,
    before: Annotated[
        str | None, Query(max_length=100, description="The `next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EventsOut:
    """Those that overlap the time asked for."""
    query = wanted.query()
    if before is not None:
        started_at, ident = _cursor(before)
        same = and_(EventRow.started_at == started_at, EventRow.id < ident)
        query = query.where(or_(EventRow.started_at < started_at, same))
    query = query.order_by(EventRow.started_at.desc(), EventRow.id.desc()).limit(limit + 1)
    with context.database.read() as session:
        wanted.check(session)
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


@router.get(
    "/events/export",
    summary="Events as a file, the oldest first",
    response_class=StreamingResponse,
    responses={
        200: {"content": {kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()}}
    },
)
def export_events(
    context: Shared,
    wanted: Wanted,
    form: Annotated[
        ExportFormat, Query(alias="format", description="A table, or a JSON object a line.")
    ] = ExportFormat.CSV,
) -> StreamingResponse:
    """All that the filters leave, with what was said of them, and without a limit."""
    with context.database.read() as session:
        wanted.check(session)
    found = batches(context.database, wanted)
    return StreamingResponse(
        as_csv(found) if form is ExportFormat.CSV else as_jsonl(found),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="events.{form.value}"'},
    )


@router.get("/events/{event_id}", summary="One event")
def read_event(event_id: str, context: Shared) -> EventOut:
    """`ended_at` is null while it goes on."""
    if not IDENT.fullmatch(event_id):
        raise NotFound("event", event_id)
    with context.database.read() as session:
        media = kinds_of(session, [event_id])
        found = session.execute(events_query().where(EventRow.id == event_id)).one_or_none()
    if found is None:
        raise NotFound("event", event_id)
    row, name, has_snapshot = found
    return event_out(row, name, has_snapshot=has_snapshot, media=media.get(row.id, ()))


@router.patch("/events/{event_id}", summary="Say what an event was")
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
