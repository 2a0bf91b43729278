"""Clips of events that are labelled normal, for the next training."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.api.context import Shared
from service.api.error_answers import RequestRefused
from service.api.file_answers import answer_with_file, describe_file_answers
from service.api.registered_streams import find_stream
from service.api.schemas.normal_clip_schemas import NormalFootageOut, describe_normal_clip
from service.store.tables import EventRow

router = APIRouter(tags=["streams"])

BATCH = 500
"""Ids that one query names."""


@router.get(
    "/streams/{stream_id}/normal-footage", summary="List a stream's clips that are labelled normal"
)
def list_normal_footage(stream_id: str, context: Shared) -> NormalFootageOut:
    """Clips of its events that are labelled `normal`, kept for `normwatch train --stream` on this
    front end's machine: those that it recorded."""
    folder = context.normal_keeper.folder
    with context.database.read() as session:
        find_stream(session, stream_id)
        clips = folder.clips(stream_id)
        started = _read_starts(session, [clip.event_id for clip in clips])
    items = [describe_normal_clip(clip, started.get(clip.event_id)) for clip in clips]
    return NormalFootageOut(
        stream_id=stream_id,
        folder=str(folder.stream_folder(stream_id).absolute()),
        clips=len(items),
        seconds=round(sum(item.seconds or 0.0 for item in items), 3),
        bytes=sum(item.bytes for item in items),
        items=items,
    )


def _read_starts(session: Session, event_ids: Sequence[str]) -> dict[str, float]:
    """Return when these events started, as far as they still exist."""
    found: dict[str, float] = {}
    for first in range(0, len(event_ids), BATCH):
        query = select(EventRow.id, EventRow.started_at)
        rows = session.execute(query.where(EventRow.id.in_(event_ids[first : first + BATCH])))
        found |= {ident: started_at for ident, started_at in rows}
    return found


@router.get(
    "/streams/{stream_id}/normal-footage/{event_id}.mp4",
    summary="Read a clip that is labelled normal",
    response_class=FileResponse,
    responses=describe_file_answers("video/mp4", "H.264 in MP4."),
)
def read_normal_clip(stream_id: str, event_id: str, context: Shared, request: Request) -> Response:
    """404 where this front end's machine keeps none."""
    with context.database.read() as session:
        find_stream(session, stream_id)
    try:
        clip = context.normal_keeper.folder.clip(stream_id, event_id)
        if clip is not None:
            return answer_with_file(clip.path, "video/mp4", request)
    except (ValueError, FileNotFoundError):  # no such id; or it has just gone
        pass
    raise RequestRefused(404, f"no footage of event {event_id!r} is kept on this machine")
