"""An event's peak picture and clip, from this machine's disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy import select

from service.api.context import Context, Shared
from service.api.error_answers import RequestRefused
from service.api.file_answers import answer_with_file, describe_file_answers
from service.api.idents import IDENT
from service.errors import NotFound
from service.media.shelf import MediaKind
from service.store.tables import EventMediaRow, EventRow

router = APIRouter(tags=["events"])

ELSEWHERE = (
    "the {} is not on this machine: it lies in the data folder of the front end that recorded the "
    "event, or it has just been deleted"
)


@router.get(
    "/events/{event_id}/clip.mp4",
    summary="Read an event's clip",
    response_class=FileResponse,
    responses=describe_file_answers("video/mp4", "H.264 in MP4."),
)
def read_clip(event_id: str, context: Shared, request: Request) -> Response:
    """It lasts from a few seconds before the event to a few after. 404 until it is over, and where
    nothing was kept."""
    return _answer_first(context, event_id, (MediaKind.CLIP,), request)


@router.get(
    "/events/{event_id}/peak.jpg",
    summary="Read an event's picture at its peak",
    response_class=FileResponse,
    responses=describe_file_answers("image/jpeg", "A JPEG."),
)
def read_peak(
    event_id: str,
    context: Shared,
    request: Request,
    heat: Annotated[bool, Query(description="Add a heat map of where it is abnormal.")] = False,
) -> Response:
    """The picture with the highest score so far. 404 until there is one."""
    return _answer_first(
        context, event_id, (MediaKind.HEAT, MediaKind.PEAK) if heat else (MediaKind.PEAK,), request
    )


def _answer_first(
    context: Context, event_id: str, kinds: Sequence[MediaKind], request: Request
) -> Response:
    """Answer with the first of these files that exists."""
    if not IDENT.fullmatch(event_id):
        raise NotFound("event", event_id)
    with context.database.read() as session:
        if session.scalar(select(EventRow.id).where(EventRow.id == event_id)) is None:
            raise NotFound("event", event_id)
        found = {kind: session.get(EventMediaRow, (event_id, kind.value)) for kind in kinds}
    rows = [row for row in found.values() if row is not None]
    what = "clip" if MediaKind.CLIP in kinds else "picture"
    if not rows:
        raise RequestRefused(404, f"the event has no {what}, or not yet")
    for row in rows:
        if (path := context.shelf.find_path(row)) is not None:
            return answer_with_file(path, row.content_type, request)
    raise RequestRefused(404, ELSEWHERE.format(what))
