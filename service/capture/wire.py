"""What a camera's process and its parent tell each other: a job as JSON on standard input, messages
with a length before each part on standard output.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from model.frames import Frame, FrameShape
from service.errors import SourceError

_HEADER = struct.Struct("<4sIII")
_MAGIC = b"NWC1"
MAX_PART_BYTES = 256 * 1024 * 1024


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
    transport: str = "tcp"
    """RTSP's lower transport: `tcp` or `udp`."""

    def to_line(self) -> bytes:
        """The job as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> CaptureJob:
        """Read the line back. Raises: ValueError, TypeError: it is no job."""
        job = CaptureJob(**json.loads(line))
        return replace(job, shape=FrameShape(**json.loads(line)["shape"]))


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
    permanent: bool
    """It won't get better by trying again soon."""


Message = CapturedFrame | Connected | Alive | Ended | Failed
_PLAIN = {kind.__name__: kind for kind in (Connected, Alive, Ended, Failed)}


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


class Decoder:
    """Bytes in, whole messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete. Raises: SourceError: they are no messages."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            magic, head, pixels, preview = _HEADER.unpack_from(self._buffer)
            if magic != _MAGIC or max(head, pixels, preview) > MAX_PART_BYTES:
                raise SourceError("the capture process sent something that is no message")
            total = _HEADER.size + head + pixels + preview
            if len(self._buffer) < total:
                return
            whole = bytes(self._buffer[:total])
            del self._buffer[:total]
            yield _decode(whole, head, pixels)


def _decode(whole: bytes, head: int, pixels: int) -> Message:
    start = _HEADER.size + head
    fields = json.loads(whole[_HEADER.size : start])
    kind = fields.pop("kind")
    if kind != "CapturedFrame":
        plain: Message = _PLAIN[kind](**fields)
        return plain
    array = np.frombuffer(whole, np.uint8, count=pixels, offset=start)
    return CapturedFrame(
        captured_at=fields["captured_at"],
        sequence=fields["sequence"],
        pixels=array.reshape(fields["shape"]),
        preview=whole[start + pixels :] or None,
        cut=fields["cut"],
    )
