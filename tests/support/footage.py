"""Recordings for tests: image folders as H.264 videos, and single encoded pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from model.footage.footage_reader import FootageReader
from model.footage.footage_search import Source

Picture = NDArray[np.uint8]


def folder_pictures(folder: Path) -> Iterator[Picture]:
    """The images of a folder in order, BGR."""
    for each in FootageReader(Source(folder.name, folder)):
        yield each.picture.bgr()


def write_video(path: Path, frames: Iterable[Picture], fps: int = 10) -> Path:
    """Encode BGR pictures as H.264 in MP4, nearly without loss; a key frame every second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.pix_fmt = "yuv420p"
        stream.gop_size = fps
        # One thread, and so one slice a frame: the same bytes on every machine.
        stream.codec_context.thread_count = 1
        stream.options = {"crf": "12", "preset": "veryfast", "bf": "0"}
        for index, frame in enumerate(frames):
            if index == 0:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode())
    return path


def jpeg(picture: Picture, quality: int = 95) -> bytes:
    """A picture as JPEG."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("cannot encode the picture")
    return data.tobytes()


def drawn_picture(step: int, size: tuple[int, int] = (96, 96)) -> Picture:
    """A bright square on a textured ground, a little further at each step."""
    random = np.random.default_rng(0)
    picture = random.integers(60, 90, (*size, 3), dtype=np.uint8)
    left = (3 * step) % (size[1] - 16)
    picture[40:56, left : left + 16] = 220
    return picture


def draw_clip(folder: Path, start: int, count: int, onset: int | None = None) -> None:
    """Grey drawn pictures as PNG, `onset` the first in which something else happens."""
    folder.mkdir(parents=True)
    for step in range(count):
        picture = cv2.cvtColor(drawn_picture(start + step), cv2.COLOR_BGR2GRAY)
        if onset is not None and step >= onset:
            picture[10:90, (11 * step) % 60 :] = 255
        cv2.imwrite(str(folder / f"{step:03}.png"), picture)
