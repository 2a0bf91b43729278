"""The helper that forks cameras' processes: what it costs nobody, and what it survives."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from service.capture.camera_capture import CameraCapture, CaptureState
from service.capture.capture_messages import MAX_JOB_BYTES
from service.capture.spawner import Spawner
from service.errors import SourceError
from tests.support.cameras import job, numbered_folder, take
from tests.support.servers import wait_for


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    """One of the test's own, whose helper it may kill."""
    made = Spawner()
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures to play for ever."""
    return numbered_folder(tmp_path_factory.mktemp("folder") / "pictures", 5)


def test_many_at_once_are_all_different_and_own_only_their_files(
    spawner: Spawner, folder: Path
) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: spawner.spawn(job(folder, loop=True)), range(8)))
    try:
        assert len({process.pid for process in made}) == 8
        for process in made:
            assert process.running
            # One thread reads all cameras: none of their pipes may hold it up.
            assert not os.get_blocking(process.out) and not os.get_blocking(process.errors)
            wait_for(lambda pid=process.pid: os.getsid(pid) == pid, "a session of its own")
            # Nothing in, two pipes (one of them as standard output as well), and what it reads.
            assert psutil.Process(process.pid).num_fds() <= 6
    finally:
        for process in made:
            process.close()
    wait_for(lambda: not any(psutil.pid_exists(each.pid) for each in made), "all to be reaped")


def test_what_has_ended_leaves_no_zombie_and_no_open_file(spawner: Spawner, folder: Path) -> None:
    spawner.spawn(job(folder)).close()
    assert spawner.pid is not None
    helper = psutil.Process(spawner.pid)
    wait_for(lambda: not helper.children(), "it to be reaped")
    files = helper.num_fds(), psutil.Process().num_fds()
    for _ in range(30):
        spawner.spawn(job(folder)).close()
    wait_for(lambda: not helper.children(), "all to be reaped")
    assert (helper.num_fds(), psutil.Process().num_fds()) == files


def test_a_helper_that_dies_is_replaced_and_its_cameras_come_back(
    spawner: Spawner, folder: Path
) -> None:
    camera = CameraCapture(job(folder, loop=True), ring_frames=100, spawner=spawner)
    camera.start()
    try:
        take(camera, 2)
        helper, child = spawner.pid, camera.pid
        assert helper is not None and child is not None
        os.kill(helper, signal.SIGKILL)
        wait_for(lambda: camera.pid not in (None, child), "another process")
        take(camera, 2)
        assert spawner.pid != helper
        wait_for(lambda: not psutil.pid_exists(child), "the old one to be reaped")
    finally:
        camera.close()


def test_a_job_that_is_too_long_is_refused_and_the_next_one_runs(
    spawner: Spawner, folder: Path
) -> None:
    with pytest.raises(SourceError):
        spawner.spawn(job("/" + "x" * MAX_JOB_BYTES))
    spawner.spawn(job(folder)).close()


def test_a_dead_camera_costs_no_process() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, and doesn't listen: refused
        spawner = Spawner()
        location = f"rtsp://127.0.0.1:{unused.getsockname()[1]}/x"
        camera = CameraCapture(job(location), ring_frames=4, spawner=spawner)
        camera.start()
        try:
            wait_for(lambda: camera.status.reconnects >= 2, "two more attempts")
        finally:
            camera.close()
    assert camera.status.state is CaptureState.DOWN
    assert camera.status.reason == "the connection is refused"
    assert spawner.pid is None
