"""A learner from a camera or videos to a bundle, killed and cancelled on the way."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model.bundles.bundle import load
from service import keys
from service.bus.connection import connect
from service.learn import learner as learner_module
from service.learn.learner import Learner
from service.learn.work_order import JUDGING
from service.learning_messages import LearningState
from service.tools.bench.rtsp import RtspServer
from tests.learn.conftest import LEASE_S, SIDE, WORK_S, LearnBench, find_job_processes
from tests.support import servers
from tests.support.rtsp import require_gstreamer, rtsp_server
from tests.support.servers import free_port, wait_for

PROGRAM = """
import sys, threading
from service.bus.connection import connect
from service.learn.learner import Learner
from service.settings import Settings

settings = Settings()
learner = Learner(settings, connect(settings.redis_url), lease_s=float(sys.argv[1]),
                  side=int(sys.argv[2]), is_idle=False)
learner.run(threading.Event())
"""


def test_a_camera_is_learned_though_everything_is_killed(
    bench: LearnBench, walkway: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rtsp_server({"/one": walkway}) as base:
        bench.ask(f"{base}/one", seconds=3600.0)
        with bench.learner():
            wait_for(lambda: _count_frames(bench) > 20, "frames")
            # Somebody writes the URL in another way: that may be another camera.
            url = f"{base.replace('rtsp', 'RTSP')}/one"
            bench.ask(url, seconds=3600.0)
            wait_for(lambda: len(list(bench.folder().glob("recording/*/frames.bin"))) == 2, "it")
        monkeypatch.setenv("NORMWATCH_REDIS_URL", bench.url)
        monkeypatch.setenv("NORMWATCH_DATA_DIR", str(bench.settings.data_dir))
        command = [sys.executable, "-P", "-c", PROGRAM, str(LEASE_S), str(SIDE)]
        with subprocess.Popen(command) as process:
            wait_for(lambda: _count_frames(bench) > 70, "more frames", WORK_S)
            bench.ask(url, seconds=3600.0, train_now=True, epochs=4)
            wait_for(lambda: _has_trained(bench), "a step", WORK_S)
            (trainer,) = find_job_processes()
            process.kill()
        trainer.wait(30)
    # The learner was killed in the middle of the training, and the camera is gone.
    assert bench.folder().joinpath("checkpoint").exists()
    with bench.learner() as learner:
        wait_for(find_job_processes, "a process")
        find_job_processes()[0].kill()
        ready = bench.wait_for_state(LearningState.READY)
    assert ready.learner == learner.id
    origin = load(bench.settings.user_models / "cam-one").provenance
    assert origin.frames + origin.held_out_frames > 60
    assert list(bench.settings.user_models.glob(".learning/*")) == []


def _has_trained(bench: LearnBench) -> bool:
    status = bench.status()
    return status is not None and status.state is LearningState.TRAINING and status.progress > 0


def _count_frames(bench: LearnBench, ident: str = "one") -> int:
    """The frames of the longest recording of a source."""
    indices = bench.folder(ident).glob("recording/*/index.jsonl")
    return max((index.read_bytes().count(b"\n") for index in indices), default=0)


def test_too_little_footage_is_not_learned_unless_it_must_be(
    bench: LearnBench, walkway: Path
) -> None:
    bench.ask(walkway, walkway.with_name("missing.mp4"), ident="missing")
    bench.ask(walkway, seconds=4.0)
    bench.ask(walkway, seconds=20.0, preset="huge", train_anyway=True, ident="preset")
    with bench.learner():
        failed = bench.wait_for_state(LearningState.FAILED)
        assert failed.footage is not None
        assert failed.reason == failed.footage.advice
        assert failed.footage.seconds == pytest.approx(4.0, abs=0.2)
        assert "no such file" in bench.wait_for_state(LearningState.FAILED, "missing").reason
        assert "paper" in bench.wait_for_state(LearningState.FAILED, "preset").reason
    assert not list(bench.settings.user_models.glob("*"))


def test_a_learning_waits_for_its_turn_and_is_cancelled(bench: LearnBench, walkway: Path) -> None:
    lock_file = bench.folder().parent / "training.lock"
    lock_file.parent.mkdir(parents=True)
    with bench.learner() as learner, lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bench.ask(walkway, seconds=4.0)
        wait_for(find_job_processes, "a process")
        (reader,) = find_job_processes()
        reader.suspend()
        # It was ordered to refuse so little footage; meanwhile the owner presses "Train now".
        bench.ask(walkway, seconds=4.0, train_anyway=True, train_now=True)
        wait_for(lambda: _is_train_now_known(learner), "the learner's next round")
        reader.resume()
        queued = bench.wait_for_state(LearningState.QUEUED)
        assert reader.pid not in [process.pid for process in find_job_processes()]
        assert "another learning is in training" in queued.reason
        bench.ask(walkway, train_anyway=True, is_cancelled=True)
        bench.wait_for_state(LearningState.CANCELLED)
        assert find_job_processes() == []
        assert not bench.folder().exists()
        bench.ask(walkway, ident="later", is_cancelled=True)
        bench.wait_for_state(LearningState.CANCELLED, "later")


def _is_train_now_known(learner: Learner) -> bool:
    return all(run.job.train_now for run in learner._runs.values())


def test_a_process_that_dies_at_the_same_place_is_not_started_again(
    bench: LearnBench, walkway: Path
) -> None:
    lock_file = bench.folder().parent / "training.lock"
    lock_file.parent.mkdir(parents=True)
    with bench.learner(), lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bench.ask(walkway, seconds=4.0, train_anyway=True)
        # Each time in another state than the time before: that alone is no progress.
        for state in (LearningState.QUEUED, LearningState.COLLECTING, LearningState.QUEUED):
            bench.wait_for_state(state)
            wait_for(find_job_processes, "a process")
            find_job_processes()[0].kill()
        failed = bench.wait_for_state(LearningState.FAILED)
    assert "again and again" in failed.reason


def test_footage_decides_once_it_is_complete_or_the_time_is_over(
    bench: LearnBench, walkway: Path
) -> None:
    lock_file = bench.folder().parent / "training.lock"
    lock_file.parent.mkdir(parents=True)
    with rtsp_server({"/one": walkway}) as base, bench.learner(), lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bench.ask(f"{base}/one", seconds=8.0)
        bench.ask(f"{base}/one", ident="late", seconds=3600.0)
        bench.ask(f"{base}/one", ident="over", seconds=3600.0, train_anyway=True)
        wait_for(lambda: _reason(bench) == JUDGING, "the review of all", WORK_S)
        status = bench.status()
        assert status is not None and status.remaining_s is None
        assert status.progress == pytest.approx(1.0, abs=0.05)
        wait_for(lambda: "minutes" in _reason(bench), "the advice", WORK_S)
        wait_for(lambda: _count_frames(bench, "over") > 70, "enough frames", WORK_S)
        wait_for(lambda: _count_frames(bench, "late") > 20, "frames", WORK_S)
        for ident in ("late", "over"):
            began_at = time.time() - 2 * 86_400.0
            os.utime(bench.folder(ident) / "begun", (began_at, began_at))
        late = bench.wait_for_state(LearningState.FAILED, "late")
        assert late.footage is not None and late.footage.advice in late.reason
        assert "a day more than was asked for" in late.reason
        bench.wait_for_state(LearningState.QUEUED, "over")


def test_a_camera_that_refuses_fails_and_one_that_is_away_is_waited_for(
    bench: LearnBench, walkway: Path
) -> None:
    require_gstreamer()
    server = RtspServer({"/one": walkway}, port=free_port())
    url = f"rtsp://127.0.0.1:{server.port}/one"
    with rtsp_server({"/one": walkway}, "user", "right") as base, bench.learner():
        bench.ask(f"{base.replace('//', '//user:wr0ng@')}/one", ident="refused")
        bench.ask("upload", ident="upload")
        bench.ask(url)
        refused = bench.wait_for_state(LearningState.FAILED, "refused").reason
        assert "wrong user name or password" in refused and "wr0ng" not in refused
        assert "name videos" in bench.wait_for_state(LearningState.FAILED, "upload").reason
        wait_for(lambda: _reason(bench) == "the camera is away: the connection is refused", "it")
        server.start()
        try:
            wait_for(lambda: _count_frames(bench) > 5, "frames")
            assert _reason(bench) == ""
            server.kill()
            wait_for(lambda: _reason(bench).startswith("the camera is away"), "an outage")
            server.start()
            before = _count_frames(bench)
            wait_for(lambda: _count_frames(bench) > before, "frames after the outage", 60)
        finally:
            server.kill()
    assert bench.folder().exists()


def test_footage_is_recorded_while_redis_is_away(
    bench: LearnBench, walkway: Path, tmp_path: Path
) -> None:
    (tmp_path / "bus").mkdir()
    server = servers.valkey(tmp_path / "bus")
    server.start()
    with connect(server.url) as redis, rtsp_server({"/one": walkway}) as base:
        bench = LearnBench(redis, server.url, bench.settings)
        bench.ask(f"{base}/one", seconds=600.0)
        with bench.learner():
            wait_for(lambda: _count_frames(bench) > 5, "frames")
            server.kill()
            before = _count_frames(bench)
            wait_for(lambda: _count_frames(bench) > before + 30, "frames without Redis")
            server.start()
            missed = bench.status()
            wait_for(lambda: bench.status() not in (None, missed), "a report")
            status = bench.status()
            assert status is not None and status.state is LearningState.COLLECTING
    server.stop()


def _reason(bench: LearnBench) -> str:
    status = bench.status()
    return "none" if status is None else status.reason


def test_cameras_are_recorded_together_up_to_the_limit_and_deleted_with_their_jobs(
    bench: LearnBench, walkway: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner_module, "MISSING_S", 0.1)
    monkeypatch.setattr(learner_module, "DELETE_S", 0.5)
    monkeypatch.setattr(learner_module, "BUSY_WAIT_S", 0.1)
    frame_bytes = 3 * SIDE * SIDE
    bench.settings = bench.settings.model_copy(update={"learning_bytes": 60 * frame_bytes})
    with rtsp_server({"/one": walkway, "/two": walkway}) as base, bench.learner():
        bench.ask(f"{base}/one", seconds=600.0)
        bench.ask(f"{base}/two", seconds=600.0, ident="two")
        wait_for(lambda: "GiB" in _reason(bench), "the limit")
        assert _count_frames(bench) >= 20
        assert bench.folder("two").joinpath("recording").exists()
        bench.drop()
        wait_for(lambda: not bench.folder().exists(), "the deletion of a recording")
        two = bench.status("two")
        assert two is not None and two.state is LearningState.COLLECTING
    assert bench.redis.get(keys.learner("two")) is None, "the next learner may have it at once"
