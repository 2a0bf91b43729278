"""Cameras of each kind, and the ways of decoding."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import av
import numpy as np
import pytest

from model.footage.footage_error import FootageError
from model.footage.locations import Location, LocationKind
from model.footage.source_pictures import VideoPicture
from model.footage.video_source import OpenOptions, make_ffmpeg_options, open_video
from service.capture import live
from service.capture.camera_capture import CameraCapture, CaptureState
from service.capture.capture_messages import CapturedFrame
from service.capture.clock import Clock
from tests.support.cameras import expected_frame, job, numbered_picture, read_number, take
from tests.support.footage import jpeg, write_video
from tests.support.http_cameras import endless, hls, http_camera, mjpeg, segments, snapshots
from tests.support.rtmp import rtmp_camera
from tests.support.rtsp import live_camera, rtsp_server
from tests.support.servers import wait_for


@pytest.fixture
def captures() -> Iterator[list[CameraCapture]]:
    """Those that a test puts into it are started at once, and end with it."""
    made: list[CameraCapture] = []
    yield made
    for each in made:
        each.stop()
    for each in made:
        each.close()


def started(captures: list[CameraCapture], location: str, **changes: object) -> CameraCapture:
    captures.append(CameraCapture(job(location, **changes), ring_frames=1000))
    captures[-1].start()
    return captures[-1]


def rises_evenly(frames: list[CapturedFrame], gap_s: float) -> None:
    """Times rise, and are about so far apart on the whole."""
    times = [frame.captured_at for frame in frames]
    assert times == sorted(set(times))
    assert np.median(np.diff(times)) == pytest.approx(gap_s, rel=0.4)


def test_mjpeg_is_told_apart_from_its_made_up_rate_and_its_sizes_are_followed(
    captures: list[CameraCapture],
) -> None:
    with http_camera(mjpeg(fps=20.0, sizes=((96, 96), (128, 192)))) as base:
        whole, tenth = started(captures, f"{base}/"), started(captures, f"{base}/", fps=5.0)
        frames, fewer = take(whole, 40), take(tenth, 6)
    numbers = [read_number(frame.pixels) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    cuts = [number for number, frame in zip(numbers, frames, strict=True) if frame.cut]
    assert [number for number in cuts[1:] if number % 16] == []
    assert len(cuts) >= 3
    rises_evenly(frames, 0.05)
    rises_evenly(fewer[1:], 0.2)


@pytest.mark.parametrize("path", ["snapshot.jpg", "cgi-bin/picture?channel=1"])
def test_a_snapshot_is_asked_for_at_the_frame_rate_and_after_an_outage(
    captures: list[CameraCapture], path: str
) -> None:
    with http_camera(snapshots(lambda number: 503 if 12 <= number < 15 else 200)) as base:
        camera = started(captures, f"{base}/{path}", fps=8.0)
        frames = take(camera, 30)
    numbers = [read_number(frame.pixels) for frame in frames]
    assert numbers[:12] == list(range(12))
    assert numbers[12:] == list(range(15, 15 + len(numbers) - 12)), "the outage is reported"
    assert [number for number, frame in zip(numbers, frames, strict=True) if frame.cut] == [0, 15]
    assert camera.status.reconnects >= 1
    rises_evenly(frames, 0.125)


def test_snapshots_that_cannot_be_decoded_are_counted_and_then_an_outage(
    captures: list[CameraCapture],
) -> None:
    broken = [False]

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = jpeg(numbered_picture(1))
        request.send_response(200)
        request.send_header("Content-Type", "image/jpeg")
        sent = body[:40] if broken[0] else body
        request.send_header("Content-Length", str(len(sent)))
        request.end_headers()
        request.wfile.write(sent)

    with http_camera(answer) as base:
        camera = started(captures, f"{base}/snapshot.jpg", fps=10.0)
        take(camera, 3)
        broken[0] = True
        wait_for(lambda: camera.status.state is CaptureState.DOWN, "the outage")
        assert camera.status.lost >= 10
        assert camera.status.reason == "its pictures can't be decoded"
        broken[0] = False
        wait_for(lambda: camera.status.state is CaptureState.PLAYING, "the return")


def test_of_two_videos_of_a_camera_the_larger_one_is_watched(
    captures: list[CameraCapture], tmp_path: Path
) -> None:
    small = write_video(
        tmp_path / "small.mp4", (numbered_picture(200, (64, 64)) for _ in range(60))
    )
    large = write_video(tmp_path / "large.mp4", (numbered_picture(i, (96, 128)) for i in range(60)))
    with rtsp_server({"/both": [small, large]}) as base:
        frames = take(started(captures, f"{base}/both"), 10)
    assert [read_number(frame.pixels) for frame in frames][:3] == [0, 1, 2]


def test_a_finished_playlist_is_played_once_and_a_live_one_at_its_pace(
    captures: list[CameraCapture],
) -> None:
    parts = segments(8)
    with http_camera(hls(parts[:2], live=False)) as done, http_camera(hls(parts, live=True)) as on:
        finished = started(captures, f"{done}/one.m3u8")
        live = started(captures, f"{on}/one.m3u8", read_timeout_s=6.0)
        shown = take(live, 35)
        played = take(finished, 20)
        wait_for(lambda: finished.status.state is CaptureState.ENDED, "the end")
    assert [read_number(frame.pixels) for frame in played] == list(range(20))
    numbers = [read_number(frame.pixels) for frame in shown]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    rises_evenly(shown, 0.1)


def test_times_that_start_again_do_not_stop_a_camera(captures: list[CameraCapture]) -> None:
    (part,) = segments(1)
    with http_camera(endless(part, len(part))) as base:
        camera = started(captures, f"{base}/live", fps=10.0)
        frames = take(camera, 45)
    assert camera.status.reconnects == 0
    times = [frame.captured_at for frame in frames]
    assert times == sorted(set(times))
    assert max(np.diff(times)) < 3.0
    assert len({read_number(frame.pixels) for frame in frames}) >= 8


def test_rtsp_over_udp_gives_the_same_frames(captures: list[CameraCapture], tmp_path: Path) -> None:
    video = write_video(tmp_path / "one.mp4", (numbered_picture(i) for i in range(30)))
    with rtsp_server({"/one": video}) as base:
        frames = take(started(captures, f"{base}/one", transport="udp"), 20)
    numbers = [read_number(frame.pixels) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_rtmp_gives_every_frame(captures: list[CameraCapture], tmp_path: Path) -> None:
    video = write_video(tmp_path / "one.flv", (numbered_picture(i) for i in range(30)))
    with rtmp_camera(video) as url:
        frames = take(started(captures, url), 30)[:30]
    assert [read_number(frame.pixels) for frame in frames] == list(range(30))
    rises_evenly(frames[-15:], 0.1)


def write_with_b_frames(path: Path, count: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        stream.gop_size = 10
        stream.options = {"crf": "12", "preset": "medium", "bf": "3", "x264-params": "scenecut=0"}
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_key_frames_alone_are_given_at_once_and_right(
    captures: list[CameraCapture], tmp_path: Path
) -> None:
    video = write_with_b_frames(tmp_path / "b.mp4", 45)
    with rtsp_server({"/b": video}) as base:
        began = time.time()
        frames = take(started(captures, f"{base}/b", decode="keyframes"), 4)
    assert [read_number(frame.pixels) for frame in frames] == [0, 10, 20, 30]
    np.testing.assert_allclose(frames[3].pixels, expected_frame(30), atol=12)
    # Not a key frame late: a second before the next one would have pushed it out.
    assert frames[3].captured_at - frames[0].captured_at < 4.0
    assert frames[0].captured_at >= began


@pytest.mark.parametrize("encoding", ["h264", "jpeg"])
def test_a_live_camera_that_changes_size_and_freezes(
    captures: list[CameraCapture], encoding: str
) -> None:
    with live_camera(encoding) as source:
        camera = started(captures, source.url, freeze_after_s=1.5)
        take(camera, 10)
        source.tell(size=[320, 240])
        wait_for(lambda: any(frame.cut for frame in take(camera, 1)), "a cut")
        assert camera.status.reconnects == 0
        source.tell(frozen=True)
        wait_for(lambda: camera.status.state is CaptureState.FROZEN, "the freeze")
        assert camera.status.reason == "the same picture again and again"
        wait_for(lambda: camera.status.frozen >= 15, "the count")
        take(camera, 0)
        source.tell(frozen=False)
        after = take(camera, 5)
        assert after[0].cut and not after[1].cut
        status = camera.status
        assert status.state is CaptureState.PLAYING
        handed_over = after[-1].sequence + 1
        assert status.captured >= handed_over > status.frozen


def test_a_local_device_is_asked_for_by_its_path() -> None:
    device = Location.parse("/dev/video0")
    assert device.kind is LocationKind.DEVICE
    assert Location.parse("/dev/video0/x").kind is LocationKind.FILE
    assert device.ffmpeg_url == "/dev/video0"
    assert make_ffmpeg_options(device, OpenOptions(device_fps=10.0)) == {"framerate": "10"}
    assert make_ffmpeg_options(device, OpenOptions()) == {}
    camera = Location.parse("rtsp://host/x")
    assert make_ffmpeg_options(camera, OpenOptions(transport="udp"))["rtsp_transport"] == "udp"
    with pytest.raises(FootageError, match="there is no such device"):
        open_video(Location.parse("/dev/video99"))


def test_an_absent_device_is_away_and_tried_again(captures: list[CameraCapture]) -> None:
    camera = started(captures, "/dev/video99")
    wait_for(lambda: camera.status.reconnects >= 2, "more attempts")
    assert camera.status.state is CaptureState.DOWN
    assert camera.status.reason == "there is no such device"


def test_pictures_that_are_not_taken_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of motion JPEG; the frames that are taken are those that decoding all would give."""
    path = tmp_path / "one.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=20)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuvj420p"
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    decoded: list[int] = []
    real = live.PacketDecoder.decode

    def counted(self: live.PacketDecoder, packet: av.Packet) -> list[VideoPicture]:
        decoded.append(packet.size)
        return real(self, packet)

    monkeypatch.setattr(live.PacketDecoder, "decode", counted)
    now = [1000.0]
    clock = Clock(now=lambda: now[0], wait=lambda s: None)
    taken = []
    with open_video(Location.parse(str(path))) as video:
        played = live.Live(job(path, fps=5.0), clock, captured_at=0.0)
        for each in played.play(video):
            now[0] += 0.05
            if isinstance(each, live.LiveFrame):
                taken.append(read_number(each.fitted))
    assert taken == list(range(0, 40, 4))
    assert sum(size > 0 for size in decoded) == len(taken)
