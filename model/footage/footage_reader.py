"""Reads a recording (a video, images, an open file) as pictures with their times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from model.footage.decoding import PacketDecoder
from model.footage.footage_error import FootageError
from model.footage.footage_search import Source, list_images
from model.footage.gaps import Gaps
from model.footage.locations import Location
from model.footage.picture_sizes import is_too_large
from model.footage.sampling import Sampler
from model.footage.source_pictures import SourcePicture, StillPicture, VideoPicture
from model.footage.video_source import OpenOptions, Video, open_video
from model.frames import Picture, is_grey

UNTIMED_FPS = 10.0
"""Images have no times: without a frame rate they count as this many a second."""
FAR_S = 1.0
"""A time this far before the last one belongs to another recording, appended to the first."""
COLOUR_PICTURES = 5
PACKET_CODECS = frozenset({"h264", "hevc", "mjpeg"})
"""Each of their packets is a picture. A packet without one is lost, although the decoder reports
nothing while it searches for the first key frame of a damaged file."""


@dataclass(frozen=True, slots=True)
class TimedPicture:
    """A picture of a recording with its time."""

    time_s: float
    """Seconds since the source's first picture; rises with each picture."""
    picture: SourcePicture
    continues: bool
    """Whether it follows the picture before it: False for the source's first picture, after a gap,
    and when the size changes."""


@dataclass(slots=True)
class Losses:
    """The parts of a source that could not be read."""

    damaged: int = 0
    """The number of frames or images that can't be decoded."""
    missing: int = 0
    """The number of frames in the file's index that the file doesn't hold."""
    end: FootageError | None = None
    """The error for which reading stopped before the end."""

    @property
    def frames(self) -> int:
        """The number of all lost frames."""
        return self.damaged + self.missing

    def __bool__(self) -> bool:
        return bool(self.frames or self.end is not None)

    def __str__(self) -> str:
        """Return a phrase, such as "2 frames lost: damaged"; empty if nothing was lost."""
        parts = []
        if self.frames:
            kinds = ["damaged"] * bool(self.damaged) + ["missing at its end"] * bool(self.missing)
            plural = "" if self.frames == 1 else "s"
            parts.append(f"{self.frames} frame{plural} lost: {' and '.join(kinds)}")
        if self.end is not None:
            parts.append(f"it can't be read to its end: {self.end.reason}")
        return "; ".join(parts)


class Timeline:
    """Gives a recording's pictures times that only rise, and finds which of them continue a run.

    If the times start again in the middle, the recording continues a frame later with a new run.
    """

    def __init__(self, period_s: float) -> None:
        """Args: period_s: the usual time between pictures, for pictures without a time."""
        self._gaps = Gaps(period_s)
        self._offset_s: float | None = None
        """The source's time at which our time is 0."""
        self._last_s = -period_s

    def place(self, source_s: float | None) -> tuple[float, bool]:
        """Return the next picture's time, and whether it continues the run.

        Args: source_s: the picture's time on the source's own clock, if it has one.
        """
        restarts = False
        time_s = self._last_s + self._gaps.usual_s
        if source_s is not None:
            if self._offset_s is None:
                self._offset_s = source_s - time_s
            own_s = source_s - self._offset_s
            restarts = own_s < self._last_s - FAR_S
            if restarts:
                self._offset_s = source_s - time_s
            elif own_s > self._last_s:
                time_s = own_s
        self._last_s = time_s
        return time_s, not (self._gaps.add(time_s) or restarts)


class FootageReader:
    """Reads a recording once: iterate over it, then read its losses.

    Damaged parts are left out and counted. An error after the first pictures ends the recording,
    and is kept in the losses.
    """

    def __init__(
        self,
        source: Source,
        *,
        fps: float | None = None,
        limit: int | None = None,
        options: OpenOptions | None = None,
    ) -> None:
        """
        Args:
            fps: at most this many frames a second; images count as this many. None reads all.
            limit: at most this many frames.
        """
        check_limits(fps, limit)
        self.source = source
        self.losses = Losses()
        self._fps = fps
        self._limit = limit
        self._options = options

    def __iter__(self) -> Iterator[TimedPicture]:
        """Yield the sampled pictures.

        Raises: FootageError: it can't be opened, or none of its pictures can be read.
        """
        # Images have no times of their own to be sampled by.
        sampler = Sampler(None if self.source.is_images else self._fps)
        taken, continues, size = 0, False, (0, 0)
        for each in self._read_pictures():
            continues = continues and each.continues and size == each.picture.size
            size = each.picture.size
            if not sampler.takes(each.time_s):
                continue
            yield TimedPicture(each.time_s, each.picture, continues)
            continues = True
            taken += 1
            if taken == self._limit:
                return

    def _read_pictures(self) -> Iterator[TimedPicture]:
        read = self._read_images() if self.source.is_images else self._read_video()
        any_read = False
        try:
            for each in read:
                any_read = True
                yield each
        except FootageError as error:
            if not any_read:
                raise error.with_name(self.source.name) from None
            self.losses.end = error
        if not any_read:
            reason = "it holds no pictures"
            if self.losses:
                reason = "none of its pictures can be read: damaged, or too large"
            raise FootageError(reason, name=self.source.name)

    def _read_images(self) -> Iterator[TimedPicture]:
        timeline = Timeline(1.0 / (self._fps or UNTIMED_FPS))
        for file in list_images(Path(str(self.source.location))):
            time_s, continues = timeline.place(None)
            picture = _read_image(file)
            if picture is None:
                self.losses.damaged += 1
                continue
            yield TimedPicture(time_s, StillPicture(picture), continues)

    def _read_video(self) -> Iterator[TimedPicture]:
        with self.open() as video:
            if video.is_live:
                raise FootageError("it is a live camera, and a recording is needed")
            timeline = Timeline(1.0 / (video.fps or UNTIMED_FPS))
            decoder = PacketDecoder(video)
            packets = displayed = pictures = 0
            try:
                for packet in video.packets():
                    packets += bool(packet.size)
                    displayed += bool(packet.size) and not packet.is_discard
                    decoded = decoder.decode(packet)
                    pictures += len(decoded)
                    self.losses.damaged = decoder.lost
                    yield from _place_pictures(timeline, decoded)
            except FootageError:
                yield from _place_pictures(timeline, decoder.flush())
                raise
            if video.codec.name in PACKET_CODECS:
                self.losses.damaged = max(decoder.lost, displayed - pictures)
            self.losses.missing = max(0, video.declared_frames - packets)

    def open(self) -> Video:
        """Open the source, which must not be images. Raises: FootageError."""
        location = self.source.location
        if isinstance(location, str | Path):
            return open_video(Location.parse(str(location)), self._options)
        return open_video(location, self._options)


def read_frame_rate(source: Source) -> float | None:
    """Read the frame rate that a video declares; None for images, or if it declares none.

    Raises: FootageError: it can't be opened.
    """
    if source.is_images:
        return None
    try:
        with FootageReader(source).open() as video:
            return video.fps
    except FootageError as error:
        raise error.with_name(source.name) from None


def has_colour(source: Source) -> bool:
    """Returns whether any of the first pictures holds colour, which an RGB network could use.

    Raises: FootageError: it can't be read.
    """
    first = FootageReader(source, limit=COLOUR_PICTURES)
    return any(not is_grey(each.picture.bgr()) for each in first)


def check_limits(fps: float | None, limit: int | None) -> None:
    """Raises: ValueError: `fps` is no number above 0, or `limit` is below 1."""
    if fps is not None and not 0.0 < fps < math.inf:
        raise ValueError(f"fps must be a number above 0, got {fps!r}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit!r}")


def _read_image(file: Path) -> Picture | None:
    """Read an image; None if it is damaged, or declares to be too large."""
    with suppress(cv2.error, OSError):
        data = file.read_bytes()
        if data and not is_too_large(data):
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            return None if picture is None else np.asarray(picture, np.uint8)
    return None


def _place_pictures(timeline: Timeline, pictures: Iterable[VideoPicture]) -> Iterator[TimedPicture]:
    for picture in pictures:
        time_s, continues = timeline.place(picture.frame.time)
        yield TimedPicture(time_s, picture, continues)
