"""Turns uploaded videos into pictures: `service.api.video_decoder` decodes in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import structlog

from service.api.error_answers import refuse_field
from service.api.video_decoder import END, HEADER, NOT_VIDEO, DecodeJob
from service.bus.uploads import Picture
from service.settings import Settings

log = structlog.get_logger(__name__)

LONGER_SIDE = 1024
TIMEOUT_S = 600.0
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")
"""The variables that the process gets: API keys and passwords aren't its business."""


@dataclass(frozen=True, slots=True)
class DecodedVideo:
    """A video's frames as JPEG pictures; the first, and those after a gap, are cuts."""

    pictures: list[Picture]
    lost: int = 0
    """Frames that can't be decoded."""
    lost_reason: str = ""


class DecoderStop:
    """Ends a decoder from another thread, even one that hasn't started yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def attach(self, process: subprocess.Popen[bytes]) -> None:
        """Note the process that `stop` ends."""
        with self._lock:
            self._process = process
            if self._is_stopped:
                process.kill()

    def stop(self) -> None:
        """End the decoder now, or as soon as it starts."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()


def decode_video(
    field: str,
    video: IO[bytes],
    *,
    starts_at: float,
    fps: float | None,
    settings: Settings,
    decoder: DecoderStop,
) -> DecodedVideo:
    """Decode a video.

    Args:
        field: the name that errors give it.
        video: a real file.
        fps: at most this many frames a second; None takes all.
        decoder: ends the decoding when the client has left.
    Raises: RequestRefused: 422 when it is no video, 413 when it has more frames than a stream's
        queue holds.
    """
    job = DecodeJob(fps=fps, longer_side=LONGER_SIDE, max_pixels=settings.max_image_pixels)
    pictures: list[Picture] = []
    losses: dict[str, Any] | None = None
    total = 0
    with tempfile.TemporaryFile() as errors, _run_decoder(job, video, errors) as process:
        decoder.attach(process)
        if process.stdout is None:
            raise RuntimeError("the decoder has no standard output")
        for time_s, continues, content in _read_messages(process.stdout):
            if time_s == END:
                losses = json.loads(content)
                break
            total += len(content)
            if len(pictures) >= settings.max_upload_frames:
                raise refuse_field(413, field, f"has more than {settings.max_upload_frames} frames")
            if total > settings.max_upload_bytes:
                reason = f"has more than {settings.max_upload_bytes} bytes of frames"
                raise refuse_field(413, field, reason)
            pictures.append(Picture(starts_at + time_s, content, cut=not continues))
        status = process.wait()
        errors.seek(0)
        text = errors.read(2000).decode(errors="replace").strip()
    if status == NOT_VIDEO:
        raise refuse_field(422, field, f"is not a video that can be decoded: {text}")
    if status != 0 or losses is None:
        log.warning("a video decoder ended badly", status=status, error=text)
        raise refuse_field(422, field, "is not a video that can be decoded")
    return DecodedVideo(pictures, losses["frames"], losses["reason"])


@contextmanager
def _run_decoder(
    job: DecodeJob, video: IO[bytes], errors: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
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


def _read_messages(stream: IO[bytes]) -> Iterator[tuple[float, bool, bytes]]:
    while len(header := stream.read(HEADER.size)) == HEADER.size:
        time_s, continues, length = HEADER.unpack(header)
        content = stream.read(length)
        if len(content) == length:
            yield time_s, continues, content
