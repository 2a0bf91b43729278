"""Decodes an untrusted video on standard input, in a process of its own: a crash of a decoder, or a
video that eats memory or time, ends this process and nothing else.

Writes to standard output, for each frame, its time in seconds from the first (float64), the length
of a JPEG (uint32), and the JPEG. Ends with status 3, and a line on
standard error, when it is no video.
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
from av.error import FFmpegError
from numpy.typing import NDArray

NOT_VIDEO = 3
HEADER = struct.Struct(">dI")
JPEG_QUALITY = 95
MEMORY_BYTES = 4 * 1024**3
CPU_S = 600
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,h264,hevc,mjpeg,m4v,"
    "mpegvideo,gif,mxf"
)
"""No playlists: they would make the decoder open other files and hosts."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to make of the video."""

    fps: float | None
    """At most this many frames a second; None takes all."""
    longer_side: int
    """Larger pictures are scaled down to it."""
    max_pixels: int

    def to_json(self) -> str:
        """The process's argument."""
        return json.dumps(asdict(self))


class NotVideoError(ValueError):
    """There is no video in it, or one that is too large."""


def frames(file: BinaryIO, job: Job) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """The frames with their times from the first, scaled. Raises: NotVideoError."""
    options = {"protocol_whitelist": "pipe", "format_whitelist": FORMATS}
    found = False
    try:
        with av.open(file, "r", options=options) as container:
            if not container.streams.video:
                raise NotVideoError("it holds no video")
            stream = container.streams.video[0]
            if stream.width * stream.height > job.max_pixels:
                raise NotVideoError(f"its frames are larger than {job.max_pixels} pixels")
            stream.codec_context.thread_count = 2
            for moment, frame in _sampled(container, stream, job.fps):
                found = True
                yield moment, _scaled(frame, job)
    except FFmpegError as error:
        raise NotVideoError(error.strerror or "it can't be decoded") from None
    if not found:
        raise NotVideoError("no frame of it can be decoded")


def _sampled(
    container: av.container.InputContainer, stream: av.VideoStream, fps: float | None
) -> Iterator[tuple[float, av.VideoFrame]]:
    first: float | None = None
    due = 0.0
    period = 1.0 / float(stream.average_rate or 25)
    moment = -period
    for frame in _decoded(container, stream):
        if frame.time is None:
            moment += period
        else:
            first = frame.time if first is None else first
            # Some files' times step back; time does not.
            moment = max(frame.time - first, moment)
        moment = max(moment, 0.0)
        if fps is not None:
            if moment < due - 1e-6:
                continue
            due = max(due, moment - 1.0 / fps) + 1.0 / fps
        yield moment, frame


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame]:
    for packet in container.demux(stream):
        try:
            decoded = list(packet.decode())
        except av.error.InvalidDataError:
            continue  # one damaged packet; most cameras' files have some
        for frame in decoded:
            if isinstance(frame, av.VideoFrame):
                yield frame


def _scaled(frame: av.VideoFrame, job: Job) -> NDArray[np.uint8]:
    if frame.width * frame.height > job.max_pixels:
        raise NotVideoError(f"its frames are larger than {job.max_pixels} pixels")
    picture = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    scale = job.longer_side / max(picture.shape[:2])
    if scale < 1.0:
        height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
        resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        picture = np.asarray(resized, np.uint8)
    return picture


def _message(moment: float, picture: NDArray[np.uint8]) -> bytes:
    done, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise NotVideoError("a frame of it can't be encoded")
    return HEADER.pack(moment, len(jpeg)) + jpeg.tobytes()


def _main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(av.logging.PANIC)
    cv2.setNumThreads(1)
    job = Job(**json.loads(sys.argv[1]))
    out = sys.stdout.buffer
    try:
        with open(0, "rb", closefd=False) as video:
            video.seek(0)  # the parent may have read from it
            for moment, picture in frames(video, job):
                out.write(_message(moment, picture))
        out.flush()
    except NotVideoError as error:
        print(error, file=sys.stderr)
        return NOT_VIDEO
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
