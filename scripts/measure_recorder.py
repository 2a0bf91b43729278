"""Measures what scores cost after the worker: processor time, delay, rows and time of reading.

    .venv/bin/python -m scripts.measure_recorder [--cameras 16] [--fps 10] [--minutes 1]
        [--history] [--postgres | --database URL] [--data-dir F] [--json F]

A front end runs in a process of its own, with an embedded Redis. This process publishes synthetic
scores as a worker does, at the pace of real cameras, without previews and snapshots. `--history`
puts a day of minutes and an hour of seconds of each camera into the database first, and asks the
API for scores near the end. It keeps frames for half of the time, so that in the second half as
many rows are deleted as are written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, insert, select, text

from scripts.score_feed import THRESHOLD, ScoreFeed
from service.bus import embedded
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventRow, MinuteRow, ScoreRow, SecondRow, StreamRow
from service.tether import tether_command
from tests.support.servers import free_port, postgres, wait_for

TABLES = (ScoreRow, SecondRow, MinuteRow, EventRow)
PARTS = ("publisher", "Redis", "front end")
SETTLE_S = 6.0
POLL_S = 0.02
ASKED = 20
"""The number of times that each question is asked."""
ROWS_AT_ONCE = 20_000
SIZES = {
    True: (
        "SELECT sum(pgsize) FROM dbstat WHERE name IN "
        "(SELECT name FROM sqlite_master WHERE tbl_name = :name)"
    ),
    False: "SELECT pg_total_relation_size(CAST(:name AS regclass))",
}
"""The bytes of a table with its indexes: of SQLite, and of PostgreSQL."""


@dataclass(frozen=True, slots=True)
class RecordDelay:
    """Seconds from the making of a score until the database contains it."""

    median_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table at the end, with its indexes."""

    rows: int
    megabytes: float
    deleted: int


@dataclass(frozen=True, slots=True)
class AnswerTime:
    """The time that the API takes for one question."""

    items: int
    median_ms: float
    longest_ms: float


@dataclass(frozen=True, slots=True)
class RecorderFigures:
    """All that was measured."""

    database: str
    cameras: int
    scores_s: float
    """Published scores a second of all cameras."""
    cpu_ms: dict[str, float]
    """Processor milliseconds for each score, by process."""
    first_half: RecordDelay
    second_half: RecordDelay
    tables: dict[str, TableSize]
    answers: dict[str, AnswerTime]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--fps", type=float, default=10.0, help="scores a second of a camera")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--history", action="store_true", help="with roll-ups, deletion, reading")
    parser.add_argument("--database", help="SQLAlchemy URL of an empty one; SQLite unless given")
    parser.add_argument("--postgres", action="store_true", help="start a PostgreSQL for it")
    parser.add_argument("--data-dir", type=Path, help="folder on the disk to measure")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.data_dir)))
        url = stack.enter_context(postgres()) if options.postgres else options.database
        keep_h = options.minutes / 2.0 / 60.0 if options.history else 48.0
        settings = Settings(data_dir=folder, database_url=url, keep_scores_hours=keep_h)
        database = Database(settings.database)
        database.migrate()
        ids = [uuid.uuid4().hex for _ in range(options.cameras)]
        _add_streams(database, ids)
        if options.history:
            _add_rollups(database, ids)
        redis, redis_pid = stack.enter_context(embedded.run_server(folder))
        front_end, api = stack.enter_context(_run_front_end(folder, settings))
        feed = ScoreFeed(redis, ids, options.fps)
        watched = [psutil.Process(redis_pid), psutil.Process(front_end)]
        seconds = 60.0 * options.minutes
        figures = _measure(
            feed, database, watched, api, seconds=seconds, with_history=options.history
        )
        database.close()
    _print(figures)
    if options.json:
        options.json.write_text(json.dumps(asdict(figures), indent=1) + "\n")


def _measure(
    feed: ScoreFeed,
    database: Database,
    watched: Sequence[psutil.Process],
    api: httpx.Client,
    *,
    seconds: float,
    with_history: bool,
) -> RecorderFigures:
    answers: dict[str, AnswerTime] = {}
    with feed.run_threads() as clock:

        def read_cpu_s() -> list[float]:
            return [time.clock_gettime(clock), *(sum(each.cpu_times()[:2]) for each in watched)]

        feed.run(SETTLE_S)
        before, first, began = read_cpu_s(), feed.made, time.monotonic()
        with _watch_delays(database, feed) as delays:
            feed.run(seconds / 2.0)
            half = len(delays)
            asking = threading.Thread(
                target=lambda: answers.update(_ask(api, feed.ids)), name="asking"
            )
            if with_history:
                asking.start()
            feed.run(seconds / 2.0)
            if with_history:
                asking.join()
        took_s, made = time.monotonic() - began, feed.made - first
        spent = [now - then for now, then in zip(read_cpu_s(), before, strict=True)]
    wait_for(lambda: not feed.count_waiting(), "the recorder", 30.0)
    return RecorderFigures(
        "SQLite" if database.is_sqlite else "PostgreSQL",
        len(feed.ids),
        made / took_s,
        {name: 1000.0 * each / made for name, each in zip(PARTS, spent, strict=True)},
        _summarise(delays[:half]),
        _summarise(delays[half:]),
        _weigh(database, api),
        answers,
    )


def _add_streams(database: Database, ids: Sequence[str]) -> None:
    with database.write() as session:
        session.add_all(
            StreamRow(
                id=each,
                name="A camera",
                source="rtsp://user:password@camera.example/stream1",
                model="demo",
                created_at=time.time(),
            )
            for each in ids
        )


def _add_rollups(database: Database, ids: Sequence[str]) -> None:
    """Insert a day of minutes and an hour of seconds, in their natural order."""
    draw, now = random.Random(1).uniform, int(time.time())
    for table, length, span in ((MinuteRow, 60, 86_400), (SecondRow, 1, 3600)):
        rows = _draw_rollups(range((now - span) // length * length, now, length), ids, draw(0, 1))
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            with database.write() as session:
                session.execute(insert(table), chunk)


def _draw_rollups(times: range, ids: Sequence[str], seed: float) -> Iterator[dict[str, object]]:
    draw, count = random.Random(seed).uniform, 10 * times.step
    for at in times:
        for stream_id in ids:
            low = draw(0.05, 0.2)
            yield {
                "stream_id": stream_id,
                "at": at,
                "count": count,
                "low": low,
                "total": count * (low + 0.05),
                "high": low + 0.2,
                "threshold": THRESHOLD,
            }


@contextmanager
def _run_front_end(folder: Path, settings: Settings) -> Iterator[tuple[int, httpx.Client]]:
    """Run a front end; yields its process id, and a client once it answers."""
    port = free_port()
    environment = {
        **os.environ,
        "NORMWATCH_REDIS_URL": embedded.url(folder),
        "NORMWATCH_LOG_LEVEL": "warning",
        "NORMWATCH_KEEP_SCORES_HOURS": str(settings.keep_scores_hours),
    }
    if settings.database_url is not None:
        environment["NORMWATCH_DATABASE_URL"] = settings.database_url.get_secret_value()
    command = [sys.executable, "-m", "service", "api", "--port", str(port)]
    command += ["--data-dir", str(folder)]
    process = subprocess.Popen(tether_command(command), env=environment)
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=base, timeout=30.0, trust_env=False) as api:
            wait_for(lambda: _is_healthy(api) or process.poll() is not None, "the front end", 60.0)
            yield process.pid, api
    finally:
        process.terminate()
        process.wait()


def _is_healthy(api: httpx.Client) -> bool:
    try:
        return api.get("/healthz").is_success
    except httpx.HTTPError:
        return False


@contextmanager
def _watch_delays(database: Database, feed: ScoreFeed) -> Iterator[list[float]]:
    """Yield a list that fills with the delays of the first camera's scores in the database."""
    found: list[float] = []
    stop = threading.Event()
    newest = select(func.max(ScoreRow.frame)).where(ScoreRow.stream_id == feed.ids[0])

    def poll() -> None:
        last = max(feed.times, default=-1)
        while not stop.wait(POLL_S):
            with database.engine.connect() as connection:
                stored = connection.scalar(newest)
            now = time.time()
            frames = range(last + 1, (-1 if stored is None else stored) + 1)
            found.extend(now - feed.times[frame] for frame in frames)
            last = max(last, frames.stop - 1)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def _summarise(delays: Sequence[float]) -> RecordDelay:
    quantiles = statistics.quantiles(delays, n=100)
    return RecordDelay(quantiles[49], quantiles[94], quantiles[98])


def _ask(api: httpx.Client, ids: Sequence[str]) -> Iterator[tuple[str, AnswerTime]]:
    """Ask each question for one camera after another."""
    now = time.time()
    questions: dict[str, dict[str, float]] = {
        "a day (minutes)": {"from": now - 86_400, "to": now},
        "an hour (seconds)": {"from": now - 3600, "to": now},
        "ten minutes (frames or seconds)": {"from": now - 590, "to": now, "limit": 10_000},
        "newest 1000 frames": {"limit": 1000},
        "newest frame": {"limit": 1},
    }
    for name, params in questions.items():
        times: list[float] = []
        for stream_id in islice(cycle(ids), ASKED):
            began = time.perf_counter()
            answer = api.get(f"/streams/{stream_id}/scores", params=params).raise_for_status()
            times.append(1000.0 * (time.perf_counter() - began))
        items = len(answer.json()["items"])
        yield name, AnswerTime(items, statistics.median(times), max(times))


def _weigh(database: Database, api: httpx.Client) -> dict[str, TableSize]:
    """Count each table's rows, bytes, and what retention has deleted of it."""
    deleted = {
        sample.labels["table"]: sample.value
        for family in text_string_to_metric_families(api.get("/metrics").text)
        for sample in family.samples
        if sample.name == "normwatch_deleted_rows_total"
    }
    found: dict[str, TableSize] = {}
    with database.engine.connect() as connection:
        for table in TABLES:
            name = table.__tablename__
            rows = connection.scalar(select(func.count()).select_from(table)) or 0
            size = connection.execute(text(SIZES[database.is_sqlite]), {"name": name}).scalar()
            found[name] = TableSize(rows, float(size or 0) / 1e6, int(deleted.get(name, 0)))
    return found


def _print(figures: RecorderFigures) -> None:
    print(f"{figures.database}, {figures.cameras} cameras, {figures.scores_s:.1f} scores a second")
    cost = ", ".join(f"{name} {each:.3f}" for name, each in figures.cpu_ms.items())
    print(f"ms of a processor a score: {cost}")
    halves = {"first half": figures.first_half, "second half": figures.second_half}
    for name, delay in halves.items():
        print(
            f"in the database after, {name}: median {delay.median_s:.2f} s, "
            f"95 % {delay.p95_s:.2f} s, 99 % {delay.p99_s:.2f} s"
        )
    for name, table in figures.tables.items():
        print(f"{name}: {table.rows} rows, {table.megabytes:.1f} MB, {table.deleted} deleted")
    for name, time_ms in figures.answers.items():
        print(
            f"{name}: {time_ms.items} items, median {time_ms.median_ms:.1f} ms, "
            f"longest {time_ms.longest_ms:.1f} ms"
        )


if __name__ == "__main__":
    main()
