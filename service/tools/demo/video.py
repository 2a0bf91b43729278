"""Writes the drawn scene as a video file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av

from model.frames import Picture
from service.tools.demo.ground import HEIGHT, WIDTH
from service.tools.demo.walkway import FPS


def write_video(path: Path, frames: Iterable[Picture]) -> None:
    """Encode the scene's pictures as H.264 (yuv420p) in MP4, a key frame every second.

    The file appears whole or not at all.
    """
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuv420p"
        stream.gop_size = FPS
        stream.options = {"crf": "20", "preset": "veryfast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode())
    partial.replace(path)
