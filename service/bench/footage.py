"""Frames to feed: the drawn scene, fitted for memory or encoded as a camera would send it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, cycle
from pathlib import Path

import av
import cv2
from av import VideoStream
from av.error import FFmpegError

from model.frames import Frame, FrameShape, Picture, fit
from service.demo.scene import FPS, frames
from service.errors import BadInput

SEED = 5
CAMERA_WIDTH, CAMERA_HEIGHT = 360, 240
"""As in UCSD Ped2."""
CLIP_FRAMES = 300
"""Different pictures in an encoded clip, which is then repeated."""
GOP_FRAMES = 250
"""At most so far from a key frame to the next: x264's own limit; a second where that is less."""


def fitted_frames(shape: FrameShape, count: int) -> list[Frame]:
    """The drawn scene as a network takes it."""
    return [fit(picture, shape) for picture in frames(SEED, count / FPS)]


def back_and_forth(pictures: Sequence[Frame]) -> Iterator[Frame]:
    """For ever, without a jump."""
    return cycle(chain(pictures, pictures[-2:0:-1]))


def write_clip(path: Path, fps: int, seconds: float) -> None:
    """The drawn scene at the size of Ped2, H.264 in MP4, of that rate and at least that long."""
    short = path.with_name(f"{path.stem}.short.mp4")
    count = max(2, min(CLIP_FRAMES, round(seconds * fps)))
    _encode(short, (_camera_sized(picture) for picture in frames(SEED, count / FPS)), fps)
    repeat(short, path, seconds)
    short.unlink()


def _camera_sized(picture: Picture) -> Picture:
    resized = cv2.resize(picture, (CAMERA_WIDTH, CAMERA_HEIGHT), interpolation=cv2.INTER_LINEAR)
    return resized.astype("uint8", copy=False)


def _encode(path: Path, pictures: Iterator[Picture], fps: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = CAMERA_WIDTH, CAMERA_HEIGHT, "yuv420p"
        stream.gop_size = min(fps, GOP_FRAMES)
        # One slice a frame: the RTSP server puts parameter sets before each slice of a key frame,
        # and a decoder then takes the slices for frames of their own.
        stream.codec_context.thread_count = 1
        stream.options = {"crf": "23", "preset": "veryfast", "bf": "0"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


def clip_rate(path: Path) -> float:
    """Frames a second of an H.264 video.

    Raises: BadInput: it can't be read, or is none.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadInput("--video", str(path), "holds no video")
            stream = container.streams.video[0]
            if stream.codec_context.name != "h264":
                codec = stream.codec_context.name
                raise BadInput("--video", str(path), f"must be H.264 in MP4, and is {codec}")
            rate = stream.average_rate
    except (FFmpegError, OSError):
        raise BadInput("--video", str(path), "is no video that can be read") from None
    if not rate:
        raise BadInput("--video", str(path), "doesn't say its frame rate")
    return float(rate)


def repeat(source: Path, target: Path, seconds: float) -> None:
    """The same packets again and again, at least that long: nothing is encoded anew."""
    offset, length_s = 0, 0.0
    with av.open(str(target), "w") as out:
        writing: VideoStream | None = None
        while length_s < seconds:
            with av.open(str(source)) as video:
                stream = video.streams.video[0]
                writing = writing or out.add_stream_from_template(stream)
                tick_s = float(stream.time_base or Fraction(1, 90_000))
                period = max(1, round(1.0 / (float(stream.average_rate or FPS) * tick_s)))
                end = offset
                for packet in video.demux(stream):
                    if packet.pts is None or packet.dts is None:  # the last one is empty
                        continue
                    packet.pts += offset
                    packet.dts += offset
                    end = max(end, packet.pts + period)
                    packet.stream = writing
                    out.mux(packet)
            offset, length_s = end, end * tick_s
