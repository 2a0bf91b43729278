"""Redis and the database away, full or locked, under the whole service: what it goes on with, and
that nothing that was acknowledged is lost.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.table import note
from tests.support.footage import draw_clip
from tests.support.servers import wait_for
from tests.support.service import Service, running_service

FPS = 5.0
LOCKED_S = 30.0
NEW = 15
"""Scores that must come after an outage."""
TMPFS_BYTES = 192 * 1024 * 1024


@contextmanager
def run_watched(data: Path, models: Path, pictures: Path) -> Iterator[tuple[Service, str]]:
    """The service with one camera, a folder that is played for ever."""
    settings = {
        "NORMWATCH_MODELS_DIR": str(models),
        "NORMWATCH_MEDIA_DIRS": str(pictures.parent),
        "NORMWATCH_SNAPSHOT_EVERY_S": "0.5",
    }
    with running_service(data, **settings) as service:
        stream = service.create(
            "/streams", name="yard", source=str(pictures), model="small", fps=FPS, loop=True
        )
        wait_for(lambda: len(service.scores(stream["id"])) > NEW, "the first scores", 60)
        yield service, stream["id"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures that the camera plays."""
    folder = tmp_path_factory.mktemp("pictures") / "yard"
    draw_clip(folder, 0, 80)
    return folder


def more(service: Service, stream_id: str, count: int, what: str, timeout_s: float = 60) -> None:
    """Wait until so many scores more are recorded than now."""
    before = len(service.scores(stream_id))
    wait_for(lambda: len(service.scores(stream_id)) >= before + count, what, timeout_s)


def status(service: Service, stream_id: str) -> dict[str, Any]:
    """How the stream is doing."""
    found: dict[str, Any] = service.client.get(f"/streams/{stream_id}").json()["status"]
    return found


def count_missing(frames: list[int]) -> int:
    """Count the numbers that are left out."""
    return frames[-1] - frames[0] + 1 - len(frames) if frames else 0


def gap_s(items: list[dict[str, Any]], what: str) -> float:
    """The longest time between two scores."""
    times = [time_of(item[what]) for item in items]
    return max(b - a for a, b in pairwise(times))


def time_of(text: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def check_all_there(service: Service, stream_id: str) -> tuple[int, int]:
    """Each captured frame has one score, or is counted as dropped; scores, and drops."""
    items = service.scores(stream_id)
    frames = [item["frame"] for item in items]
    assert frames == sorted(set(frames))
    reported = status(service, stream_id)
    lost = count_missing(frames)
    assert lost <= sum(reported["dropped"].values())
    return len(frames), lost


def test_a_locked_database_loses_no_score(tmp_path: Path, models_dir: Path, pictures: Path) -> None:
    data = tmp_path / "data"
    with run_watched(data, models_dir, pictures) as (service, stream_id):
        with closing(sqlite3.connect(data / "normwatch.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            locked_at = time.time()
            began = time.monotonic()
            refused = service.client.post("/streams", json={"name": "x", "source": "upload"})
            answered_s = time.monotonic() - began
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.json()["error"]["code"]
            assert service.client.get("/healthz").is_success
            assert service.client.get(f"/streams/{stream_id}").status_code in (200, 503)
            time.sleep(max(0.0, locked_at + LOCKED_S - time.time()))
            other.execute("ROLLBACK")
        more(service, stream_id, NEW, "scores after the lock")
        wait_for(
            lambda: time_of(service.scores(stream_id)[-1]["captured_at"]) > locked_at + LOCKED_S,
            "the backlog's end",
        )
        count, lost = check_all_there(service, stream_id)
        items = service.scores(stream_id)
        during = [i for i in items if 0 < time_of(i["captured_at"]) - locked_at < LOCKED_S]
    assert len(during) + lost > 0.5 * FPS * LOCKED_S
    assert len(during) > 5 * lost
    note(
        f"database locked for {LOCKED_S:.0f} s",
        "writes answer 503 with Retry-After, scoring goes on, no score is lost",
        f"503 after {answered_s:.1f} s; {len(during)} frames were scored meanwhile and recorded "
        f"afterwards, {lost} of {count} in all left out by overload",
    )


def test_a_killed_redis_comes_back_with_its_data(
    tmp_path: Path, models_dir: Path, pictures: Path
) -> None:
    with run_watched(tmp_path / "data", models_dir, pictures) as (service, stream_id):
        service.kill("redis")
        more(service, stream_id, NEW, "scores after Redis was killed")
        count, lost = check_all_there(service, stream_id)
        gap = gap_s(service.scores(stream_id), "captured_at")
    assert count >= 2 * NEW
    note(
        "Redis killed, restarted with its data",
        "scoring goes on meanwhile; no score twice, none lost",
        f"{count} scores, {lost} dropped and counted, longest gap between frames {gap:.1f} s",
    )


def test_a_redis_that_lost_its_data_is_filled_again(
    tmp_path: Path, models_dir: Path, pictures: Path
) -> None:
    data = tmp_path / "data"
    with run_watched(data, models_dir, pictures) as (service, stream_id):
        before = service.scores(stream_id)
        victim = service.child("redis")
        victim.kill()
        for entry in (data / "redis").iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        wait_for(service.ready, "a new Redis")
        more(service, stream_id, NEW, "scores after Redis lost its data")
        after = service.scores(stream_id)
        gap = gap_s(after, "captured_at")
    frames = [item["frame"] for item in after]
    assert frames == sorted(set(frames))
    assert [item["frame"] for item in before] == frames[: len(before)]
    note(
        "Redis killed, restarted without its data",
        "streams come back from the database, numbering goes on, no score twice",
        f"longest gap between recorded frames {gap:.1f} s",
    )


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system that a test can fill."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_stops_nothing_for_good(
    tmp_path: Path, models_dir: Path, pictures: Path
) -> None:
    with (
        small_disk(tmp_path / "disk") as disk,
        run_watched(disk / "data", models_dir, pictures) as (service, stream_id),
    ):
        before = service.scores(stream_id)
        ballast = disk / "ballast"
        # Without a buffer: what doesn't fit any more would be written again when it is closed.
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(65536)):
                pass
        full_at = time.time()

        def suffers() -> bool:
            """Something could not be written: the front end, or Redis, says so."""
            try:
                return not service.client.get("/readyz").is_success or failures(service) > 0
            except httpx.HTTPError:
                return False

        wait_for(suffers, "a failure that is reported", 60)
        time.sleep(5.0)
        assert service.client.get("/healthz").is_success
        ballast.unlink()
        free_at = time.time()
        wait_for(service.ready, "the service to be ready again", 60)
        more(service, stream_id, NEW, "scores after the disk was full")
        after = service.scores(stream_id)
        back = min(
            time_of(item["captured_at"]) for item in after if time_of(item["captured_at"]) > free_at
        )
    frames = [item["frame"] for item in after]
    assert frames == sorted(set(frames))
    assert [item["frame"] for item in before] == frames[: len(before)]
    note(
        "disk full, for the database and for Redis",
        "nothing ends for good; what was recorded stays; all goes on once there is room",
        f"full for {free_at - full_at:.0f} s; the next recorded frame was captured "
        f"{back - free_at:.1f} s after there was room",
    )


def failures(service: Service) -> float:
    """Rounds of the recorder that failed."""
    lines = service.client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("normwatch_record_failures_total")]
    return float(found[0].split()[-1]) if found else 0.0
