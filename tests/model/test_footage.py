"""Footage: what is found, in which order, how it is sampled, and what its errors say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from model.footage import (
    FootageError,
    Sampling,
    Source,
    discover,
    fitted,
    frame_rate,
    frame_store,
    has_colour,
    hide_credentials,
    natural_key,
    pictures,
)
from model.frames import FrameShape
from tests.support.footage import drawn_picture, write_video

SHAPE = FrameShape(32, 48, 1)


def _image(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 30, 3), level, np.uint8))
    return path


def _video(path: Path, count: int = 20, fps: int = 10) -> Path:
    return write_video(path, (drawn_picture(step) for step in range(count)), fps)


def _levels(source: Source) -> list[int]:
    return [int(picture.mean()) for _, picture in pictures(source)]


def test_images_come_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 100, 1):
        _image(tmp_path / f"img{number}.png", number)
    (tmp_path / "notes.txt").write_text("not an image")
    (source,) = discover([str(tmp_path)])
    assert _levels(source) == [1, 9, 10, 100]
    assert frame_rate(source) is None


@given(st.lists(st.text(max_size=8)))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    assert sorted(sorted(names, key=natural_key)) == sorted(names)


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["clip10", "Clip9", "clip1b", "clip", "2"]
    assert sorted(names, key=natural_key) == ["2", "clip", "clip1b", "Clip9", "clip10"]


def test_a_folder_of_folders_and_videos_is_many_clips(tmp_path: Path) -> None:
    _image(tmp_path / "2" / "1.jpg")
    _image(tmp_path / "10" / "1.jpg")
    _video(tmp_path / "3.mp4", 2)
    (tmp_path / "empty").mkdir()
    assert [source.name for source in discover([str(tmp_path)])] == ["2", "10", "3.mp4"]


def test_frames_below_a_folder_named_frames_are_found(tmp_path: Path) -> None:
    _image(tmp_path / "frames" / "01" / "1.jpg")
    assert [source.name for source in discover([str(tmp_path)])] == ["01"]


def test_a_location_without_footage_is_named(tmp_path: Path) -> None:
    with pytest.raises(FootageError, match=f"no images.*{tmp_path}"):
        discover([str(tmp_path)])
    with pytest.raises(FootageError, match=r"no such file or folder: /no/such"):
        discover(["/no/such"])


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    _image(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"no image")
    with pytest.raises(FootageError, match=r"not an image: .*2\.png"):
        list(pictures(discover([str(tmp_path)])[0]))


def test_a_video_gives_all_frames_with_their_times(tmp_path: Path) -> None:
    source = Source("v", _video(tmp_path / "v.mp4", 20, fps=10))
    times = [time_s for time_s, _ in pictures(source)]
    assert times == pytest.approx([step / 10 for step in range(20)])
    assert frame_rate(source) == 10.0


@pytest.mark.parametrize(
    ("fps", "expected"),
    [(None, 30), (30.0, 30), (100.0, 30), (15.0, 15), (10.0, 10), (7.0, 7), (1.0, 1)],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])  # mkv rounds times to milliseconds
def test_a_video_is_sampled_at_a_lower_rate(
    tmp_path: Path, suffix: str, fps: float | None, expected: int
) -> None:
    source = Source("v", _video(tmp_path / f"v.{suffix}", 30, fps=30))
    assert len(list(fitted(source, SHAPE, Sampling(fps)))) == expected


def test_a_limit_holds_for_each_source(tmp_path: Path) -> None:
    video = Source("v", _video(tmp_path / "v.mp4", 9))
    with frame_store(SHAPE) as store:
        assert store.add(video, Sampling(limit=4)) == 4
        assert store.add(video, Sampling(limit=100)) == 9
        assert [len(clip) for clip in store.clips()] == [4, 9]


@pytest.mark.parametrize("bad", [{"fps": 0.0}, {"fps": float("nan")}, {"fps": -1.0}, {"limit": 0}])
def test_bad_sampling_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
        Sampling(**bad)


@pytest.mark.parametrize("channels", [1, 3])
def test_clips_outlive_their_store_frame_by_frame(tmp_path: Path, channels: int) -> None:
    shape = FrameShape(32, 48, channels)
    one, other = (Source(name, _video(tmp_path / f"{name}.mp4", 5)) for name in "ab")
    with frame_store(shape) as store:
        for source in (one, other):
            store.add(source)
        clips = store.clips()
    assert [clip.name for clip in clips] == ["a", "b"]
    for clip, source in zip(clips, (one, other), strict=True):
        expected = list(fitted(source, shape))
        assert np.array_equal(clip.frames, np.stack(expected))


def test_an_empty_store_has_no_clips() -> None:
    with frame_store(SHAPE) as store:
        assert store.clips() == []


@pytest.mark.parametrize("content", [b"", b"no video", b"RIFF\0\0\0\0AVI LIST"])
def test_a_file_that_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    source = Source(path.name, path)
    for read in (lambda: list(pictures(source)), lambda: frame_rate(source)):
        with pytest.raises(FootageError, match=r"broken\.mp4"):
            read()


def test_colour_is_seen(tmp_path: Path) -> None:
    grey = Source("g", _image(tmp_path / "grey" / "1.png", 90).parent)
    assert not has_colour(grey)
    coloured = np.zeros((20, 30, 3), np.uint8)
    coloured[:, :15] = (200, 30, 90)
    (tmp_path / "colour").mkdir()
    cv2.imwrite(str(tmp_path / "colour" / "1.png"), coloured)
    assert has_colour(Source("c", tmp_path / "colour"))


def test_footage_comes_over_http(tmp_path: Path, httpserver: HTTPServer) -> None:
    data = _video(tmp_path / "v.mp4", 6).read_bytes()
    httpserver.expect_request("/v.mp4").respond_with_data(data, content_type="video/mp4")
    (source,) = discover([httpserver.url_for("/v.mp4")])
    assert source.is_url
    assert len(list(pictures(source))) == 6
    assert frame_rate(source) == 10.0


def test_a_url_that_cannot_be_read_is_named_without_credentials(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/cam").respond_with_data("no", status=404)
    url = f"http://admin:hunter2@127.0.0.1:{httpserver.port}/cam?password=hunter3"
    (source,) = discover([url])
    with pytest.raises(FootageError, match=r"127\.0\.0\.1") as caught:
        list(pictures(source))
    for secret in ("admin", "hunter2", "hunter3"):
        assert secret not in str(caught.value)
        assert secret not in source.name


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam/one", "rtsp://cam/one"),
        ("rtsp://user:pass@cam:554/one", "rtsp://***@cam:554/one"),
        ("rtsp://user:p@ss@cam/one", "rtsp://***@cam/one"),
        ("rtsp://user:p/ss@cam/one", "rtsp://***@cam/one"),
        ("http://cam/v?user=a&pwd=b&x=1", "http://cam/v?user=***&pwd=***&x=1"),
        ("a folder/with@sign", "a folder/with@sign"),
    ],
)
def test_credentials_are_hidden(url: str, shown: str) -> None:
    assert hide_credentials(url) == shown
