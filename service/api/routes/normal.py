"""Footage that somebody called normal, for the next training."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.api.context import Shared
from service.api.errors import Refused
from service.api.files import file_answer, file_answers
from service.api.schemas.normal import NormalFootageOut, normal_clip_out
from service.api.streams import find_stream
from service.store.tables import EventRow

router = APIRouter(tags=["streams"])

BATCH = 500
"""Ids in one query."""


@router.get("/streams/{stream_id}/normal-footage", summary="What was called normal of a camera")
def list_normal_footage(stream_id: str, context: Shared) -> NormalFootageOut:
    """Clips of its events that are labelled `normal`, kept for `normwatch train --stream` on this
    front end's machine: those that it recorded."""
    folder = context.normal_keeper.folder
    with context.database.read() as session:
        find_stream(session, stream_id)
        clips = folder.clips(stream_id)
        started = _started(session, [clip.event_id for clip in clips])
    items = [normal_clip_out(clip, started.get(clip.event_id)) for clip in clips]
    return NormalFootageOut(
        stream_id=stream_id,
        folder=str(folder.of_stream(stream_id).absolute()),
        clips=len(items),
        seconds=round(sum(item.seconds or 0.0 for item in items), 3),
        bytes=sum(item.bytes for item in items),
        items=items,
    )


def _started(session: Session, event_ids: Sequence[str]) -> dict[str, float]:
    """When these events started, as far as they are still there."""
    found: dict[str, float] = {}
    for first in range(0, len(event_ids), BATCH):
        query = select(EventRow.id, EventRow.started_at)
        rows = session.execute(query.where(EventRow.id.in_(event_ids[first : first + BATCH])))
        found |= {ident: started_at for ident, started_at in rows}
    return found


@router.head("/streams/{stream_id}/normal-footage/{event_id}.mp4", include_in_schema=False)
@router.get(
    "/streams/{stream_id}/normal-footage/{event_id}.mp4",
    summary="A clip that was called normal",
    response_class=FileResponse,
    responses=file_answers("video/mp4", "H.264 in MP4."),
)
def read_normal_clip(stream_id: str, event_id: str, context: Shared, request: Request) -> Response:
    """404 where this front end's machine keeps none."""
    with context.database.read() as session:
        find_stream(session, stream_id)
    try:
        clip = context.normal_keeper.folder.clip(stream_id, event_id)
        if clip is not None:
            return file_answer(clip.path, "video/mp4", request)
    except (ValueError, FileNotFoundError):  # no such id; or it has just gone
        pass
    raise Refused(404, f"no footage of event {event_id!r} is kept on this machine")
