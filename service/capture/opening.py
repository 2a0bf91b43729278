"""Opens a video with ffmpeg, and says in plain words why it can't be opened."""

from __future__ import annotations

import time
from collections.abc import Iterator
from enum import StrEnum

import av
from av.container import InputContainer
from av.error import (
    ConnectionRefusedError as AvConnectionRefusedError,
)
from av.error import (
    DecoderNotFoundError,
    DemuxerNotFoundError,
    ExitError,
    FFmpegError,
    HTTPClientError,
    HTTPForbiddenError,
    HTTPNotFoundError,
    HTTPServerError,
    HTTPUnauthorizedError,
    InvalidDataError,
)
from av.error import FileNotFoundError as AvFileNotFoundError
from av.error import OSError as AvOSError
from av.error import TimeoutError as AvTimeoutError

from service.capture.locations import (
    FILE_FORMATS,
    Kind,
    for_ffmpeg,
    kind_of,
    protocols,
    scheme_of,
)
from service.errors import SourceError

PROBE_US = {"rtsp": 300_000, "rtsps": 300_000}
"""How long ffmpeg may look before a source is open; what it sees then comes in one burst."""
OTHER_PROBE_US = 2_000_000
BAD_PACKETS = 100
"""Packets in a row that can't be decoded before the source is given up."""


class Fault(StrEnum):
    """Whose fault it is that a source can't be read."""

    NOT_VIDEO = "not_video"
    """Something answers, but it isn't video."""
    UNREACHABLE = "unreachable"
    """Nothing answers, or it refuses: it may be off now."""


class OpenError(SourceError):
    """A source that can't be opened or read; the text is a sentence for people."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason


_REASONS: tuple[tuple[type[FFmpegError], Fault, str], ...] = (
    (HTTPUnauthorizedError, Fault.UNREACHABLE, "wrong user name or password (401)"),
    (HTTPForbiddenError, Fault.UNREACHABLE, "access is forbidden (403)"),
    (HTTPNotFoundError, Fault.UNREACHABLE, "nothing is at this path (404)"),
    (HTTPClientError, Fault.UNREACHABLE, "the server refuses the request"),
    (HTTPServerError, Fault.UNREACHABLE, "the server has an error of its own (5xx)"),
    (AvConnectionRefusedError, Fault.UNREACHABLE, "the connection is refused"),
    (AvTimeoutError, Fault.UNREACHABLE, "no answer in time"),
    (ExitError, Fault.UNREACHABLE, "no answer in time"),
    (DecoderNotFoundError, Fault.NOT_VIDEO, "the video's format is unknown"),
    (DemuxerNotFoundError, Fault.NOT_VIDEO, "the content is no video"),
    (InvalidDataError, Fault.NOT_VIDEO, "the content is no video"),
    (AvFileNotFoundError, Fault.UNREACHABLE, "there is no such file"),
    (AvOSError, Fault.UNREACHABLE, "it can't be reached"),
)


def explain(error: FFmpegError) -> OpenError:
    """The error in plain words. ffmpeg's own text isn't used: it may hold the URL."""
    for kind, fault, reason in _REASONS:
        if isinstance(error, kind):
            detail = f": {error.strerror}" if kind is AvOSError and error.strerror else ""
            return OpenError(fault, reason + detail)
    return OpenError(Fault.UNREACHABLE, f"it can't be read: {error.strerror or 'unknown error'}")


def open_video(
    location: str, *, connect_timeout_s: float, read_timeout_s: float, transport: str = "tcp"
) -> InputContainer:
    """Open a URL or file that holds video. Raises: OpenError."""
    allowed = protocols(location)
    if allowed is None:
        raise OpenError(Fault.NOT_VIDEO, f"the scheme {scheme_of(location)} is not supported")
    options = {"protocol_whitelist": allowed, "fpsprobesize": "0"}
    if kind_of(location) is Kind.NETWORK:
        scheme = scheme_of(location)
        options["analyzeduration"] = str(PROBE_US.get(scheme, OTHER_PROBE_US))
        if scheme in PROBE_US:
            options["rtsp_transport"] = transport
    else:
        options["format_whitelist"] = FILE_FORMATS
    began = time.monotonic()
    try:
        container = av.open(
            for_ffmpeg(location),
            mode="r",
            options=options,
            timeout=(connect_timeout_s, read_timeout_s),
        )
    except FFmpegError as error:
        # ffmpeg's RTSP client says "invalid data" of an answer that never came or broke off.
        if time.monotonic() - began >= 0.95 * connect_timeout_s:
            raise OpenError(Fault.UNREACHABLE, "no answer in time") from None
        if isinstance(error, InvalidDataError) and scheme_of(location) in PROBE_US:
            raise OpenError(Fault.UNREACHABLE, "the answer is not RTSP") from None
        raise explain(error) from None
    if not container.streams.video:
        container.close()
        raise OpenError(Fault.NOT_VIDEO, "it holds no video")
    return container


def decoded(container: InputContainer) -> Iterator[av.VideoFrame]:
    """The frames of the first video stream, over damaged packets. Raises: OpenError."""
    stream = container.streams.video[0]
    bad = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            # What the decoder holds back still comes out; then the error counts.
            yield from _flushed(stream)
            raise explain(error) from None
        if packet is None:
            return
        try:
            yield from packet.decode()
            bad = 0
        except InvalidDataError:
            bad += 1
            if bad >= BAD_PACKETS:
                raise OpenError(Fault.NOT_VIDEO, "the video can't be decoded") from None
        except FFmpegError as error:
            raise explain(error) from None


def _flushed(stream: av.VideoStream) -> list[av.VideoFrame]:
    try:
        return stream.decode(None)
    except FFmpegError:
        return []
