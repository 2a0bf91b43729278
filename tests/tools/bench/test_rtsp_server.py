"""What cameras of the benchmark send is what their file holds."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from service.tools.bench.rtsp import RtspServer, is_installed
from tests.support.footage import drawn_picture

FRAMES = 12


def _write_slices(path: Path) -> None:
    """H.264 of which each picture is four slices, as many encoders and cameras make it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        stream.gop_size = 5
        stream.options = {"preset": "veryfast", "bf": "0", "x264-params": "slices=4"}
        for step in range(FRAMES):
            picture = drawn_picture(step, (128, 128))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


def _pictures(source: str, **options: str) -> list[NDArray[np.uint8]]:
    with av.open(source, options=options) as container:
        return [
            np.asarray(frame.to_ndarray(format="gray"), np.uint8)
            for frame in container.decode(video=0)
        ]


@pytest.mark.skipif(not is_installed(), reason="GStreamer's RTSP server isn't installed")
def test_pictures_of_several_slices_arrive_whole(tmp_path: Path) -> None:
    path = tmp_path / "slices.mp4"
    _write_slices(path)
    server = RtspServer({"/one": path})
    server.start()
    try:
        received = _pictures(f"{server.base}/one", rtsp_transport="tcp")
    finally:
        server.kill()
    sent = _pictures(str(path))
    assert len(received) >= FRAMES - 1  # the server may cut the last one off
    for mine, theirs in zip(received, sent, strict=False):
        assert np.array_equal(mine, theirs)
