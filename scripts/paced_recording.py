"""Measures a score's CPU time in publisher, Redis and front end, at the pace of real cameras.

A real front end runs with an embedded Redis. This process publishes as a worker does: the real
publisher in a thread of its own, statuses every second, no previews and no snapshots.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from redis import Redis

from service import keys
from service.bus import embedded
from service.bus.leases import Leases
from service.bus.log_entries import Notes
from service.bus.registry import Registry
from service.bus.scores import Scores
from service.bus.uploads import Uploads
from service.infer.camera_outbox import CameraOutbox
from service.infer.result_publisher import ResultPublisher
from service.messages import FrameScore, StreamState, StreamStatus, WorkerStatus
from service.tether import tether_command

BACKLOG = 100_000
BATCH_S = 0.1
"""The cameras' frames are spread over this time, and scored in batches of `BATCH`."""
BATCH = 4
SETTLE_S = 6.0
POLL_S = 0.02
WORKER = "measuring"


@dataclass(frozen=True, slots=True)
class Pace:
    """A number of cameras, and scores a second of each."""

    cameras: int
    rate: float

    @classmethod
    def parse(cls, text: str) -> Pace:
        """Parse a text such as "64x10". Raises: ValueError: it isn't one."""
        cameras, _, rate = text.partition("x")
        return cls(int(cameras), float(rate))


@dataclass(frozen=True, slots=True)
class PaceCost:
    """The costs measured at one pace."""

    cameras: int
    rate: float
    scores_s: float
    """Published scores a second."""
    publisher_ms: float
    """CPU milliseconds a score, or a second without scores; so are the next two."""
    redis_ms: float
    front_end_ms: float
    delay_p50_s: float | None
    """Seconds from making a score until the database contains it."""
    delay_p95_s: float | None


def measure_pace(
    folder: Path, ids: Sequence[str], pace: Pace, seconds: float, score: Callable[..., FrameScore]
) -> PaceCost:
    """Measure one pace with a front end and a Redis of its own.

    Args:
        folder: holds a migrated database, `normwatch.db`, with the streams.
        score: makes a score of `frame`, `epoch` and `at`.
    """
    with embedded.run_server(folder) as (redis, redis_pid), _run_front_end(folder) as front_pid:
        feed = _Feed(redis, ids, score)
        stop = threading.Event()
        cpu: list[float] = []
        threads = [
            threading.Thread(target=feed.publish, args=(stop,)),
            threading.Thread(target=feed.report, args=(stop,)),
        ]
        for thread in threads:
            thread.start()
        clock = time.pthread_getcpuclockid(threads[0].ident or 0)
        watched = [psutil.Process(redis_pid), psutil.Process(front_pid)]

        def spent() -> list[float]:
            return [time.clock_gettime(clock), *(sum(each.cpu_times()[:2]) for each in watched)]

        try:
            feed.run(pace.rate, SETTLE_S)
            before, first, began = spent(), feed.made, time.monotonic()
            with _watch_delays(folder / "normwatch.db", ids[0], feed.times) as delays:
                feed.run(pace.rate, seconds)
            took_s, made = time.monotonic() - began, feed.made - first
            cpu = [now - then for now, then in zip(spent(), before, strict=True)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        _wait_for_recorder(redis, ids, feed)
    each = [1000.0 * spent_s / (made or took_s) for spent_s in cpu]
    quantiles = statistics.quantiles(delays, n=20) if len(delays) > 1 else None
    return PaceCost(
        pace.cameras,
        pace.rate,
        made / took_s,
        *each,
        quantiles[9] if quantiles else None,
        quantiles[18] if quantiles else None,
    )


class _Feed:
    """A worker's publishing without its network."""

    def __init__(self, redis: Redis, ids: Sequence[str], score: Callable[..., FrameScore]) -> None:
        self._registry = Registry(redis)
        self._score = score
        leases = Leases(redis, WORKER, 3600.0)
        self._publisher = ResultPublisher(
            Scores(redis, BACKLOG), Uploads(redis), self._registry, Notes(redis), on_stale=print
        )
        self._outboxes: list[CameraOutbox] = []
        for stream_id in ids:
            self._outboxes.append(self._publisher.open(stream_id, leases.acquire(stream_id) or 0))
        self.made = 0
        self._frame = 0
        self.times: dict[int, float] = {}
        """The times at which the first camera's scores were made, by frame."""

    def publish(self, stop: threading.Event) -> None:
        self._publisher.run(stop, lambda: None)

    def report(self, stop: threading.Event) -> None:
        while not stop.wait(1.0):
            now = time.time()
            statuses = {
                outbox.stream_id: StreamStatus(
                    state=StreamState.LIVE,
                    since=1.0,
                    worker=WORKER,
                    epoch=outbox.epoch,
                    scored=outbox.scored,
                    fps=10.0,
                    frame_age_s=0.05,
                    frame_age_p50_s=0.05,
                    frame_age_p99_s=0.09,
                    updated_at=now,
                )
                for outbox in self._outboxes
            }
            worker = WorkerStatus(
                id=WORKER, started_at=1.0, seen_at=now, streams=len(statuses), device="cpu"
            )
            self._registry.report(statuses, worker)

    def run(self, rate: float, seconds: float) -> None:
        """Make scores at that rate of each camera, a few cameras at a time."""
        began = time.monotonic()
        if not rate:
            time.sleep(seconds)
            return
        batches = [self._outboxes[i : i + BATCH] for i in range(0, len(self._outboxes), BATCH)]
        for turn in range(round(rate * seconds)):
            for place, batch in enumerate(batches):
                due = began + (turn + place / len(batches)) / rate
                time.sleep(max(0.0, due - time.monotonic()))
                now = time.time()
                for outbox in batch:
                    outbox.put(self._score(self._frame, outbox.epoch, now), None)
                self.made += len(batch)
                if place == 0:
                    self.times[self._frame] = now
                self._publisher.notify()
            self._frame += 1


@contextmanager
def _run_front_end(folder: Path) -> Iterator[int]:
    """Start a front end, wait until it answers, and yield its process id."""
    environment = {
        **os.environ,
        "NORMWATCH_REDIS_URL": embedded.url(folder),
        "NORMWATCH_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "service", "api", "--port", "18765"]
    command += ["--data-dir", str(folder)]
    root = Path(__file__).resolve().parents[1]
    process = subprocess.Popen(tether_command(command), env=environment, cwd=root)
    try:
        until = time.monotonic() + 60.0
        while not _is_ready():
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError("the front end doesn't start")
            time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _is_ready() -> bool:
    try:
        return httpx.get("http://127.0.0.1:18765/healthz", timeout=2.0).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def _watch_delays(place: Path, stream_id: str, times: dict[int, float]) -> Iterator[list[float]]:
    """Yield a list that fills with the delays of a stream's scores in the database."""
    found: list[float] = []
    stop = threading.Event()

    def poll() -> None:
        with closing(sqlite3.connect(place)) as connection:
            query = "SELECT max(frame) FROM scores WHERE stream_id = ?"
            last = max(times, default=-1)
            while not stop.wait(POLL_S):
                (newest,) = connection.execute(query, (stream_id,)).fetchone()
                now = time.time()
                for frame in range(last + 1, (-1 if newest is None else newest) + 1):
                    found.append(now - times[frame])
                    last = frame

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def _wait_for_recorder(redis: Redis, ids: Sequence[str], feed: _Feed) -> None:
    until = time.monotonic() + 10.0
    while any(redis.xlen(keys.scores(stream_id)) for stream_id in ids):
        if time.monotonic() > until:
            raise RuntimeError(f"not all of {feed.made} scores were recorded")
        time.sleep(0.1)
