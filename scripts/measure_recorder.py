"""Measures what the recorder stores a second, and a score's bytes on disk, with the real recorder,
the embedded Redis and a real database.

    taskset -c 0 .venv/bin/python scripts/measure_recorder.py [--streams N] [--json F]
        [--database URL] [--data-dir F]
    .venv/bin/python scripts/measure_recorder.py --paced 16x10 --paced 64x10 [--seconds S]

A round stores each camera's waiting scores in a transaction of its own. Its time is fitted as
N (a + b k), k the scores that wait of each of N cameras. At r scores a second, k is r times what
lies between two rounds, so that with a pause p after each they settle at (N a + p) / (1 - r N b);
where r N b reaches 1 they don't.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from redis import Redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.paced_recording import Pace, PaceCost, measure_pace
from service.bus import embedded
from service.bus.leases import Leases
from service.bus.scores import OutgoingScore, Scores
from service.messages import FrameScore
from service.metrics import Metrics
from service.record.recorder import LONGEST_PAUSE_S, POLL_S, READ_SCORES, REST_FACTOR, Recorder
from service.settings import Settings
from service.store.database import Database
from service.store.tables import StreamRow

WAITING = (1, 10, 100, READ_SCORES)
"""Numbers of scores of each camera in a round."""
LEAST_ROUNDS = 3
MOST_ROUNDS = 10
RATE = 10.0
"""Scores a second of a camera."""
CAMERAS = (16, 64, 256, 1000)
PUBLISHED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class RecorderRound:
    """The recorder's rounds with `waiting` scores of each camera."""

    waiting: int
    round_s: float
    """Median."""
    rows_s: float


SETTLING = 10_000
"""The number of rounds after which one takes as long as the one before."""


@dataclass(frozen=True, slots=True)
class RoundFit:
    """A fit by least squares of relative errors."""

    camera_s: float
    """a: seconds of one camera in a round."""
    row_s: float
    """b: seconds of each of its scores."""

    def find_period_s(self, cameras: int) -> float | None:
        """Find the seconds between rounds at `RATE`; None if rounds grow without end."""
        share = RATE * cameras * self.row_s
        if share >= 1.0:
            return None
        period_s = POLL_S
        for _ in range(SETTLING):
            round_s = cameras * self.camera_s + share * period_s
            period_s = round_s + POLL_S + min(REST_FACTOR * round_s, LONGEST_PAUSE_S)
        return period_s


class PublishingCameras:
    """Publishes scores as the owner of many cameras would."""

    def __init__(self, redis: Redis, database: Database, count: int, backlog: int) -> None:
        self._scores = Scores(redis, backlog)
        leases = Leases(redis, "measuring", 3600.0)
        self._random = random.Random(0)
        self._frames: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        for _ in range(count):
            stream_id = uuid.uuid4().hex
            _add_stream(database, stream_id)
            epoch = leases.acquire(stream_id)
            if epoch is None:
                raise RuntimeError(f"{stream_id} has another owner")
            self._epochs[stream_id] = epoch
            self._frames[stream_id] = 0

    def publish(self, count: int) -> None:
        """Publish `count` scores of each camera, in their natural order."""
        batch: list[OutgoingScore] = []
        for _ in range(count):
            for stream_id in self._frames:
                batch.append(OutgoingScore(stream_id, self._make_next_score(stream_id)))
                if len(batch) >= PUBLISHED_AT_ONCE:
                    self._scores.publish(batch)
                    batch.clear()
        self._scores.publish(batch)

    def _make_next_score(self, stream_id: str) -> FrameScore:
        frame = self._frames[stream_id]
        self._frames[stream_id] += 1
        at = 1_790_000_000.0 + frame / RATE + self._random.random() / 100.0
        return _make_score(frame, self._epochs[stream_id], at, self._random)


def _make_score(frame: int, epoch: int, at: float, random_: random.Random) -> FrameScore:
    """Make a quiet score, as a worker does."""
    draw = random_.uniform
    return FrameScore(
        frame=frame,
        epoch=epoch,
        captured_at=at - draw(0.02, 0.06),
        scored_at=at,
        psnr=draw(33.0, 41.0),
        distance=draw(2e-6, 2e-5),
        gate_error=draw(0.003, 0.02),
        score=draw(0.05, 0.4),
        threshold=0.4572770590264225,
        memory_updated=True,
        region=(draw(0.0, 0.4), draw(0.0, 0.4), draw(0.5, 1.0), draw(0.5, 1.0)),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--database", help="SQLAlchemy URL of an empty one; default SQLite")
    parser.add_argument("--data-dir", type=Path, help="folder on the disk to measure")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument(
        "--paced",
        type=Pace.parse,
        action="append",
        metavar="NxR",
        help="N cameras at R scores a second each: measure the CPU time of a score instead",
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each pace")
    options = parser.parse_args()
    if options.paced:
        _measure_paces(options.paced, options.seconds, options.data_dir)
        return
    with tempfile.TemporaryDirectory(dir=options.data_dir) as name:
        database = Database(options.database or Path(name) / "normwatch.db")
        database.migrate()
        with embedded.run_server(Path(name)) as (redis, _):
            rounds, rows = _measure(database, redis, options.streams)
        row_bytes = _measure_database_bytes(database) / rows
        database.close()
    fit = _fit_rounds(options.streams, rounds)
    _print(rounds, fit)
    print(f"\n{rows} rows: {row_bytes:.0f} bytes a row, with both indexes")
    if options.json:
        figures = {
            "streams": options.streams,
            "rounds": [asdict(each) for each in rounds],
            "fit": asdict(fit),
            "bytes_a_row": row_bytes,
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def _measure_paces(paces: Sequence[Pace], seconds: float, data_dir: Path | None) -> None:
    print(
        "cameras x scores/s   published/s   CPU ms a score: publisher   Redis   front end   ",
        end="",
    )
    print("recorded after, s: median   95 %")
    for pace in paces:
        with tempfile.TemporaryDirectory(dir=data_dir) as name:
            database = Database(Path(name) / "normwatch.db")
            database.migrate()
            ids = [uuid.uuid4().hex for _ in range(pace.cameras)]
            for stream_id in ids:
                _add_stream(database, stream_id)
            database.close()
            make = partial(_make_score, random_=random.Random(0))
            _print_spent(measure_pace(Path(name), ids, pace, seconds, make))


def _print_spent(spent: PaceCost) -> None:
    late = [math.nan if each is None else each for each in (spent.delay_p50_s, spent.delay_p95_s)]
    print(
        f"{spent.cameras:7} x {spent.rate:8g} {spent.scores_s:13.1f} {spent.publisher_ms:25.3f} "
        f"{spent.redis_ms:7.3f} {spent.front_end_ms:11.3f} {late[0]:26.2f} {late[1]:6.2f}",
        flush=True,
    )


def _add_stream(database: Database, stream_id: str) -> None:
    row = StreamRow(
        id=stream_id,
        name="A camera",
        source="rtsp://user:password@camera.example/stream1",
        model="ped2-judged",
        created_at=time.time(),
        revision=1,
        loop=False,
        paused=False,
    )
    with database.write() as session:
        session.add(row)


def _measure(database: Database, redis: Redis, streams: int) -> tuple[list[RecorderRound], int]:
    """Run rounds of each size; also returns the number of rows they stored."""
    settings = Settings()
    cameras = PublishingCameras(redis, database, streams, settings.max_score_backlog)
    recorder = Recorder(database, redis, settings, Metrics(), owner="measuring")
    recorder.step()
    rounds: list[RecorderRound] = []
    rows = 0
    for waiting in WAITING:
        times: list[float] = []
        for _ in range(LEAST_ROUNDS if waiting >= READ_SCORES else MOST_ROUNDS):
            cameras.publish(waiting)
            began = time.perf_counter()
            stored = recorder.step()
            times.append(time.perf_counter() - began)
            if stored != streams * waiting:
                raise RuntimeError(f"stored {stored} scores of {streams * waiting}")
            rows += stored
        median = statistics.median(times)
        rounds.append(RecorderRound(waiting, median, streams * waiting / median))
    return rounds, rows


def _fit_rounds(streams: int, rounds: Sequence[RecorderRound]) -> RoundFit:
    """Find a and b that minimise the sum of ((a + b k) / t - 1)^2, t the time of one camera."""
    x = [(streams / each.round_s, each.waiting * streams / each.round_s) for each in rounds]
    aa, ab, bb = (sum(one[i] * one[j] for one in x) for i, j in ((0, 0), (0, 1), (1, 1)))
    a, b = (sum(one[i] for one in x) for i in (0, 1))
    determinant = aa * bb - ab * ab
    return RoundFit((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant)


def _measure_database_bytes(database: Database) -> int:
    with database.engine.connect() as connection:
        if not database.is_sqlite:
            text = "SELECT pg_total_relation_size('scores')"
            return int(connection.exec_driver_sql(text).scalar_one())
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        return int(pages) * int(size)


def _print(rounds: Sequence[RecorderRound], fit: RoundFit) -> None:
    print("scores a camera   round, ms   rows/s")
    for each in rounds:
        print(f"{each.waiting:15}   {1000.0 * each.round_s:9.1f}   {each.rows_s:6.0f}")
    print(f"\na camera in a round: {1000.0 * fit.camera_s:.2f} ms; a row of it: ", end="")
    print(f"{1e6 * fit.row_s:.0f} µs; no more than {1.0 / fit.row_s:.0f} rows/s in all")
    print(f"cameras at {RATE:g} scores/s   from round to round, s")
    for count in CAMERAS:
        settled = fit.find_period_s(count)
        print(f"{count:22}   {'grows without end' if settled is None else f'{settled:.2f}'}")


if __name__ == "__main__":
    main()
