"""Reads the body of an upload: multipart with files, or the picture or video itself."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from service.api.error_answers import RequestRefused, refuse_field
from service.api.times import parse_time
from service.settings import Settings

FILE = "file"
TIME = "captured_at"
MAX_FIELD_BYTES = 100


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One file of an upload, spooled: in memory while it is small, else on disk."""

    field: str
    """The name that errors give it."""
    file: IO[bytes]
    media_type: str


@dataclass(slots=True)
class Upload:
    """The files and times of an upload, in order."""

    parts: list[UploadedFile] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


@asynccontextmanager
async def read_upload(request: Request, settings: Settings) -> AsyncIterator[Upload]:
    """Read the upload; its files last as long as the block.

    Raises: RequestRefused: 415 for another content type, 413 for too many files, 422 for a wrong
        field.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    given = request.query_params.getlist(TIME)
    if media_type == "multipart/form-data":
        async with _parse_form(request, settings) as upload:
            upload.times[:0] = [_parse_time(text, place) for place, text in enumerate(given)]
            yield _check_counts(upload)
    elif media_type.startswith(("image/", "video/")):
        with tempfile.SpooledTemporaryFile(settings.max_image_bytes) as file:
            await _receive(request, file, media_type, settings)
            times = [_parse_time(text, place) for place, text in enumerate(given)]
            yield _check_counts(Upload([UploadedFile("body", file, media_type)], times))
    else:
        raise refuse_field(
            415, "Content-Type", "must be multipart/form-data, image/* or video/*", media_type
        )


async def _receive(
    request: Request,
    file: tempfile.SpooledTemporaryFile[bytes],
    media_type: str,
    settings: Settings,
) -> None:
    is_image = media_type.startswith("image/")
    limit = settings.max_image_bytes if is_image else settings.max_video_bytes
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise refuse_field(413, "body", f"is larger than {limit} bytes")
        await run_in_threadpool(file.write, chunk)


@asynccontextmanager
async def _parse_form(request: Request, settings: Settings) -> AsyncIterator[Upload]:
    most = settings.max_upload_frames
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=most + 1,
        max_fields=most + 1,
        max_part_size=MAX_FIELD_BYTES,
    )
    # Pictures stay in memory: thousands of files on disk would use up the process's descriptors.
    parser.spool_max_size = settings.max_image_bytes
    try:
        form = await parser.parse()
    except MultiPartException as error:
        status = 413 if error.message.startswith("Too many files") else 400
        raise RequestRefused(status, f"the multipart body can't be used: {error.message}") from None
    try:
        yield _collect_parts(form.multi_items(), most)
    finally:
        await form.close()


def _collect_parts(items: list[tuple[str, UploadFile | str]], most: int) -> Upload:
    upload = Upload()
    for name, value in items:
        if name == FILE and isinstance(value, UploadFile):
            place = len(upload.parts)
            media_type = (value.content_type or "").partition(";")[0].strip().lower()
            upload.parts.append(UploadedFile(f"{FILE}[{place}]", value.file, media_type))
        elif name == FILE:
            raise refuse_field(422, FILE, "must be a file, with a file name")
        elif name == TIME and isinstance(value, str):
            upload.times.append(_parse_time(value, len(upload.times)))
        else:
            raise refuse_field(422, name, f"is not known; there are {FILE} and {TIME}")
    if len(upload.parts) > most:
        raise refuse_field(413, FILE, f"has more than {most} pictures")
    if not upload.parts:
        raise refuse_field(422, FILE, "is missing: send at least one picture, or a video")
    return upload


def _parse_time(text: str, place: int) -> float:
    try:
        return parse_time(text)
    except ValueError as error:
        raise refuse_field(422, f"{TIME}[{place}]", str(error), text) from None


def _check_counts(upload: Upload) -> Upload:
    if upload.times and len(upload.times) != len(upload.parts):
        reason = f"is given {len(upload.times)} times for {len(upload.parts)} files"
        raise refuse_field(422, TIME, reason)
    return upload
