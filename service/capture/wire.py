"""What a camera's process and its parent tell each other: a job as JSON, which asks for the
process, and messages with a length before each part on a pipe.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from model.frames import Frame, FrameShape
from service.errors import SourceError

_HEADER = struct.Struct("<4sIII")
_MAGIC = b"NWC1"
MAX_PART_BYTES = 256 * 1024 * 1024
KEYFRAME_GAP_S = 5.0
MAX_JOB_BYTES = 128 * 1024
ANSWER = struct.Struct("<i")
"""What answers a job: the process id, with a file descriptor that stands for it; 0 where no
process could be made."""


class Fault(StrEnum):
    """Whose fault it is that a source can't be read."""

    NOT_VIDEO = "not_video"
    """Something answers, but it isn't video."""
    UNREACHABLE = "unreachable"
    """Nothing answers, or it refuses: it may be off now."""
    REFUSED = "refused"
    """It doesn't take our user name and password: to try again and again may lock the account."""


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
    """The same picture for so long means that the camera is frozen; 0 never looks."""

    def to_line(self) -> bytes:
        """The job as one line of JSON."""
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


@dataclass(frozen=True, slots=True)
class Connected:
    """The source is open."""

    fps: float | None
    """As the source declares it."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Alive:
    """Nothing to show, but all is well: sent when no frame was due for a while."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A recording was played to its end."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The source can't be read (any more)."""

    reason: str
    """One sentence without credentials."""
    fault: Fault


@dataclass(frozen=True, slots=True)
class Frozen:
    """Frames were withheld, for they are of a frozen camera."""

    frames: int
    """Since this was last told."""
    reason: str


Message = CapturedFrame | Connected | Alive | Ended | Failed | Frozen
_PLAIN = {kind.__name__: kind for kind in (Connected, Alive, Ended, Frozen)}


def encode(message: Message) -> list[bytes | memoryview]:
    """The message's parts, to be written one after the other."""
    if not isinstance(message, CapturedFrame):
        head = json.dumps({"kind": type(message).__name__, **asdict(message)}).encode()
        return [_HEADER.pack(_MAGIC, len(head), 0, 0), head]
    fields = {
        "kind": "CapturedFrame",
        "captured_at": message.captured_at,
        "sequence": message.sequence,
        "cut": message.cut,
        "shape": message.pixels.shape,
    }
    head, preview = json.dumps(fields).encode(), message.preview or b""
    sizes = _HEADER.pack(_MAGIC, len(head), message.pixels.nbytes, len(preview))
    return [sizes, head, message.pixels.data.cast("B"), preview]


def send(out: int, message: Message) -> None:
    """Write a message to a blocking file descriptor. Raises: BrokenPipeError: nobody reads."""
    parts = [memoryview(part) for part in encode(message) if len(part)]
    while parts:
        written = os.writev(out, parts)
        while parts and written >= len(parts[0]):
            written -= len(parts.pop(0))
        if parts:
            parts[0] = parts[0][written:]


class Decoder:
    """Bytes in, messages out: each message's bytes are read to where they stay."""

    def __init__(self) -> None:
        self._header = np.empty(_HEADER.size, np.uint8)
        self._sizes: tuple[int, int] | None = None
        """Bytes of the head and of the pixels, once the header is there."""
        self._into = self._header
        self._filled = 0

    def room(self) -> memoryview:
        """Where the next bytes go, at most so many."""
        return self._into[self._filled :].data

    def filled(self, count: int) -> Message | None:
        """So many bytes were put into `room`; the message that they complete.

        Raises: SourceError: they are no message.
        """
        self._filled += count
        if self._filled < self._into.size:
            return None
        whole, self._filled = self._into, 0
        if self._sizes is None:
            magic, head, pixels, preview = _HEADER.unpack(whole.data)
            if magic != _MAGIC or not head or max(head, pixels, preview) > MAX_PART_BYTES:
                raise SourceError("the capture process sent something that is no message")
            self._sizes = head, pixels
            self._into = np.empty(head + pixels + preview, np.uint8)
            return None
        head, pixels = self._sizes
        self._sizes, self._into = None, self._header
        return _decode(whole, head, pixels)


def _decode(whole: NDArray[np.uint8], head: int, pixels: int) -> Message:
    fields = json.loads(whole[:head].tobytes())
    kind = fields.pop("kind")
    if kind == "Failed":
        return Failed(fields["reason"], Fault(fields["fault"]))
    if kind != "CapturedFrame":
        plain: Message = _PLAIN[kind](**fields)
        return plain
    return CapturedFrame(
        captured_at=fields["captured_at"],
        sequence=fields["sequence"],
        pixels=whole[head : head + pixels].reshape(fields["shape"]),
        preview=whole[head + pixels :].tobytes() or None,
        cut=fields["cut"],
    )
