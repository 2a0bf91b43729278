"""Frames that are fed: without jumps from memory, of the right rate and length as video."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from model.frames import FrameShape
from service.errors import BadInput
from service.tools.bench.camera_clips import (
    compute_median_picture,
    draw_empty_scene,
    fit_drawn_frames,
    play_back_and_forth,
    read_clip_rate,
    read_video_frames,
    repeat_clip,
    write_clip,
    write_quiet_clip,
)
from tests.support.cameras import numbered_video, read_number
from tests.support.footage import drawn_picture


def _times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]


def test_frames_go_there_and_back() -> None:
    pictures = [np.full((2, 2), value, np.uint8) for value in range(4)]
    seen = [int(frame[0, 0]) for frame in islice(play_back_and_forth(pictures), 13)]
    assert seen == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_the_drawn_scene_moves_and_fits() -> None:
    frames = fit_drawn_frames(FrameShape(64, 96, 1), 5)
    assert [frame.shape for frame in frames] == [(64, 96)] * 5
    assert all((one != other).any() for one, other in pairwise(frames))


def test_frames_of_a_video_are_its_first_ones(tmp_path: Path) -> None:
    path = tmp_path / "numbered.mp4"
    numbered_video(path, 12)
    frames = read_video_frames(path, FrameShape(64, 96, 1), 5)
    assert [frame.shape for frame in frames] == [(64, 96)] * 5
    assert all((one != other).any() for one, other in pairwise(frames))


def test_a_drawn_clip_is_as_long_and_as_fast_as_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, 25, 3.0)
    times = _times(path)
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-3)
    assert len(times) == 75
    assert read_clip_rate(path) == pytest.approx(25.0)
    with av.open(str(path)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (360, 240)


def test_a_clip_is_repeated_whole_until_it_is_long_enough(tmp_path: Path) -> None:
    short = numbered_video(tmp_path / "short.mp4", 20)
    long = tmp_path / "long.mp4"
    repeat_clip(short, long, 5.0)
    np.testing.assert_allclose(np.diff(_times(long)), 0.1, atol=1e-3)
    with av.open(str(long)) as container:
        seen = [read_number(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]
    assert seen == [*range(20)] * 3


def test_a_video_that_cannot_be_sent_is_named(tmp_path: Path) -> None:
    absent, other = tmp_path / "absent.mp4", tmp_path / "other.mp4"
    with pytest.raises(BadInput, match=r"--video: there is no such file.*absent"):
        read_clip_rate(absent)
    with av.open(str(other), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(drawn_picture(0), format="bgr24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(BadInput, match=r"--video.*H.264.*mpeg4.*other"):
        read_clip_rate(other)


def _grey(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return np.stack(frames).astype(np.float32)


def test_a_quiet_clip_is_a_still_picture_with_noise_that_survives_its_encoding(
    tmp_path: Path,
) -> None:
    path, still = tmp_path / "quiet.mp4", draw_empty_scene()
    write_quiet_clip(path, still, 10.0, 3.0)
    frames = _grey(path)
    assert len(frames) == 30 and frames.shape[1:] == still.shape[:2]
    assert read_clip_rate(path) == pytest.approx(10.0)
    noise = frames - frames.mean(axis=0)
    assert 0.8 < noise.std() < 2.0
    # None repeats the one before: a camera that does is frozen.
    assert all((one != other).mean() > 0.1 for one, other in pairwise(frames))


def test_a_quiet_clip_takes_pictures_of_odd_sides_and_uneven_rates(tmp_path: Path) -> None:
    path = tmp_path / "quiet.mp4"
    write_quiet_clip(path, np.full((97, 131, 3), 120, np.uint8), 12.5, 1.0)
    assert _grey(path).shape[1:] == (96, 130)
    assert read_clip_rate(path) == pytest.approx(12.5)


def test_what_passes_through_a_video_is_not_in_its_median(tmp_path: Path) -> None:
    path = tmp_path / "passing.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(40):
            picture = np.full((96, 128, 3), 100, np.uint8)
            picture[40:60, 3 * number : 3 * number + 12] = 250
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    still = compute_median_picture(path)
    assert still.shape == (96, 128, 3)
    assert np.abs(still.astype(int) - 100).max() < 10
