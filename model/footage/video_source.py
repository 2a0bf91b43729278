"""Opens a video with FFmpeg, chooses its video track, and explains errors in plain words."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import av
import av.error as av_error
from av.container import InputContainer
from av.stream import Disposition

from model.footage.footage_error import FootageError, SourceFault
from model.footage.locations import Location, LocationKind
from model.footage.picture_sizes import MAX_PIXELS
from model.footage.redirects import MAX_REDIRECTS, find_redirect
from model.footage.source_addresses import Network, find_address_problem

FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,h264,hevc,m4v,"
    "mjpeg,mxf,gif,ivf,obu,dhav,dv,nut,wtv,rm,vc1,yuv4mpegpipe,apng,wav,mp3,flac,aac"
)
"""The formats of files: none that names other files. Sound is listed so that it can be refused."""

DEVICE_FORMAT = "video4linux2"
STILL_FORMATS = ("image2", "_pipe")
"""The names of FFmpeg's formats for a single picture end like this."""
UNTIMED_FORMATS = frozenset({"mpjpeg", "mjpeg", "mjpeg_2000", "h264", "hevc", "m4v", "mpegvideo"})
"""Formats without times: FFmpeg numbers their pictures at a rate that it invents."""
PROBE_US = {"rtsp": 300_000, "rtsps": 300_000, "rtmp": 500_000}
"""FFmpeg may examine a source this long before it is open; what arrives meanwhile is one burst."""
OTHER_PROBE_US = 2_000_000
MARGIN_PIXELS = 1 << 20
DEMUX_RETRIES = 20
"""A file is read past at most this many damaged places in a row."""


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """The options with which a source is opened."""

    connect_timeout_s: float = 15.0
    read_timeout_s: float = 15.0
    transport: str = "tcp"
    """RTSP's lower transport: `tcp` or `udp`."""
    device_fps: float | None = None
    """The frame rate requested from a device; other sources have their own."""
    max_pixels: int = MAX_PIXELS
    """Larger pictures are refused before memory is allocated for them."""
    networks: tuple[Network, ...] = ()
    """Networks that a source must be in; empty: all but link-local ones."""


class Video:
    """An open source and its chosen video stream. A context manager; for one thread."""

    def __init__(
        self, container: InputContainer, stream: av.VideoStream, location: Location | None
    ) -> None:
        """Args: location: the source's location; None for an open file."""
        self._container = container
        self._stream = stream
        self._location = location
        self.format = frozenset(container.format.name.split(","))
        """FFmpeg's names of the container's format."""
        self.has_clock = not (UNTIMED_FORMATS & self.format or self.is_still)
        """Whether the pictures' times are the source's, not invented by FFmpeg."""

    @property
    def is_live(self) -> bool:
        """Returns whether it sends at its own pace, without end. A recording can be read faster."""
        location = self._location
        if location is None or not location.is_live:
            return False
        # A playlist's size isn't that of what it lists.
        has_end = bool(self._container.duration) or (
            self._container.size > 0 and "hls" not in self.format
        )
        return self.is_still or not (location.is_http and has_end)

    @property
    def codec(self) -> av.VideoCodecContext:
        """The stream's decoder."""
        return self._stream.codec_context

    @property
    def is_still(self) -> bool:
        """Returns whether it is one picture, such as a camera's snapshot."""
        return any(name.endswith(STILL_FORMATS) for name in self.format)

    @property
    def fps(self) -> float | None:
        """The frame rate that the source declares; None if it declares none."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate else None

    @property
    def declared_frames(self) -> int:
        """The number of frames in the container's index; 0 without an index."""
        return self._stream.frames

    def packets(self) -> Iterator[av.Packet[av.VideoStream]]:
        """Yield the track's packets, an empty one last. Damaged places of a recording are skipped.

        Raises: FootageError: it can't be read on.
        """
        failures = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
                return
            except av_error.InvalidDataError as error:
                failures += 1
                if self.is_live or failures > DEMUX_RETRIES:
                    raise to_footage_error(error) from None
            except av_error.FFmpegError as error:
                raise to_footage_error(error) from None

    def close(self) -> None:
        """Close the source."""
        with suppress(av_error.FFmpegError):
            self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_REASONS: tuple[tuple[type[av_error.FFmpegError], SourceFault, str], ...] = (
    (av_error.HTTPUnauthorizedError, SourceFault.REFUSED, "wrong user name or password (401)"),
    (av_error.HTTPForbiddenError, SourceFault.REFUSED, "access is forbidden (403)"),
    (av_error.HTTPNotFoundError, SourceFault.UNREACHABLE, "nothing is at this path (404)"),
    (av_error.HTTPClientError, SourceFault.UNREACHABLE, "the server refuses the request"),
    (av_error.HTTPServerError, SourceFault.UNREACHABLE, "the server has an error of its own (5xx)"),
    (av_error.ConnectionRefusedError, SourceFault.UNREACHABLE, "the connection is refused"),
    (av_error.TimeoutError, SourceFault.UNREACHABLE, "no answer in time"),
    (av_error.ExitError, SourceFault.UNREACHABLE, "no answer in time"),
    (av_error.DecoderNotFoundError, SourceFault.NOT_VIDEO, "the video's format is unknown"),
    (av_error.DemuxerNotFoundError, SourceFault.NOT_VIDEO, "the content is no video"),
    (av_error.InvalidDataError, SourceFault.NOT_VIDEO, "the content is no video"),
    (av_error.FileNotFoundError, SourceFault.UNREACHABLE, "there is no such file"),
    (av_error.OSError, SourceFault.UNREACHABLE, "it can't be reached"),
)


def to_footage_error(error: av_error.FFmpegError) -> FootageError:
    """Convert an error to plain words. FFmpeg's own text isn't used: it may hold the URL."""
    for kind, fault, reason in _REASONS:
        if isinstance(error, kind):
            detail = f": {error.strerror}" if kind is av_error.OSError and error.strerror else ""
            return FootageError(reason + detail, fault)
    return FootageError(
        f"it can't be read: {error.strerror or 'unknown error'}", SourceFault.UNREACHABLE
    )


def make_ffmpeg_options(location: Location, options: OpenOptions) -> dict[str, str]:
    """Make FFmpeg's options for a source."""
    if location.kind is LocationKind.DEVICE:
        # A device gives the rate next to the one that is asked for, or refuses none.
        return {} if options.device_fps is None else {"framerate": f"{options.device_fps:g}"}
    chosen = {"protocol_whitelist": location.protocols or ""}
    if location.kind is not LocationKind.NETWORK:
        return chosen | {"format_whitelist": FILE_FORMATS}
    chosen["analyzeduration"] = str(PROBE_US.get(location.scheme, OTHER_PROBE_US))
    chosen["fpsprobesize"] = "0"  # the frame rate isn't worth waiting for
    if location.is_rtsp:
        chosen["rtsp_transport"] = options.transport
    if location.is_http:
        # Each redirect is followed by `_open_network`, which checks where it leads.
        chosen["max_redirects"] = "0"
        # A live playlist's last segment but one: further back, the server may drop what we need.
        chosen["live_start_index"] = "-2"
    return chosen


def open_video(source: Location | BinaryIO, options: OpenOptions | None = None) -> Video:
    """Open a URL, a device, a file, or an open file (then nothing else can be reached from it).

    Raises: FootageError: it can't be opened, or holds no video.
    """
    options = options or OpenOptions()
    if isinstance(source, Location):
        container = _open_location(source, options)
    else:
        container = _open_file(source)
    stream = choose_track(container.streams.video)
    if stream is None:
        container.close()
        raise FootageError("it holds no video")
    codec = stream.codec_context
    # More threads hold frames back, and make other pixels of damaged frames.
    codec.thread_count = 1
    if codec.width * codec.height > options.max_pixels:
        container.close()
        raise FootageError(f"its pictures have more than {options.max_pixels} pixels")
    # FFmpeg also counts the margins that it decodes into.
    allowed = min(2 * options.max_pixels + MARGIN_PIXELS, 2**31 - 1)
    codec.options = {"max_pixels": str(allowed)}
    return Video(container, stream, source if isinstance(source, Location) else None)


def choose_track(streams: tuple[av.VideoStream, ...]) -> av.VideoStream | None:
    """Choose the video track: never an attached picture; default tracks first, then the largest."""
    films = [each for each in streams if not each.disposition & _PICTURES]
    return max(films, key=_rank, default=None)


_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def _rank(stream: av.VideoStream) -> tuple[bool, int]:
    size = stream.codec_context
    return bool(stream.disposition & Disposition.default), size.width * size.height


def _open_file(file: BinaryIO) -> InputContainer:
    try:
        return av.open(
            file, "r", options={"protocol_whitelist": "pipe", "format_whitelist": FILE_FORMATS}
        )
    except av_error.FFmpegError as error:
        raise to_footage_error(error) from None


def _open_location(location: Location, options: OpenOptions) -> InputContainer:
    for _ in range(MAX_REDIRECTS):
        problem = find_address_problem(location, options.networks, looks_up=True)
        if problem is not None:
            raise FootageError(problem, SourceFault.REFUSED)
        try:
            return _open_here(location, options)
        except _Redirected:
            target = find_redirect(location, options.connect_timeout_s)
        if target is None:
            raise FootageError("it can't be reached", SourceFault.UNREACHABLE)
        if not target.is_http:
            raise FootageError("it redirects to another kind of source", SourceFault.NOT_VIDEO)
        location = target
    raise FootageError("it redirects too often", SourceFault.NOT_VIDEO)


class _Redirected(Exception):
    """An HTTP source may have answered with a redirect: FFmpeg doesn't say."""


def _open_here(location: Location, options: OpenOptions) -> InputContainer:
    if location.protocols is None:
        raise FootageError(f"the scheme {location.scheme} is not supported")
    is_device = location.kind is LocationKind.DEVICE
    if is_device and not Path(location.text).exists():
        raise FootageError("there is no such device", SourceFault.UNREACHABLE)
    began = time.monotonic()
    try:
        return av.open(
            location.ffmpeg_url,
            mode="r",
            format=DEVICE_FORMAT if is_device else None,
            options=make_ffmpeg_options(location, options),
            timeout=(options.connect_timeout_s, options.read_timeout_s),
        )
    except av_error.FFmpegError as error:
        if location.is_http and error.errno == errno.EIO:
            raise _Redirected from None
        # FFmpeg's RTSP client says "invalid data" of an answer that never came or broke off.
        if time.monotonic() - began >= 0.95 * options.connect_timeout_s:
            raise FootageError("no answer in time", SourceFault.UNREACHABLE) from None
        if isinstance(error, av_error.InvalidDataError) and location.is_rtsp:
            raise FootageError("the answer is not RTSP", SourceFault.UNREACHABLE) from None
        if isinstance(error, av_error.ArgumentError) and location.kind is LocationKind.FILE:
            raise FootageError("its pictures are damaged, or too large") from None
        raise to_footage_error(error) from None
