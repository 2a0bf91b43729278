"""Uploaded videos, as pictures: decoded by `service.api.video_decoder` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import structlog

from service.api.errors import field_refused
from service.api.video_decoder import HEADER, NOT_VIDEO, Job
from service.bus.uploads import Picture
from service.settings import Settings

log = structlog.get_logger(__name__)

LONGER_SIDE = 1024
TIMEOUT_S = 600.0
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")
"""All that the process is told of ours: API keys and passwords aren't its business."""


def decode(
    field: str, video: IO[bytes], *, starts_at: float, fps: float | None, settings: Settings
) -> list[Picture]:
    """The video's frames as JPEG pictures, the first marked as a cut.

    Args:
        field: how errors name it.
        video: a real file.
        fps: at most this many frames a second; None takes all.
    Raises: Refused: 422 when it is no video, 413 when it has more than a stream's queue holds.
    """
    job = Job(fps=fps, longer_side=LONGER_SIDE, max_pixels=settings.max_image_pixels)
    pictures: list[Picture] = []
    total = 0
    with tempfile.TemporaryFile() as errors, _decoder(job, video, errors) as process:
        if process.stdout is None:
            raise RuntimeError("the decoder has no standard output")
        for moment, jpeg in _read(process.stdout):
            total += len(jpeg)
            if len(pictures) >= settings.max_upload_frames:
                raise field_refused(
                    413, field, f"has more than {settings.max_upload_frames} frames"
                )
            if total > settings.max_upload_bytes:
                reason = f"has more than {settings.max_upload_bytes} bytes of frames"
                raise field_refused(413, field, reason)
            pictures.append(Picture(starts_at + moment, jpeg, cut=not pictures))
        status = process.wait()
        errors.seek(0)
        text = errors.read(2000).decode(errors="replace").strip()
    if status == NOT_VIDEO:
        raise field_refused(422, field, f"is not a video that can be decoded: {text}")
    if status != 0 or not pictures:
        log.warning("a video decoder ended badly", status=status, error=text)
        raise field_refused(422, field, "is not a video that can be decoded")
    return pictures


@contextmanager
def _decoder(job: Job, video: IO[bytes], errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "service.api.video_decoder", job.to_json()],
        stdin=video,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment | {"OPENBLAS_NUM_THREADS": "1"},
    )
    timer = threading.Timer(TIMEOUT_S, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        process.kill()
        if process.stdout is not None:
            process.stdout.close()
        process.wait()


def _read(stream: IO[bytes]) -> Iterator[tuple[float, bytes]]:
    while len(header := stream.read(HEADER.size)) == HEADER.size:
        moment, length = HEADER.unpack(header)
        jpeg = stream.read(length)
        if len(jpeg) == length:
            yield moment, jpeg
