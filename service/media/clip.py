"""Encodes pictures into a clip that every browser plays: H.264 in MP4, 4:2:0, index in front."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import cast

import av
import cv2
import numpy as np
from av.codec.codec import UnknownCodecError
from numpy.typing import NDArray

from service.bus.picture_requests import SentShot

LONGEST_GAP_S = 5.0
"""A longer gap, or one backwards, isn't the camera's: the clip goes on at its usual pace."""
SHORTEST_GAP_S = 0.01
TIME_BASE = Fraction(1, 1000)
LEAST_PICTURES = 2
_EVENT = re.compile(r"event from (\d+\.\d{3}) s to (\d+\.\d{3}) s")
_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "26", "threads": "1"},
    "libopenh264": {"rc_mode": "bitrate", "b": "800000"},
}


class NoClip(ValueError):
    """There is too little to make a clip of."""


@cache
def find_encoder() -> str:
    """Return the name of the H.264 encoder that this build of ffmpeg has.

    Raises: OSError: it has none.
    """
    for name in _OPTIONS:
        try:
            av.codec.Codec(name, "w")
        except UnknownCodecError:
            continue
        return name
    raise OSError("this build of ffmpeg has no H.264 encoder")


@dataclass(frozen=True, slots=True)
class ClipLength:
    """When a clip's pictures are, and when its event lasts."""

    times_s: tuple[float, ...]
    """The times of its pictures, rising from 0; two at least."""
    event_s: tuple[float, float] | None
    """The event's first and last second in the clip; None: the file doesn't say."""

    @property
    def seconds(self) -> float:
        """The seconds from the first picture to the last one's end."""
        count = len(self.times_s)
        return self.times_s[-1] * count / (count - 1)

    @property
    def fps(self) -> float:
        """The pictures a second while its event lasts: before it there may be fewer."""
        first_s, last_s = self.event_s or (0.0, self.seconds)
        gaps = [b - a for a, b in pairwise(self.times_s) if first_s <= b and a <= last_s]
        return 1.0 / median(gaps or [self.seconds])


def read_clip_length(path: Path) -> ClipLength | None:
    """Read a clip's times; None where it can't be read."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.time_base is None:
                return None
            stamps = sorted(each.pts for each in container.demux(stream) if each.pts is not None)
            if len(stamps) < LEAST_PICTURES:
                return None
            times_s = tuple(float((each - stamps[0]) * stream.time_base) for each in stamps)
            said = _EVENT.fullmatch(container.metadata.get("comment", ""))
            event_s = (float(said[1]), float(said[2])) if said else None
            return ClipLength(times_s, event_s)
    except (av.FFmpegError, IndexError):
        return None


def encode_clip(
    shots: Sequence[SentShot], usual_fps: float, event_frames: tuple[int, int] | None = None
) -> bytes:
    """Encode the pictures as MP4, at the pace at which they were captured.

    Pictures that can't be decoded, and those of another shape than the first, are left out. With
    the event's first and last frame the file says when it lasts.

    Raises: NoClip: fewer than `LEAST_PICTURES` can be used. OSError: there is no encoder.
    """
    if len(shots) < LEAST_PICTURES:
        raise NoClip(f"there are {len(shots)} pictures")
    times_ms = _space_times_ms([shot.meta.captured_at for shot in shots], usual_fps)
    name = find_encoder()
    count = 0
    file = io.BytesIO()
    with av.open(
        file,
        "w",
        format="mp4",
        options={"movflags": "+faststart"},
        # To move the index to the front, the muxer reads again what it has written.
        io_open=lambda *_: io.BytesIO(file.getvalue()),
    ) as container:
        if event_frames is not None:
            container.metadata["comment"] = _describe_event(shots, times_ms, event_frames)
        made = container.add_stream(name, rate=round(max(1.0, usual_fps)))
        stream = cast(av.VideoStream, made)
        stream.pix_fmt = "yuv420p"
        stream.options = dict(_OPTIONS[name])
        stream.codec_context.time_base = TIME_BASE
        size: tuple[int, int] | None = None
        for shot, at_ms in zip(shots, times_ms, strict=True):
            picture = _decode_even(shot.jpeg)
            if picture is None or size not in (None, picture.shape[:2]):
                continue
            if size is None:
                size = (picture.shape[0], picture.shape[1])
                stream.height, stream.width = size
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = at_ms, TIME_BASE
            container.mux(stream.encode(frame))
            count += 1
        if count:
            container.mux(stream.encode(None))
    if count < LEAST_PICTURES:
        raise NoClip(f"{count} of {len(shots)} pictures can be used")
    return file.getvalue()


def _describe_event(
    shots: Sequence[SentShot], times_ms: Sequence[int], event_frames: tuple[int, int]
) -> str:
    first, last = event_frames
    inside = [
        time_ms
        for shot, time_ms in zip(shots, times_ms, strict=True)
        if first <= shot.meta.frame <= last
    ]
    if not inside:
        return ""
    return f"event from {inside[0] / 1000:.3f} s to {inside[-1] / 1000:.3f} s"


def _space_times_ms(captured_at: Sequence[float], usual_fps: float) -> list[int]:
    """Return times that rise from 0, even where the captures' clock jumps."""
    times_s = [0.0]
    for before, after in pairwise(captured_at):
        gap_s = after - before
        if not SHORTEST_GAP_S <= gap_s <= LONGEST_GAP_S:
            gap_s = 1.0 / usual_fps
        times_s.append(times_s[-1] + gap_s)
    return [round(1000.0 * time_s) for time_s in times_s]


def _decode_even(jpeg: bytes) -> NDArray[np.uint8] | None:
    """Decode a picture to BGR, with sides that 4:2:0 can halve; None if it can't be decoded."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if picture is None or min(picture.shape[:2]) < 2:
        return None
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    return np.ascontiguousarray(picture[:height, :width], np.uint8)
