"""Opens a video with ffmpeg, and says in plain words why it can't be opened."""

from __future__ import annotations

import time
from pathlib import Path

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
    DEVICE_FORMAT,
    FILE_FORMATS,
    Kind,
    for_ffmpeg,
    kind_of,
    protocols,
    scheme_of,
)
from service.capture.wire import Fault
from service.errors import SourceError

_RTSP = ("rtsp", "rtsps")
PROBE_US = {"rtsp": 300_000, "rtsps": 300_000, "rtmp": 500_000}
"""How long ffmpeg may look before a source is open; what it sees then comes in one burst."""
OTHER_PROBE_US = 2_000_000


class OpenError(SourceError):
    """A source that can't be opened or read; the text is a sentence for people."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason


_REASONS: tuple[tuple[type[FFmpegError], Fault, str], ...] = (
    (HTTPUnauthorizedError, Fault.REFUSED, "wrong user name or password (401)"),
    (HTTPForbiddenError, Fault.REFUSED, "access is forbidden (403)"),
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


def options_for(location: str, transport: str, fps: float | None) -> dict[str, str]:
    """What ffmpeg is told of a source."""
    kind = kind_of(location)
    if kind is Kind.DEVICE:
        # A device gives the rate next to the one that is asked for, or refuses none.
        return {} if fps is None else {"framerate": f"{fps:g}"}
    options = {"protocol_whitelist": protocols(location) or "", "fpsprobesize": "0"}
    if kind is not Kind.NETWORK:
        return options | {"format_whitelist": FILE_FORMATS}
    scheme = scheme_of(location)
    options["analyzeduration"] = str(PROBE_US.get(scheme, OTHER_PROBE_US))
    if scheme in _RTSP:
        options["rtsp_transport"] = transport
    if scheme in ("http", "https"):
        # A live playlist's last segment but one: further back, the server may drop what we need.
        options["live_start_index"] = "-2"
    return options


def open_video(
    location: str,
    *,
    connect_timeout_s: float,
    read_timeout_s: float,
    transport: str = "tcp",
    fps: float | None = None,
) -> InputContainer:
    """Open a URL, file or device that holds video. Raises: OpenError.

    Args:
        fps: what a device is asked for; other sources come at their own rate.
    """
    if protocols(location) is None:
        raise OpenError(Fault.NOT_VIDEO, f"the scheme {scheme_of(location)} is not supported")
    kind = kind_of(location)
    if kind is Kind.DEVICE and not Path(location).exists():
        raise OpenError(Fault.UNREACHABLE, "there is no such device")
    began = time.monotonic()
    try:
        container = av.open(
            for_ffmpeg(location),
            mode="r",
            format=DEVICE_FORMAT if kind is Kind.DEVICE else None,
            options=options_for(location, transport, fps),
            timeout=(connect_timeout_s, read_timeout_s),
        )
    except FFmpegError as error:
        # ffmpeg's RTSP client says "invalid data" of an answer that never came or broke off.
        if time.monotonic() - began >= 0.95 * connect_timeout_s:
            raise OpenError(Fault.UNREACHABLE, "no answer in time") from None
        if isinstance(error, InvalidDataError) and scheme_of(location) in _RTSP:
            raise OpenError(Fault.UNREACHABLE, "the answer is not RTSP") from None
        raise explain(error) from None
    if not container.streams.video:
        container.close()
        raise OpenError(Fault.NOT_VIDEO, "it holds no video")
    return container
