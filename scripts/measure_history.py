"""Measures the database under many cameras' scores: delay of writing, size, and time of reading,
with deletion going on.

    .venv/bin/python scripts/measure_history.py [--cameras 100] [--fps 10] [--minutes 10]
        [--postgres | --database URL] [--data-dir F] [--json F]

A process of its own publishes synthetic scores to the embedded Redis, as workers would. The real
recorder stores them, rolls them up and deletes them, in the process of the queried front end, as in
the service. Roll-ups of the day before (by minute) and of the hour before (by second) are
there at the start. Frames are kept for half of the time, so that in the second half as many rows
are deleted as are written.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry, Histogram
from sqlalchemy import func, insert, select, text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from service.bus import embedded
from service.bus.connection import connect
from service.bus.leases import Leases
from service.bus.scores import OutgoingScore, Scores
from service.history import history_retention
from service.logs import configure
from service.messages import FrameScore
from service.metrics import Metrics
from service.record.recorder import Recorder
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventRow, MinuteRow, ScoreRow, SecondRow, StreamRow
from tests.support.front_end import client
from tests.support.servers import postgres

TABLES = (ScoreRow, SecondRow, MinuteRow, EventRow)
THRESHOLD = 0.5
EVENT_EVERY = 3000
"""Frames of a camera from the beginning of one event to that of the next."""
EVENT_FRAMES = 20
ASKED = 20
"""The number of times that each question is asked."""
ASKING_S = 30.0
"""The questions begin this long before the end."""
ROWS_AT_ONCE = 20_000
BACKLOG = 100_000
BUCKETS_S = [*(n / 100 for n in range(1, 301)), *range(4, 61)]
"""The buckets are fine enough to read a quantile to 10 ms."""


@dataclass(frozen=True, slots=True)
class CameraLoad:
    """The load by the cameras."""

    cameras: tuple[str, ...]
    fps: float
    seconds: float


@dataclass(frozen=True, slots=True)
class RecordDelay:
    """Seconds from making a score to its commit, over a number of scores."""

    scores: int
    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table at the end, with its indexes."""

    rows: int
    megabytes: float


@dataclass(slots=True)
class HistoryFigures:
    """All that was measured."""

    database: str
    cameras: int
    fps: float
    minutes: float
    stored: int = 0
    stored_per_s: float = 0.0
    before_deletion: RecordDelay | None = None
    with_deletion: RecordDelay | None = None
    deleted: dict[str, int] = field(default_factory=dict)
    tables: dict[str, TableSize] = field(default_factory=dict)
    megabytes: float = 0.0
    questions_ms: dict[str, dict[str, float]] = field(default_factory=dict)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--cameras", type=int, default=100)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--database", help="SQLAlchemy URL of an empty one; default SQLite")
    parser.add_argument("--postgres", action="store_true", help="start a PostgreSQL for it")
    parser.add_argument("--data-dir", type=Path, help="folder on the disk to measure")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    configure("CRITICAL")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.data_dir)))
        url = stack.enter_context(postgres()) if options.postgres else options.database
        _, _ = stack.enter_context(embedded.run_server(folder))
        settings = Settings(
            data_dir=folder,
            redis_url=embedded.url(folder),
            database_url=url,
            keep_scores_hours=options.minutes / 2 / 60,
        )
        load = CameraLoad(
            tuple(uuid.uuid4().hex for _ in range(options.cameras)),
            options.fps,
            60.0 * options.minutes,
        )
        figures = _measure(settings, load)
    _print(figures)
    if options.json:
        options.json.write_text(json.dumps(asdict(figures), indent=1) + "\n")


def _measure(settings: Settings, load: CameraLoad) -> HistoryFigures:
    database = Database(settings.database)
    database.migrate()
    kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    figures = HistoryFigures(kind, len(load.cameras), load.fps, load.seconds / 60)
    _fill(database, load.cameras)
    metrics = _make_fine_metrics()
    with _run_recorder(settings, metrics), client(_without_redis(settings)) as api:
        context = multiprocessing.get_context("spawn")
        cameras = context.Process(target=publish, args=(settings.redis_url, load))
        began = time.monotonic()
        cameras.start()
        try:
            _wait_until(began + load.seconds / 2 + 2.0)
            first_half = _read_counts(metrics)
            _wait_until(began + load.seconds - ASKING_S)
            figures.questions_ms = dict(_ask(api, load.cameras))
            cameras.join()
        finally:
            cameras.kill()
        time.sleep(2.0)
        whole = _read_counts(metrics)
    figures.stored = int(sum(whole))
    figures.stored_per_s = figures.stored / load.seconds
    figures.before_deletion = _find_delay(first_half)
    figures.with_deletion = _find_delay([b - a for a, b in zip(first_half, whole, strict=True)])
    for table in TABLES:
        name = table.__tablename__
        value = metrics.registry.get_sample_value("normwatch_deleted_rows_total", {"table": name})
        figures.deleted[name] = int(value or 0)
    _weigh(database, figures)
    database.close()
    return figures


def _fill(database: Database, cameras: Sequence[str]) -> None:
    """Insert streams, a day of minutes and an hour of seconds, in their natural order."""
    draw = random.Random(1).uniform
    now = int(time.time())
    with database.write() as session:
        session.add_all(
            # Paused, as no worker reports its status: outages are no part of this.
            StreamRow(
                id=stream_id,
                name="A camera",
                source="upload",
                model="demo",
                paused=True,
                created_at=0.0,
            )
            for stream_id in cameras
        )
    for table, length, span in ((MinuteRow, 60, 86_400), (SecondRow, 1, 3600)):
        rows: list[dict[str, object]] = []
        for at in range((now - span) // length * length, now, length):
            for stream_id in cameras:
                low = draw(0.05, 0.2)
                rows.append(
                    {
                        "stream_id": stream_id,
                        "at": at,
                        "count": 10 * length,
                        "low": low,
                        "total": 10 * length * (low + 0.05),
                        "high": low + 0.2,
                        "threshold": THRESHOLD,
                    }
                )
            if len(rows) >= ROWS_AT_ONCE or at + length >= now:
                with database.write() as session:
                    session.execute(insert(table), rows)
                rows = []


def _make_fine_metrics() -> Metrics:
    metrics = Metrics()
    metrics.record_delay = Histogram(
        "delay_seconds", "The recorder's.", buckets=BUCKETS_S, registry=CollectorRegistry()
    )
    return metrics


def _without_redis(settings: Settings) -> Settings:
    """Make settings of a front end whose own recorder never gets the lock."""
    return settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})


@contextmanager
def _run_recorder(settings: Settings, metrics: Metrics) -> Iterator[None]:
    """Run the recorder in a thread."""
    database, redis = Database(settings.database), connect(settings.redis_url or "")
    recorder = Recorder(database, redis, settings, metrics, owner="measuring")
    recorder.step()
    stop = threading.Event()
    thread = threading.Thread(target=recorder.run, args=(stop,), name="recorder")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        redis.close()
        database.close()


def publish(redis_url: str, load: CameraLoad) -> None:
    """Publish a frame of every camera at a time, in real time, as one quick worker would."""
    redis = connect(redis_url)
    leases, scores = Leases(redis, "measuring", 2 * load.seconds), Scores(redis, BACKLOG)
    epochs = {stream_id: leases.acquire(stream_id) or 0 for stream_id in load.cameras}
    draw = random.Random(0).uniform
    began = time.monotonic()
    for frame in range(int(load.seconds * load.fps)):
        _wait_until(began + frame / load.fps)
        scores.publish(
            [
                OutgoingScore(stream_id, _make_score(frame, place, epoch, draw))
                for place, (stream_id, epoch) in enumerate(epochs.items())
            ]
        )
    late_s = time.monotonic() - began - load.seconds
    print(f"published {frame + 1} frames of each, at the end {max(0.0, late_s):.2f} s late")


def _make_score(
    frame: int, place: int, epoch: int, draw: Callable[[float, float], float]
) -> FrameScore:
    is_event = (frame + 37 * place) % EVENT_EVERY < EVENT_FRAMES
    now = time.time()
    return FrameScore(
        frame=frame,
        epoch=epoch,
        captured_at=now - 0.05,
        scored_at=now,
        psnr=draw(33.0, 41.0),
        distance=draw(2e-6, 2e-5),
        gate_error=draw(0.003, 0.02),
        score=draw(0.7, 0.9) if is_event else draw(0.05, 0.4),
        threshold=THRESHOLD,
        memory_updated=not is_event,
        region=(0.1, 0.2, 0.6, 0.7),
    )


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _read_counts(metrics: Metrics) -> list[float]:
    """Read the number of scores in each bucket of their delay."""
    (family,) = metrics.record_delay.collect()
    rising = [each.value for each in family.samples if each.name.endswith("_bucket")]
    return [now - before for before, now in zip([0.0, *rising], rising, strict=False)]


def _find_delay(counts: Sequence[float]) -> RecordDelay:
    return RecordDelay(int(sum(counts)), _find_quantile(counts, 0.5), _find_quantile(counts, 0.99))


def _find_quantile(counts: Sequence[float], share: float) -> float:
    """Find the upper bound of the quantile's bucket."""
    target, seen = share * sum(counts), 0.0
    bounds: list[float] = [*BUCKETS_S, math.inf]
    for bound, count in zip(bounds, counts, strict=True):
        seen += count
        if seen >= target:
            return bound
    raise ValueError("there are no scores")


def _ask(api: httpx.Client, cameras: Sequence[str]) -> Iterator[tuple[str, dict[str, float]]]:
    """Ask each question over HTTP for one camera after another; yields milliseconds."""
    now = time.time()
    questions: dict[str, tuple[dict[str, float], int]] = {
        "a day (minutes)": ({"from": now - 86_400, "to": now}, 1400),
        "an hour (seconds)": ({"from": now - 3600, "to": now}, 3500),
        "ten minutes (frames or seconds)": ({"from": now - 590, "to": now, "limit": 10_000}, 1),
        "newest 1000 frames": ({"limit": 1000}, 1),
        "newest frame": ({"limit": 1}, 1),
    }
    for name, (params, least) in questions.items():
        times: list[float] = []
        for stream_id in islice(cycle(cameras), ASKED):
            began = time.perf_counter()
            answer = api.get(f"/streams/{stream_id}/scores", params=params)
            times.append(1000 * (time.perf_counter() - began))
            items = len(answer.raise_for_status().json()["items"])
            if items < least:
                raise RuntimeError(f"{name}: {items} items")
        yield name, {"median": statistics.median(times), "longest": max(times), "items": items}


def _weigh(database: Database, figures: HistoryFigures) -> None:
    with database.write() as session:
        for table in TABLES:
            name = table.__tablename__
            rows = session.scalar(select(func.count()).select_from(table)) or 0
            if database.is_sqlite:
                size = text(
                    "SELECT sum(pgsize) FROM dbstat WHERE name IN "
                    "(SELECT name FROM sqlite_master WHERE tbl_name = :name)"
                )
            else:
                size = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
            bytes_ = session.execute(size, {"name": name}).scalar_one() or 0
            figures.tables[name] = TableSize(rows, float(bytes_) / 1e6)
        whole = (
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            if database.is_sqlite
            else "SELECT pg_database_size(current_database())"
        )
        figures.megabytes = float(session.execute(text(whole)).scalar_one()) / 1e6


def _print(figures: HistoryFigures) -> None:
    print(f"{figures.database}: {figures.cameras} cameras, {figures.fps:g} frames/s each, ", end="")
    print(f"{figures.minutes:g} min, retention every {history_retention.EVERY_S:g} s")
    print(f"stored {figures.stored} scores, {figures.stored_per_s:.0f} a second")
    for name, delay in (
        ("before deletion", figures.before_deletion),
        ("with deletion", figures.with_deletion),
    ):
        if delay is not None:
            print(f"{name}: p50 {1000 * delay.p50_s:.0f} ms, p99 {1000 * delay.p99_s:.0f} ms")
    for name, table in figures.tables.items():
        print(f"{name}: {table.rows} rows, {table.megabytes:.1f} MB, ", end="")
        print(f"{figures.deleted.get(name, 0)} deleted")
    print(f"the database: {figures.megabytes:.1f} MB")
    for name, times in figures.questions_ms.items():
        print(f"{name}: {times['items']} items, ", end="")
        print(f"median {times['median']:.1f} ms, longest {times['longest']:.1f} ms")


if __name__ == "__main__":
    main()
