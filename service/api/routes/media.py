"""What an event looked like: its peak's picture and its clip, from this machine's disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy import select

from service.api.context import Context, Shared
from service.api.errors import Refused
from service.api.files import file_answer, file_answers
from service.api.idents import IDENT
from service.errors import NotFound
from service.media.kinds import Kind
from service.store.tables import EventMediaRow, EventRow

router = APIRouter(tags=["events"])

ELSEWHERE = (
    "the {} is not on this machine: it lies in the data folder of the front end that recorded the "
    "event, or it has just been deleted"
)


@router.head("/events/{event_id}/clip.mp4", include_in_schema=False)
@router.get(
    "/events/{event_id}/clip.mp4",
    summary="An event's clip",
    response_class=FileResponse,
    responses=file_answers("video/mp4", "H.264 in MP4."),
)
def read_clip(event_id: str, context: Shared, request: Request) -> Response:
    """From a few seconds before the event to a few after. 404 until it is over, and where nothing
    was kept."""
    return _file(context, event_id, (Kind.CLIP,), request)


@router.head("/events/{event_id}/peak.jpg", include_in_schema=False)
@router.get(
    "/events/{event_id}/peak.jpg",
    summary="An event's picture at its peak",
    response_class=FileResponse,
    responses=file_answers("image/jpeg", "A JPEG."),
)
def read_peak(
    event_id: str,
    context: Shared,
    request: Request,
    heat: Annotated[bool, Query(description="Show where it is abnormal.")] = False,
) -> Response:
    """The picture with the highest score so far. 404 until there is one."""
    return _file(context, event_id, (Kind.HEAT, Kind.PEAK) if heat else (Kind.PEAK,), request)


def _file(context: Context, event_id: str, kinds: Sequence[Kind], request: Request) -> Response:
    """The first of these that there is."""
    if not IDENT.fullmatch(event_id):
        raise NotFound("event", event_id)
    with context.database.read() as session:
        if session.scalar(select(EventRow.id).where(EventRow.id == event_id)) is None:
            raise NotFound("event", event_id)
        found = {kind: session.get(EventMediaRow, (event_id, kind.value)) for kind in kinds}
    rows = [row for row in found.values() if row is not None]
    what = "clip" if Kind.CLIP in kinds else "picture"
    if not rows:
        raise Refused(404, f"the event has no {what}, or not yet")
    for row in rows:
        if (path := context.shelf.path_of(row)) is not None:
            return file_answer(path, row.content_type, request)
    raise Refused(404, ELSEWHERE.format(what))
