"""Frames that are fed: without jumps from memory, of the right rate and length as video."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from model.frames import FrameShape
from service.bench.footage import back_and_forth, clip_rate, fitted_frames, repeat, write_clip
from service.errors import BadInput
from tests.support.cameras import numbered_video, read_number
from tests.support.footage import drawn_picture


def _times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]


def test_frames_go_there_and_back() -> None:
    pictures = [np.full((2, 2), value, np.uint8) for value in range(4)]
    seen = [int(frame[0, 0]) for frame in islice(back_and_forth(pictures), 13)]
    assert seen == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_the_drawn_scene_moves_and_fits() -> None:
    frames = fitted_frames(FrameShape(64, 96, 1), 5)
    assert [frame.shape for frame in frames] == [(64, 96)] * 5
    assert all((one != other).any() for one, other in pairwise(frames))


def test_a_drawn_clip_is_as_long_and_as_fast_as_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, 25, 3.0)
    times = _times(path)
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-3)
    assert len(times) == 75
    assert clip_rate(path) == pytest.approx(25.0)
    with av.open(str(path)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (360, 240)


def test_a_clip_is_repeated_whole_until_it_is_long_enough(tmp_path: Path) -> None:
    short = numbered_video(tmp_path / "short.mp4", 20)
    long = tmp_path / "long.mp4"
    repeat(short, long, 5.0)
    np.testing.assert_allclose(np.diff(_times(long)), 0.1, atol=1e-3)
    with av.open(str(long)) as container:
        shown = [
            read_number(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)
        ]
    assert shown == [*range(20)] * 3


def test_a_video_that_cannot_be_sent_is_named(tmp_path: Path) -> None:
    absent, other = tmp_path / "absent.mp4", tmp_path / "other.mp4"
    with pytest.raises(BadInput, match=r"--video.*no video.*absent"):
        clip_rate(absent)
    with av.open(str(other), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(drawn_picture(0), format="bgr24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(BadInput, match=r"--video.*H.264.*mpeg4.*other"):
        clip_rate(other)
