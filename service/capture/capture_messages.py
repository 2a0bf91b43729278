"""What a camera's process and its parent tell each other: a job as JSON, which asks for the
process, and messages with a length before each part on a pipe.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.footage.footage_error import SourceFault
from model.frames import Frame, FrameShape
from model.scene.features import SIDE, Features
from service.errors import SourceError

_HEADER = struct.Struct("<4sIII")
"""What follows (one of the two below), and the bytes of the head, of the pixels, of the preview."""
_FRAME = b"NWF1"
"""A frame: its head is `_FRAME_HEAD` and the small copy of the picture."""
_REST = b"NWC1"
"""Another message: its head is JSON."""
_FRAME_HEAD = struct.Struct("<dQ?3xHHB3x")
"""Capture time, sequence, cut, height, width, channels."""
MAX_PART_BYTES = 256 * 1024 * 1024
KEYFRAME_GAP_S = 5.0
MAX_JOB_BYTES = 128 * 1024
ANSWER = struct.Struct("<i")
"""What answers a job: the process id, with a file descriptor that stands for it; 0 where no
process could be made."""


@dataclass(frozen=True, slots=True)
class CaptureJob:
    """What to capture, and how."""

    location: str
    """A URL with its credentials, or an absolute path."""
    shape: FrameShape
    fps: float | None = None
    """At most this many frames a second; a folder of images is played at it. None takes all."""
    loop: bool = False
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 10.0
    preview_width: int = 640
    preview_every_s: float = 1.0
    close_preview_every_s: float = 1.0
    """While the worker wants to look closely."""
    transport: str = "tcp"
    """RTSP's lower transport: `tcp` or `udp`."""
    decode: str = "all"
    """`all`, or `keyframes` only: decoding costs a tenth, and the rate is the key frames'."""
    freeze_after_s: float = 30.0
    """The same picture for so long means that the camera is frozen; 0 turns this off."""

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> CaptureJob:
        """Read the line back. Raises: ValueError, TypeError: it is no job."""
        job = CaptureJob(**json.loads(line))
        return replace(job, shape=FrameShape(**json.loads(line)["shape"]))


def usual_gap_s(job: CaptureJob) -> float:
    """Seconds between pictures, as long as they aren't known."""
    if job.decode == "keyframes":
        return KEYFRAME_GAP_S
    return 1.0 / job.fps if job.fps else 0.5


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One frame, fitted to the network."""

    captured_at: float
    """Seconds since 1970."""
    sequence: int
    """Rises with each captured frame, from 0."""
    pixels: Frame
    preview: bytes | None = None
    """JPEG of the whole picture, now and then."""
    cut: bool = False
    """It doesn't follow the frame before it."""
    features: Features | None = None
    """None: the receiver extracts them."""


@dataclass(frozen=True, slots=True)
class Alive:
    """The source is open, and no frame was due for a while."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A recording was played to its end."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The source can't be read (any more)."""

    reason: str
    """One sentence without credentials."""
    fault: SourceFault


@dataclass(frozen=True, slots=True)
class Frozen:
    """Frames were withheld, for they are of a frozen camera."""

    frames: int
    """Since the last such message."""
    reason: str


@dataclass(frozen=True, slots=True)
class LostFrames:
    """Frames of the source couldn't be decoded."""

    frames: int
    """Since the last such message."""


Message = CapturedFrame | Alive | Ended | Failed | Frozen | LostFrames
_PLAIN = {kind.__name__: kind for kind in (Alive, Ended, Frozen, LostFrames)}


def encode(message: Message) -> list[bytes | memoryview]:
    """The message's parts, to be written one after the other."""
    if not isinstance(message, CapturedFrame):
        head = json.dumps({"kind": type(message).__name__, **asdict(message)}).encode()
        return [_HEADER.pack(_REST, len(head), 0, 0), head]
    pixels, preview = message.pixels, message.preview or b""
    height, width, channels = (*pixels.shape, 1)[:3]
    head = _FRAME_HEAD.pack(
        message.captured_at, message.sequence, message.cut, height, width, channels
    )
    thumb = b"" if message.features is None else message.features.thumb.data.cast("B")
    sizes = _HEADER.pack(_FRAME, len(head) + len(thumb), pixels.nbytes, len(preview))
    return [sizes, head, thumb, pixels.data.cast("B"), preview]


def send(out: int, message: Message) -> None:
    """Write a message to a blocking file descriptor. Raises: BrokenPipeError: nobody reads."""
    parts = [memoryview(part) for part in encode(message) if len(part)]
    while parts:
        written = os.writev(out, parts)
        while parts and written >= len(parts[0]):
            written -= len(parts.pop(0))
        if parts:
            parts[0] = parts[0][written:]


class MessageDecoder:
    """Bytes in, messages out: each message's bytes are read to where they stay."""

    def __init__(self) -> None:
        self._header = np.empty(_HEADER.size, np.uint8)
        self._sizes: tuple[bytes, int, int] | None = None
        """What comes, with the bytes of its head and of its pixels, once the header is there."""
        self._into = self._header
        self._filled = 0

    def room(self) -> memoryview:
        """Return the memory for the next bytes, at most so many."""
        return self._into[self._filled :].data

    def accept(self, count: int) -> Message | None:
        """So many bytes were put into `room`; the message that they complete.

        Raises: SourceError: they are no message.
        """
        self._filled += count
        if self._filled < self._into.size:
            return None
        whole, self._filled = self._into, 0
        if self._sizes is None:
            magic, head, pixels, preview = _HEADER.unpack(whole.data)
            known = magic in (_FRAME, _REST)
            if not known or not head or max(head, pixels, preview) > MAX_PART_BYTES:
                raise SourceError("the capture process sent something that is no message")
            self._sizes = magic, head, pixels
            self._into = np.empty(head + pixels + preview, np.uint8)
            return None
        (magic, head, pixels), self._sizes = self._sizes, None
        self._into = self._header
        if magic == _FRAME:
            return _decode_frame(whole, head, pixels)
        return _decode_rest(whole)


def _decode_frame(whole: NDArray[np.uint8], head: int, pixels: int) -> CapturedFrame:
    captured_at, sequence, cut, height, width, channels = _FRAME_HEAD.unpack_from(whole.data)
    depth = () if channels == 1 else (channels,)
    features = None
    if head > _FRAME_HEAD.size:
        thumb = whole[_FRAME_HEAD.size : head].reshape(SIDE, SIDE, *depth)
        features = Features(thumb, captured_at)
    return CapturedFrame(
        captured_at,
        sequence,
        whole[head : head + pixels].reshape(height, width, *depth),
        whole[head + pixels :].tobytes() or None,
        cut,
        features,
    )


def _decode_rest(whole: NDArray[np.uint8]) -> Message:
    fields = json.loads(whole.tobytes())
    kind = fields.pop("kind")
    if kind == "Failed":
        return Failed(fields["reason"], SourceFault(fields["fault"]))
    plain: Message = _PLAIN[kind](**fields)
    return plain
