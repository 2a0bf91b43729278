"""Cameras as they are: a real RTSP server, real files, real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from pytest_httpserver import HTTPServer

from service.capture.backoff import Backoff
from service.capture.camera_capture import CameraCapture, CaptureState
from service.capture.capture_messages import CaptureJob
from service.tools.bench.rtsp import RtspServer
from tests.support.cameras import job, numbered_folder, numbered_video, read_number, take
from tests.support.rtsp import require_gstreamer, rtsp_server
from tests.support.servers import free_port, wait_for

PASSWORD = "p@ss#w!rd/x"
Open = Callable[..., CameraCapture]


@pytest.fixture
def capture() -> Iterator[Open]:
    """Makes captures that end with the test."""
    made: list[CameraCapture] = []

    def start(capture_job: CaptureJob, ring_frames: int = 1000) -> CameraCapture:
        # Short pauses: what grows is tested with Backoff itself.
        backoff = Backoff(jitter=lambda: 0.9)
        made.append(CameraCapture(capture_job, ring_frames=ring_frames, backoff=backoff))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.close()
        assert each.pid is None


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of numbered pictures."""
    return numbered_video(tmp_path_factory.mktemp("video") / "one.mp4", 30)


def test_every_rtsp_frame_arrives_once_in_order_and_unchanged(capture: Open, video: Path) -> None:
    with rtsp_server({"/one": video}) as base:
        frames = take(capture(job(f"{base}/one")), 30)[:30]
    assert [frame.sequence for frame in frames] == list(range(30))
    assert [read_number(frame.pixels) for frame in frames] == list(range(30))
    assert [frame.cut for frame in frames] == [True] + [False] * 29
    times = [frame.captured_at for frame in frames]
    assert times == sorted(set(times))
    assert 1.5 < times[-1] - times[0] < 6.0
    previews = [frame.preview for frame in frames if frame.preview is not None]
    assert 1 <= len(previews) < 15
    picture = cv2.imdecode(np.frombuffer(previews[0], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape == (96, 96, 3)


def test_a_password_with_special_characters_works_and_a_wrong_one_is_named(
    capture: Open, video: Path
) -> None:
    with rtsp_server({"/one": video}, "us er", PASSWORD) as base:
        host = base.removeprefix("rtsp://")
        good = capture(job(f"rtsp://us er:{PASSWORD}@{host}/one"))
        bad = capture(job(f"rtsp://us er:secret-guess@{host}/one"))
        assert read_number(take(good, 1)[0].pixels) == 0
        wait_for(lambda: bad.status.state is CaptureState.FAILED, "the refusal")
    assert bad.status.reconnects == 0, "a minute passes before it is tried again"
    assert bad.status.reason == "wrong user name or password (401)"


def test_a_camera_that_is_killed_and_comes_back_is_captured_again(
    capture: Open, video: Path
) -> None:
    require_gstreamer()
    server = RtspServer({"/one": video}, port=free_port())
    camera = capture(job(f"{server.base}/one"))
    wait_for(lambda: camera.status.state is CaptureState.DOWN, "the absent camera")
    assert camera.status.reason == "the connection is refused"
    server.start()
    before = take(camera, 5)
    server.kill()
    wait_for(lambda: camera.status.state is CaptureState.DOWN, "the killed camera")
    before += take(camera, 0)
    server.start()
    try:
        after = take(camera, 5)
    finally:
        server.kill()
    assert [frame.cut for frame in after[:5]] == [True, False, False, False, False]
    assert read_number(after[0].pixels) == 0
    assert after[0].sequence == before[-1].sequence + 1
    assert camera.status.reconnects >= 2


def test_a_source_that_accepts_and_says_nothing_is_given_up_and_tried_again(capture: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        camera = capture(job(f"rtsp://127.0.0.1:{port}/one", connect_timeout_s=1.0))
        wait_for(lambda: camera.status.state is CaptureState.DOWN, "the time limit")
        assert camera.status.reason == "no answer in time"
        wait_for(lambda: camera.status.reconnects >= 2, "more attempts")


def test_garbage_from_a_camera_is_no_video(capture: Open, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/live").respond_with_data(np.random.default_rng(0).bytes(100_000))
    camera = capture(job(httpserver.url_for("/live")))
    wait_for(lambda: camera.status.state is CaptureState.FAILED, "the refusal")
    assert camera.status.reason == "the content is no video"
    wait_for(lambda: camera.status.reconnects >= 1, "more attempts")


def test_a_stopped_process_is_killed_and_replaced(capture: Open, tmp_path: Path) -> None:
    folder = numbered_folder(tmp_path / "pictures", 5)
    camera = capture(job(folder, loop=True, read_timeout_s=0.5))
    take(camera, 3)
    stuck = camera.pid
    assert stuck is not None
    os.kill(stuck, signal.SIGSTOP)
    wait_for(lambda: camera.pid not in (None, stuck), "another process")
    take(camera, 3)
    wait_for(lambda: not psutil.pid_exists(stuck), "the old one to be reaped")


def test_a_file_is_played_at_its_pace_and_ends(capture: Open, video: Path) -> None:
    camera = capture(job(video))
    frames = take(camera, 30)
    assert [read_number(frame.pixels) for frame in frames] == list(range(30))
    gaps = np.diff([frame.captured_at for frame in frames])
    np.testing.assert_allclose(gaps[:5], 0.1, atol=1e-3)
    wait_for(lambda: camera.status.state is CaptureState.ENDED, "the end")


def test_a_looped_file_is_cut_at_the_seam(capture: Open, tmp_path: Path) -> None:
    camera = capture(job(numbered_video(tmp_path / "short.mp4", 5, fps=20), loop=True))
    frames = take(camera, 12)[:12]
    assert [read_number(frame.pixels) for frame in frames] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert [i for i, frame in enumerate(frames) if frame.cut] == [0, 5, 10]
    times = [frame.captured_at for frame in frames]
    assert times == sorted(set(times))


def test_a_target_rate_takes_every_other_frame(capture: Open, video: Path) -> None:
    frames = take(capture(job(video, fps=5.0)), 15)
    assert [read_number(frame.pixels) for frame in frames] == list(range(0, 30, 2))


def test_a_folder_is_played_at_the_rate(capture: Open, tmp_path: Path) -> None:
    frames = take(capture(job(numbered_folder(tmp_path / "pictures", 12), fps=20.0)), 12)
    assert [read_number(frame.pixels) for frame in frames] == list(range(12))
    np.testing.assert_allclose(np.diff([f.captured_at for f in frames])[:3], 0.05, atol=1e-3)


def test_a_full_ring_drops_the_oldest(capture: Open, video: Path) -> None:
    camera = capture(job(video), ring_frames=4)
    wait_for(lambda: camera.status.state is CaptureState.ENDED, "the end")
    assert (camera.status.captured, camera.status.dropped) == (30, 26)
    left = take(camera, 4)
    assert [frame.sequence for frame in left] == [26, 27, 28, 29]
    assert left[0].cut


def test_a_missing_file_fails_with_a_reason(capture: Open, tmp_path: Path) -> None:
    camera = capture(job(tmp_path / "none.mp4"))
    wait_for(lambda: camera.status.state is CaptureState.FAILED, "the failure")
    assert camera.status.reason == "there is no such file or folder"


def test_a_dead_link_or_a_damaged_file_does_not_stop_a_folder(
    capture: Open, tmp_path: Path
) -> None:
    numbered_video(tmp_path / "1.mp4", 6)
    (tmp_path / "2.mp4").symlink_to(tmp_path / "absent")
    (tmp_path / "3.mp4").write_bytes(b"")
    numbered_video(tmp_path / "4.mp4", 6)
    camera = capture(job(tmp_path))
    wait_for(lambda: camera.status.state is CaptureState.ENDED, "the end")
    frames = take(camera, 12)
    assert [read_number(frame.pixels) for frame in frames] == [*range(6), *range(6)]
    assert camera.status.reconnects == 0


def test_one_picture_that_is_looped_keeps_the_rate(capture: Open, tmp_path: Path) -> None:
    camera = capture(job(numbered_folder(tmp_path / "one", 1), fps=20.0, loop=True))
    times = [frame.captured_at for frame in take(camera, 6)]
    np.testing.assert_allclose(np.diff(times), 0.05, atol=0.02)


def test_no_argument_of_the_process_holds_the_credentials(capture: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        camera = capture(job(f"rtsp://user:hidden@127.0.0.1:{silent.getsockname()[1]}/x"))
        wait_for(lambda: camera.pid is not None, "the process")
        assert camera.pid is not None
        for process in (psutil.Process(camera.pid), *psutil.Process().children(recursive=True)):
            assert "hidden" not in " ".join((*process.cmdline(), *process.environ().values()))


_PARENT = """
import sys, time
from pathlib import Path
from service.capture.camera_capture import CameraCapture
from tests.support.cameras import job
camera = CameraCapture(job(sys.argv[1], loop=True), ring_frames=4)
camera.start()
while camera.pid is None or not camera.status.captured:
    time.sleep(0.05)
print(camera.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_parent_leaves_no_process(video: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(video)], stdout=subprocess.PIPE, cwd=root
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()
    wait_for(lambda: not psutil.pid_exists(child), "the orphan's end")


def test_pictures_of_every_frame_are_made_while_somebody_looks_closely(
    capture: Open, video: Path
) -> None:
    wanted = job(str(video), loop=True, preview_every_s=100.0, close_preview_every_s=1e-6)
    opened = capture(wanted)
    opened.look_closely()  # before it has begun: nothing happens
    wait_for(lambda: len(opened.ring) >= 3, "frames")
    pictured = [frame.preview is not None for frame in iter(opened.pop, None)]
    assert pictured[1:] == [False] * (len(pictured) - 1)
    process = opened.pid
    opened.look_closely()

    def all_pictured() -> bool:
        frames = list(iter(opened.pop, None))
        return len(frames) >= 3 and all(frame.preview is not None for frame in frames)

    def waited() -> bool:
        return len(opened.ring) >= 3 and all_pictured()

    wait_for(waited, "pictures of all frames")
    assert opened.pid == process
    assert opened.status.reconnects == 0
