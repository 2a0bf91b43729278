"""Small pictures and videos, made for tests."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray


def picture(number: int = 0, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """A bright square on grey, elsewhere for each number: BGR."""
    made = np.full((height, width, 3), 90, np.uint8)
    left = (5 * number) % max(1, width - 12)
    made[height // 3 : height // 3 + 12, left : left + 12] = (40, 160, 250)
    return made


def encoded(suffix: str = ".jpg", **size: int) -> bytes:
    """A picture as a file."""
    return bytes(cv2.imencode(suffix, picture(**size))[1].tobytes())


def video(frames: int, fps: int = 10, width: int = 64, height: int = 48) -> bytes:
    """An MP4 of that many frames."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, fps)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, width, height), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
