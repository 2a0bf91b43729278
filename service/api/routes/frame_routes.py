"""Uploading frames to a stream, and reading its newest picture."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from model.bundles.catalog import BundleInfo
from model.footage.picture_sizes import is_picture
from service.api.bundle_names import list_bundles
from service.api.context import Context, Shared
from service.api.error_answers import RequestRefused, refuse_field
from service.api.registered_streams import find_last_frame, find_stream, publish_stream
from service.api.schemas.error_schemas import ErrorOut
from service.api.schemas.frame_schemas import FrameRange, FramesOut
from service.api.times import format_time
from service.api.upload_bodies import Upload, UploadedFile, read_upload
from service.api.uploaded_pictures import KINDS, check_picture
from service.api.uploaded_videos import DecodedVideo, DecoderStop, decode_video
from service.bus.uploads import Picture
from service.errors import BacklogFull, NotFound
from service.media.heat_overlay import overlay_heat
from service.messages import UPLOAD
from service.store.tables import StreamRow

router = APIRouter(tags=["frames"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD_BODY: dict[str, Any] = {
    "parameters": [
        {
            "name": "captured_at",
            "in": "query",
            "required": False,
            "description": "As in the form: one for each picture, or a video's start.",
            "schema": {"type": "array", "items": {"type": "string"}},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "Pictures in order, or one video.",
                        },
                        "captured_at": {
                            "type": "array",
                            "items": {"type": "string"},
                            "description": "One for each picture, or a video's start: ISO 8601 or "
                            "seconds since 1970. Left out, it is now.",
                        },
                    },
                },
                "example": {"file": ["frame.jpg"], "captured_at": ["2026-11-24T08:30:00Z"]},
            },
            "image/*": _BINARY,
            "video/*": _BINARY,
        },
    },
}


@router.post(
    "/streams/{stream_id}/frames",
    status_code=202,
    summary="Upload pictures or a video",
    openapi_extra=_UPLOAD_BODY,
    responses={415: {"model": ErrorOut, "description": "The content type is another one."}},
)
async def upload_frames(stream_id: str, request: Request, context: Shared) -> FramesOut:
    """The stream's source must be `upload`. All frames of a request are accepted, or none. Once
    this is answered they are on disk; their scores come with these numbers. A video is read at the
    stream's rate, or at that of its model."""
    row = await run_in_threadpool(_find_upload_stream, context, stream_id)
    async with read_upload(request, context.settings) as upload:
        if await run_in_threadpool(_holds_video, upload):
            decoder = DecoderStop()
            work = partial(_decode_video, context, row, upload, decoder)
            decoded = await context.decoders.run_for(request, work, decoder.stop)
        else:
            decoded = await run_in_threadpool(_read_pictures, context, upload)
        numbers = await run_in_threadpool(_enqueue, context, stream_id, decoded.pictures)
    context.metrics.uploaded_frames.inc(len(numbers))
    return FramesOut(
        frames=FrameRange(first=numbers.start, last=numbers.stop - 1, count=len(numbers)),
        lost=decoded.lost,
        lost_reason=decoded.lost_reason,
    )


def _find_upload_stream(context: Context, stream_id: str) -> StreamRow:
    with context.database.read() as session:
        row = find_stream(session, stream_id)
    if row.source != UPLOAD:
        raise RequestRefused(
            409, "the stream reads its own source; only upload streams take frames"
        )
    if row.paused:
        raise RequestRefused(409, "the stream is paused; resume it before uploading frames")
    if row.model is None:
        raise RequestRefused(
            409, "the stream has no model yet; learn one, or choose one, before uploading frames"
        )
    return row


def _holds_video(upload: Upload) -> bool:
    heads = [_read_head(part) for part in upload.parts]
    return len(upload.parts) == 1 and _is_video(upload.parts[0], heads[0])


def _decode_video(
    context: Context, row: StreamRow, upload: Upload, decoder: DecoderStop
) -> DecodedVideo:
    settings, now = context.settings, time.time()
    part = upload.parts[0]
    if _measure_size(part) > settings.max_video_bytes:
        raise refuse_field(413, part.field, f"is larger than {settings.max_video_bytes} bytes")
    starts_at = upload.times[0] if upload.times else 0.0
    rate = row.fps if row.fps is not None else _find_trained_rate(list_bundles(settings), row.model)
    video = decode_video(
        part.field, part.file, starts_at=starts_at, fps=rate, settings=settings, decoder=decoder
    )
    return video if upload.times else replace(video, pictures=_move_end(video.pictures, now))


def _read_pictures(context: Context, upload: Upload) -> DecodedVideo:
    settings, now = context.settings, time.time()
    pictures: list[Picture] = []
    total = 0
    for place, part in enumerate(upload.parts):
        data = part.file.read(settings.max_image_bytes + 1)
        check_picture(part.field, data, settings)
        total += len(data)
        if total > settings.max_upload_bytes:
            raise refuse_field(413, "file", f"has more than {settings.max_upload_bytes} bytes")
        pictures.append(Picture(upload.times[place] if upload.times else now, data))
    return DecodedVideo(pictures)


def _move_end(pictures: list[Picture], end: float) -> list[Picture]:
    """Shift a recording of unknown time so that it ends then: no frame lies in the future."""
    shift = end - pictures[-1].captured_at if pictures else 0.0
    return [replace(each, captured_at=each.captured_at + shift) for each in pictures]


def _read_head(part: UploadedFile) -> bytes:
    part.file.seek(0)
    head = part.file.read(32)
    part.file.seek(0)
    return head


def _measure_size(part: UploadedFile) -> int:
    return part.file.seek(0, 2)


def _is_video(part: UploadedFile, head: bytes) -> bool:
    if is_picture(head):
        return False
    if part.media_type.startswith("image/"):
        raise refuse_field(422, part.field, f"is not {KINDS}")
    return True


def _find_trained_rate(known: list[BundleInfo], model: str | None) -> float | None:
    return next((info.provenance.frame_rate for info in known if info.name == model), None)


def _enqueue(context: Context, stream_id: str, pictures: list[Picture]) -> range:
    settings = context.settings

    def queue(last_frame: int) -> range:
        return context.uploads.enqueue(
            stream_id,
            pictures,
            first_frame=last_frame + 1,
            max_frames=settings.max_upload_frames,
            max_bytes=settings.max_upload_bytes,
        )

    try:
        try:
            return queue(_read_last_frame(context, stream_id, publishes=False))
        except NotFound:  # Redis has lost its data; or the stream has just been deleted
            return queue(_read_last_frame(context, stream_id, publishes=True))
    except BacklogFull:
        context.metrics.refused_frames.inc(len(pictures))
        raise


def _read_last_frame(context: Context, stream_id: str, *, publishes: bool) -> int:
    with context.database.read() as session:
        row = find_stream(session, stream_id)
        last_frame = find_last_frame(session, stream_id)
    if publishes:
        publish_stream(context, row, last_frame)
    return last_frame


@router.get(
    "/streams/{stream_id}/frame.jpg",
    summary="Read a stream's newest picture",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "A JPEG."}},
)
def newest_frame(
    stream_id: str,
    context: Shared,
    heat: Annotated[bool, Query(description="Add a heat map of where the error is.")] = False,
) -> Response:
    """X-Frame and X-Captured-At say which frame it is. 404 until there is one."""
    with context.database.read() as session:
        find_stream(session, stream_id)
    preview = context.registry.preview(stream_id)
    if preview is None:
        raise RequestRefused(404, "the stream has no picture yet")
    return Response(
        overlay_heat(preview.jpeg, preview.heat) if heat and preview.heat else preview.jpeg,
        media_type="image/jpeg",
        headers={
            "Cache-Control": "no-store",
            "X-Frame": str(preview.frame),
            "X-Captured-At": format_time(preview.captured_at),
        },
    )
