"""Makes cameras' frames and clips: of the drawn scene, or of a video of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, cycle, islice
from pathlib import Path

import av
import cv2
import numpy as np
from av import VideoStream

from model.footage.clips import read_clips
from model.footage.footage_error import FootageError
from model.footage.footage_search import find_footage
from model.footage.locations import Location
from model.footage.video_source import open_video
from model.frames import Frame, FrameShape, Picture, fit
from service.errors import BadInput
from service.tools.demo.ground import HEIGHT, WIDTH, draw_background
from service.tools.demo.walkway import FPS, draw_frames

SEED = 5
CAMERA_WIDTH, CAMERA_HEIGHT = 360, 240
"""Size of UCSD Ped2's frames."""
CLIP_FRAMES = 300
"""Different pictures in an encoded clip, which is then repeated."""
GOP_FRAMES = 250
"""Most frames between key frames, x264's own limit; a second's frames where these are fewer."""
MEDIAN_FRAMES, MEDIAN_BYTES = 101, 200_000_000
"""Number of frames that a still picture is the median of, and the memory that they may take."""
MEDIAN_SPAN = 3000
"""The median's frames are chosen from this many at the beginning of a video."""
QUIET_NOISE = 2.0
"""Standard deviation of a quiet camera's noise, in grey levels, before it is encoded."""
BUSY_CRF, QUIET_CRF = 23, 20
"""x264's constant quality. 20 leaves 1.2 of 2 grey levels of noise in a still picture, 23 0.5."""


def fit_drawn_frames(shape: FrameShape, count: int) -> list[Frame]:
    """Draw the first `count` frames of the scene, fitted to a network."""
    return [fit(picture, shape) for picture in draw_frames(SEED, count / FPS)]


def read_video_frames(video: Path, shape: FrameShape, count: int) -> list[Frame]:
    """Read a video's first frames, fitted to a network. Raises: FootageError: there are none."""
    clips = read_clips(find_footage([str(video)]).sources, shape)
    return [frame.copy() for clip in clips for frame in clip.frames[:count]]


def play_back_and_forth(pictures: Sequence[Frame]) -> Iterator[Frame]:
    """Yield the pictures forwards and backwards for ever, so that nothing jumps."""
    return cycle(chain(pictures, pictures[-2:0:-1]))


def write_clip(path: Path, fps: int, seconds: float) -> None:
    """Write the drawn scene in the size of Ped2, as H.264 in MP4, at least `seconds` long."""
    pictures = draw_frames(SEED, _count_pictures(fps, seconds) / FPS)
    _encode_loop(path, map(_resize_to_camera, pictures), fps, seconds)


def write_quiet_clip(path: Path, still: Picture, fps: float, seconds: float) -> None:
    """Write a still picture with new sensor noise in each frame, at least `seconds` long."""
    pictures = _add_noise(still, _count_pictures(fps, seconds))
    _encode_loop(path, pictures, fps, seconds, crf=QUIET_CRF)


def _count_pictures(fps: float, seconds: float) -> int:
    return max(2, min(CLIP_FRAMES, round(seconds * fps)))


def _encode_loop(
    path: Path, pictures: Iterator[Picture], fps: float, seconds: float, *, crf: int = BUSY_CRF
) -> None:
    short = path.with_name(f"{path.stem}.short.mp4")
    _encode(short, pictures, fps, crf=crf)
    repeat_clip(short, path, seconds)
    short.unlink()


def _add_noise(still: Picture, count: int) -> Iterator[Picture]:
    random = np.random.default_rng(SEED)
    level = still.astype(np.float32)
    for _ in range(count):
        noise = random.standard_normal((*still.shape[:2], 1), dtype=np.float32)
        yield np.asarray(np.clip(np.rint(level + noise * QUIET_NOISE), 0, 255), np.uint8)


def draw_empty_scene() -> Picture:
    """Draw the scene without people, in a camera's size."""
    small = cv2.resize(draw_background(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return _resize_to_camera(small.astype(np.uint8, copy=False))


def compute_median_picture(video: Path) -> Picture:
    """Compute the median of each pixel over a video's first minutes, which removes what moves.

    Raises: BadInput: it has no frames.
    """
    taken: list[Picture] = []
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        most = MEDIAN_BYTES // max(1, 3 * stream.width * stream.height)
        needed = max(1, min(MEDIAN_FRAMES, most))
        every = max(1, min(stream.frames, MEDIAN_SPAN) // needed)
        for number, frame in enumerate(islice(container.decode(stream), MEDIAN_SPAN)):
            if number % every == 0 and len(taken) < needed:
                taken.append(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
    if not taken:
        raise BadInput("--video", str(video), "has no frames")
    middle = len(taken) // 2
    return np.asarray(np.partition(np.stack(taken), middle, axis=0)[middle], np.uint8)


def _resize_to_camera(picture: Picture) -> Picture:
    resized = cv2.resize(picture, (CAMERA_WIDTH, CAMERA_HEIGHT), interpolation=cv2.INTER_LINEAR)
    return resized.astype("uint8", copy=False)


def _encode(path: Path, pictures: Iterator[Picture], fps: float, *, crf: int) -> None:
    first = next(pictures)
    height, width = (side - side % 2 for side in first.shape[:2])  # yuv420p needs even sides
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size = min(max(1, round(fps)), GOP_FRAMES)
        # One thread, and so one slice a frame: the same bytes on every machine.
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(crf), "preset": "veryfast", "bf": "0"}
        for picture in chain([first], pictures):
            cropped = np.ascontiguousarray(picture[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cropped, format="bgr24")))
        container.mux(stream.encode())


def read_clip_rate(path: Path) -> float:
    """Read the frames a second of an H.264 video.

    Raises: BadInput: it can't be read, or isn't H.264.
    """
    try:
        with open_video(Location.parse(str(path))) as video:
            codec, rate = video.codec.name, video.fps
    except FootageError as error:
        raise BadInput("--video", str(path), error.reason) from None
    if codec != "h264":
        raise BadInput("--video", str(path), f"must be H.264 in MP4, and is {codec}")
    if rate is None:
        raise BadInput("--video", str(path), "doesn't say its frame rate")
    return rate


def repeat_clip(source: Path, target: Path, seconds: float) -> None:
    """Repeat a clip's packets until it is at least `seconds` long, without encoding again."""
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
