"""Footage: what is found, in which order, how it is sampled, and what its errors say."""

from __future__ import annotations

import gc
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from model.footage.clips import open_frame_store, read_clips
from model.footage.footage_error import FootageError
from model.footage.footage_reader import (
    FootageReader,
    Losses,
    Timeline,
    has_colour,
    read_frame_rate,
)
from model.footage.footage_search import Source, find_footage, natural_key
from model.footage.source_pictures import Fitter
from model.frames import FrameShape
from tests.support.footage import drawn_picture, write_video

SHAPE = FrameShape(32, 48, 1)


def _write_image(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 30, 3), level, np.uint8))
    return path


def _write_video(path: Path, count: int = 20, fps: int = 10) -> Path:
    return write_video(path, (drawn_picture(step) for step in range(count)), fps)


def _read_levels(source: Source) -> list[int]:
    return [int(each.picture.bgr().mean()) for each in FootageReader(source)]


def test_images_come_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 100, 1):
        _write_image(tmp_path / f"img{number}.png", number)
    (tmp_path / "notes.txt").write_text("not an image")
    (source,) = find_footage([str(tmp_path)]).sources
    assert _read_levels(source) == [1, 9, 10, 100]
    assert read_frame_rate(source) is None


@given(st.lists(st.text(max_size=8)))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    assert sorted(sorted(names, key=natural_key)) == sorted(names)


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["clip10", "Clip9", "clip1b", "clip", "2"]
    assert sorted(names, key=natural_key) == ["2", "clip", "clip1b", "Clip9", "clip10"]


def test_a_folder_of_folders_and_videos_is_many_clips(tmp_path: Path) -> None:
    _write_image(tmp_path / "2" / "1.jpg")
    _write_image(tmp_path / "10" / "1.jpg")
    _write_video(tmp_path / "3.mp4", 2)
    (tmp_path / "empty").mkdir()
    assert [source.name for source in find_footage([str(tmp_path)]).sources] == ["2", "3.mp4", "10"]


def test_frames_below_a_folder_named_frames_are_found(tmp_path: Path) -> None:
    _write_image(tmp_path / "frames" / "01" / "1.jpg")
    assert [source.name for source in find_footage([str(tmp_path)]).sources] == ["01"]


def test_recordings_in_dated_folders_are_read_in_natural_order_with_all_that_ffmpeg_reads(
    tmp_path: Path,
) -> None:
    for name in ("2026-11-10/9.mp4", "2026-11-9/10.m2ts", "2026-11-9/9.flv", "2.m4v", "1.odd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        suffix = ".ts" if name.endswith(".m2ts") else ".mp4" if name.endswith(".odd") else None
        target = tmp_path / name
        written = _write_video(target.with_suffix(suffix) if suffix else target, 2)
        written.rename(target)
    _write_image(tmp_path / "cover.jpg")
    (tmp_path / "notes.txt").write_text("no footage")
    (tmp_path / ".hidden.mp4").write_text("no footage")
    (tmp_path / "link").symlink_to(tmp_path)
    found = find_footage([str(tmp_path)])
    assert [source.name for source in found.sources] == [
        "1.odd", "2.m4v", "2026-11-9/9.flv", "2026-11-9/10.m2ts", "2026-11-10/9.mp4", tmp_path.name,
    ]  # fmt: skip
    assert [sum(1 for _ in FootageReader(source)) for source in found.sources] == [2, 2, 2, 2, 2, 1]
    assert {(each.path.name, each.reason) for each in found.left_out} == {
        ("notes.txt", "the content is no video"),
        ("link", "is a link to a folder"),
    }


def test_a_location_without_footage_is_named(tmp_path: Path) -> None:
    with pytest.raises(FootageError, match=f"{tmp_path}: it holds no images and no videos"):
        find_footage([str(tmp_path)])
    with pytest.raises(FootageError, match="/no/such: there is no such file or folder"):
        find_footage(["/no/such"])


def test_a_broken_image_is_skipped_and_counted(tmp_path: Path) -> None:
    for number in (1, 3):
        _write_image(tmp_path / f"{number}.png", number)
    (tmp_path / "0.png").write_bytes(b"no image")
    (tmp_path / "2.png").write_bytes(b"")
    reading = FootageReader(find_footage([str(tmp_path)]).sources[0], fps=5.0)
    found = [(each.time_s, int(each.picture.bgr().mean()), each.continues) for each in reading]
    assert found == [(0.2, 1, False), (pytest.approx(0.6), 3, True)]
    assert reading.losses == Losses(damaged=2)
    assert str(reading.losses) == "2 frames lost: damaged"


def test_a_video_gives_all_frames_with_their_times(tmp_path: Path) -> None:
    source = Source("v", _write_video(tmp_path / "v.mp4", 20, fps=10))
    times = [each.time_s for each in FootageReader(source)]
    assert times == pytest.approx([step / 10 for step in range(20)])
    assert read_frame_rate(source) == 10.0


@pytest.mark.parametrize(
    ("fps", "expected"),
    [(None, 30), (30.0, 30), (100.0, 30), (15.0, 15), (10.0, 10), (7.0, 7), (1.0, 1)],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])  # mkv rounds times to milliseconds
def test_a_video_is_sampled_at_a_lower_rate(
    tmp_path: Path, suffix: str, fps: float | None, expected: int
) -> None:
    source = Source("v", _write_video(tmp_path / f"v.{suffix}", 30, fps=30))
    assert len(list(FootageReader(source, fps=fps))) == expected


def test_a_limit_holds_for_each_source(tmp_path: Path) -> None:
    video = Source("v", _write_video(tmp_path / "v.mp4", 9))
    with open_frame_store(SHAPE) as store:
        assert store.add(FootageReader(video, limit=4)).frames == 4
        assert store.add(FootageReader(video, limit=100)).frames == 9
        assert [len(clip) for clip in store.clips()] == [4, 9]


@pytest.mark.parametrize("bad", [{"fps": 0.0}, {"fps": float("nan")}, {"fps": -1.0}, {"limit": 0}])
def test_bad_sampling_is_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
        FootageReader(Source("v", tmp_path), **bad)


@pytest.mark.parametrize("channels", [1, 3])
def test_clips_outlive_their_store_frame_by_frame(tmp_path: Path, channels: int) -> None:
    shape = FrameShape(32, 48, channels)
    one, other = (Source(name, _write_video(tmp_path / f"{name}.mp4", 5)) for name in "ab")
    clips = read_clips([one, other], shape)
    assert [clip.name for clip in clips] == ["a", "b"]
    for clip, source in zip(clips, (one, other), strict=True):
        expected = [Fitter(shape).fit(each.picture) for each in FootageReader(source)]
        assert np.array_equal(clip.frames, np.stack(expected))


def test_an_empty_store_has_no_clips() -> None:
    with open_frame_store(SHAPE) as store:
        assert store.clips() == []


@pytest.mark.parametrize("content", [b"", b"no video", b"RIFF\0\0\0\0AVI LIST"])
def test_a_file_that_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    source = Source(path.name, path)
    for read in (lambda: list(FootageReader(source)), lambda: read_frame_rate(source)):
        with pytest.raises(FootageError, match=r"broken\.mp4"):
            read()


def test_colour_is_seen(tmp_path: Path) -> None:
    grey = Source("g", _write_image(tmp_path / "grey" / "1.png", 90).parent)
    assert not has_colour(grey)
    coloured = np.zeros((20, 30, 3), np.uint8)
    coloured[:, :15] = (200, 30, 90)
    (tmp_path / "colour").mkdir()
    cv2.imwrite(str(tmp_path / "colour" / "1.png"), coloured)
    assert has_colour(Source("c", tmp_path / "colour"))


def test_footage_comes_over_http(tmp_path: Path, httpserver: HTTPServer) -> None:
    data = _write_video(tmp_path / "v.mp4", 6).read_bytes()
    httpserver.expect_request("/v.mp4").respond_with_data(data, content_type="video/mp4")
    (source,) = find_footage([httpserver.url_for("/v.mp4")]).sources
    assert source.is_live
    assert len(list(FootageReader(source))) == 6
    assert read_frame_rate(source) == 10.0


def test_a_url_that_cannot_be_read_is_named_without_credentials(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/cam").respond_with_data("no", status=404)
    url = f"http://admin:hunter2@127.0.0.1:{httpserver.port}/cam?password=hunter3"
    (source,) = find_footage([url]).sources
    with pytest.raises(FootageError, match=r"127\.0\.0\.1") as caught:
        list(FootageReader(source))
    for secret in ("admin", "hunter2", "hunter3"):
        assert secret not in str(caught.value)
        assert secret not in source.name


def test_times_that_start_again_or_jump_begin_a_run_and_small_disorder_does_not() -> None:
    line = Timeline(0.1)
    source_s = [5.0, 5.1, None, 5.3, 5.2, 5.5, 1.0, 1.1, 40.0, 40.1]
    placed = [line.place(time_s) for time_s in source_s]
    times = [time_s for time_s, _ in placed]
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 39.6, 39.7])
    assert [continues for _, continues in placed[1:]] == [True] * 5 + [False, True, False, True]


def test_runs_become_clips_unless_the_whole_is_requested(tmp_path: Path) -> None:
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(8):
            frame = av.VideoFrame.from_ndarray(drawn_picture(number), format="bgr24")
            frame.pts, frame.time_base = 100 * number + 60_000 * (number >= 5), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    source = Source("gap", path)
    assert [len(clip) for clip in read_clips([source], SHAPE)] == [5, 3]
    assert [len(clip) for clip in read_clips([source], SHAPE, whole=True)] == [8]
    with open_frame_store(SHAPE) as store:
        assert str(store.add(FootageReader(source))) == "8 frames, 60.7 s, in 2 runs"


def test_a_file_that_ends_before_its_index_does_says_so(tmp_path: Path) -> None:
    whole = _write_video(tmp_path / "whole.mp4", 30)
    faststart, cut = tmp_path / "fast.mp4", tmp_path / "cut.mp4"
    with (
        av.open(str(whole)) as read,
        av.open(str(faststart), "w", options={"movflags": "+faststart"}) as written,
    ):
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    data = faststart.read_bytes()
    cut.write_bytes(data[: len(data) * 2 // 3])
    reading = FootageReader(Source("cut", cut))
    count = sum(1 for _ in reading)
    assert 5 < count < 30
    assert count + reading.losses.frames == 30
    assert "missing at its end" in str(reading.losses)


def test_frames_are_freed_as_they_are_read(tmp_path: Path) -> None:
    """Without waiting for the garbage collector, which would keep hundreds of a camera."""
    source = Source("v", _write_video(tmp_path / "v.mp4", 60))
    gc.collect()
    gc.disable()
    try:
        for each in FootageReader(source):
            each.picture.jpeg(64)
        kept = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
    finally:
        gc.enable()
    assert kept <= 3


def test_a_file_that_only_resembles_footage_is_left_out_with_a_reason(tmp_path: Path) -> None:
    _write_video(tmp_path / "good.mp4", 2)
    _write_image(tmp_path / "folder.png" / "1.png")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe.mp4")
    odd = Path(os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff\xfe.mp4"))
    _write_video(tmp_path / "odd.mp4", 2).rename(odd)
    found = find_footage([str(tmp_path)])
    assert [source.name for source in found.sources] == [
        "folder.png",
        "good.mp4",
        "\ufffd\ufffd.mp4",
    ]
    assert {each.path.name for each in found.left_out} == {"dangling.mp4", "pipe.mp4"}
    assert [sum(1 for _ in FootageReader(source)) for source in found.sources] == [1, 2, 2]


def test_a_folder_without_footage_names_what_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no footage")
    with pytest.raises(FootageError, match=r"1 left out, as notes\.txt: the content is no video"):
        find_footage([str(tmp_path)])
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(FootageError, match="none of its pictures can be read"):
        list(FootageReader(find_footage([str(tmp_path)]).sources[0]))


def test_frames_that_a_decoder_drops_silently_are_counted(shared: Path, tmp_path: Path) -> None:
    data = bytearray((shared / "data" / "inputs" / "twice.ts").read_bytes())
    data[1000:12000] = bytes(11000)  # with the first key frame
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(data)
    reading = FootageReader(Source("damaged", damaged))
    assert sum(1 for _ in reading) == 60
    assert reading.losses.damaged >= 55


def test_a_recording_over_http_that_does_not_say_how_long_it_is_has_an_end(
    shared: Path, httpserver: HTTPServer
) -> None:
    data = (shared / "data" / "inputs" / "twice.ts").read_bytes()
    httpserver.expect_request("/twice.ts").respond_with_data(data, content_type="video/mp2t")
    source = Source("twice", httpserver.url_for("/twice.ts"))
    assert sum(1 for _ in FootageReader(source)) == 120


@pytest.mark.shared
def test_a_picture_that_declares_too_much_is_refused_before_it_is_decoded(
    shared: Path, tmp_path: Path
) -> None:
    decoy = shared / "data" / "inputs" / "two-sizes.jpg"
    with pytest.raises(FootageError, match="too large"):
        list(FootageReader(Source("decoy", decoy)))
    for number in range(2):
        _write_image(tmp_path / f"{number}.png")
    (tmp_path / "9.jpg").write_bytes(decoy.read_bytes())
    reader = FootageReader(Source("folder", tmp_path))
    assert (len(list(reader)), reader.losses.damaged) == (2, 1)
