"""Decodes an untrusted video on standard input, in a process of its own.

A crash of a decoder, or a video that eats memory or time, ends this process and nothing else.

Writes messages to standard output, each a `HEADER` and its content: a JPEG for each frame, and at
the end what was lost, as JSON. Ends with status 3, and a line on standard error, when it is no
video.
"""

from __future__ import annotations

import json
import resource
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import BinaryIO

import av
import cv2
import numpy as np

from model.footage.footage_error import FootageError
from model.footage.footage_reader import FootageReader, Losses, TimedPicture
from model.footage.footage_search import Source
from model.footage.video_source import OpenOptions
from model.frames import Picture

NOT_VIDEO = 3
HEADER = struct.Struct(">d?I")
"""A time, whether the frame continues the one before, and the length of what follows."""
END = -1.0
"""The time of the last message, whose content says how many frames were lost, and why."""
JPEG_QUALITY = 95
MEMORY_BYTES = 4 * 1024**3
CPU_S = 600


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """How to decode the video."""

    fps: float | None
    """At most this many frames a second; None takes all."""
    longer_side: int
    """Larger pictures are scaled down to it."""
    max_pixels: int
    """Larger ones are refused."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def decode_messages(file: BinaryIO, job: DecodeJob) -> Iterator[bytes]:
    """Yield each frame, scaled, then the losses.

    Raises: FootageError: it is no video, or too large.
    """
    options = OpenOptions(max_pixels=job.max_pixels)
    reading = FootageReader(Source("video", file), fps=job.fps, options=options)
    for each in reading:
        yield _make_message(each, _scale(each.picture.bgr(), job.longer_side))
    yield _make_end(reading.losses)


def _scale(picture: Picture, longer_side: int) -> Picture:
    height, width = picture.shape[:2]
    scale = longer_side / max(height, width)
    if scale >= 1.0:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _make_message(timed: TimedPicture, picture: Picture) -> bytes:
    done, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise FootageError("a frame of it can't be encoded")
    return HEADER.pack(timed.time_s, timed.continues, len(jpeg)) + jpeg.tobytes()


def _make_end(losses: Losses) -> bytes:
    text = json.dumps({"frames": losses.frames, "reason": str(losses)}).encode()
    return HEADER.pack(END, False, len(text)) + text


def _main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(av.logging.PANIC)
    cv2.setNumThreads(1)
    job = DecodeJob(**json.loads(sys.argv[1]))
    out = sys.stdout.buffer
    try:
        with open(0, "rb", closefd=False) as video:
            video.seek(0)  # the parent may have read from it
            for message in decode_messages(video, job):
                out.write(message)
        out.flush()
    except FootageError as error:
        print(error.reason, file=sys.stderr)
        return NOT_VIDEO
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
