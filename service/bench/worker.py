"""The worker alone: the real one, on a Redis of its own, its cameras' frames out of memory."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from redis import Redis

from service.bench.children import Child, WorkerCounters, WorkerJob
from service.bench.figures import AloneFigures, LoadFigures, LoadRun, Stage
from service.bench.load import (
    SETTLE_S,
    Alone,
    LoadPlan,
    Measured,
    OnRow,
    Scored,
    Split,
    beside,
    increase,
    load_figures,
    ours,
    pass_time,
    wait_until,
)
from service.bench.processes import BENCHMARK, Watch
from service.bus import embedded
from service.bus.registry import Registry
from service.bus.scores import Scores
from service.messages import StreamConfig, StreamState

READ = 10_000
"""Scores of a camera, taken at once."""
BACKLOG = 1_000_000


@dataclass(frozen=True, slots=True)
class _WorkerMeasured:
    """And what the worker told of itself, before and after."""

    load: Measured
    before: WorkerCounters
    after: WorkerCounters


class _Bus:
    """What a front end would do on Redis, as far as it is needed here."""

    def __init__(self, redis: Redis, plan: LoadPlan) -> None:
        self._redis = redis
        self._registry = Registry(redis)
        self._scores = Scores(redis, BACKLOG)
        self._plan = plan
        self._ids: list[str] = []
        self.live: set[int] = set()
        """Cameras that have had a score."""

    def register(self, cameras: int) -> None:
        """Forget all that was, and register so many cameras."""
        self._redis.flushall()
        self.live.clear()
        self._ids = [f"camera-{number}" for number in range(cameras)]
        self._registry.publish(
            StreamConfig(
                id=each, revision=1, source="memory", model=self._plan.model, fps=self._plan.fps
            )
            for each in self._ids
        )

    def take(self) -> list[Scored]:
        """The scores that have come since the last time."""
        found: list[Scored] = []
        for stream_id, incoming in self._scores.read(self._ids, READ).items():
            camera = self._ids.index(stream_id)
            for each in incoming:
                found.append(Scored(camera, each.score.captured_at, each.score.scored_at))
                if each.score.state is StreamState.LIVE:
                    self.live.add(camera)
            self._scores.acknowledge({stream_id: [each.entry for each in incoming]})
        return found

    def all_live(self) -> bool:
        """Whether every camera has had a score."""
        self.take()
        return len(self.live) == len(self._ids)

    def complaint(self) -> str:
        """What keeps a camera from having one."""
        statuses = self._registry.statuses(self._ids)
        for number, stream_id in enumerate(self._ids):
            if number not in self.live:
                told = statuses.get(stream_id)
                state = f"{told.state}, {told.reason}" if told else "no worker has it"
                return f"camera {number + 1} of {len(self._ids)} has no score: {state}"
        return "cameras have no scores"

    def dropped(self) -> Counter[str]:
        """Frames without a score so far, by reason."""
        counts: Counter[str] = Counter()
        for told in self._registry.statuses(self._ids).values():
            counts.update({reason.value: count for reason, count in told.dropped.items()})
        return counts


def measure(plan: LoadPlan, on_row: OnRow = lambda _: None) -> LoadRun:
    """One worker after the other, each with a number of cameras.

    Raises: ChildProcessError: a process of the benchmark has ended. TimeoutError: a camera gets no
        score.
    """
    rows: list[LoadFigures] = []
    with (
        tempfile.TemporaryDirectory(prefix="normwatch-bench-") as folder,
        embedded.running(Path(folder)) as (redis, redis_pid),
        Alone(plan) as alone,
    ):
        url = embedded.url(Path(folder))
        bus = _Bus(redis, plan)
        for cameras in plan.cameras:
            alone.measure(cameras)
            own = {**plan.settings, "NORMWATCH_REDIS_URL": url, "NORMWATCH_ENGINE": alone.engine}
            measured = _run(replace(plan, settings=own), cameras, bus, redis_pid)
            alone.measure(cameras)
            offered = None if plan.fps is None else plan.fps * cameras
            figures = alone.figures()
            split = _split(measured, figures)
            rows.append(load_figures(cameras, offered, measured.load, split, figures))
            on_row(rows[-1])
    return LoadRun(Path(plan.model).name, rows, "frames in memory")


def _run(plan: LoadPlan, cameras: int, bus: _Bus, redis_pid: int) -> _WorkerMeasured:
    bus.register(cameras)
    worker = Child("service.bench.worker_process", plan.settings)
    try:
        worker.tell(WorkerJob(fps=plan.fps, cameras=cameras).model_dump_json())

        def all_live() -> bool:
            worker.check()
            return bus.all_live()

        wait_until(all_live, bus.complaint)
        time.sleep(SETTLE_S)
        bus.take()
        parts = {worker.pid: "worker", redis_pid: "redis", os.getpid(): BENCHMARK}
        before = WorkerCounters.model_validate_json(worker.ask(""))
        dropped, watch = bus.dropped(), Watch(lambda: parts)
        scored: list[Scored] = []

        def tick() -> None:
            watch.sample()
            scored.extend(bus.take())

        span = pass_time(plan.seconds, tick=tick)
        usage = watch.finish()
        after = WorkerCounters.model_validate_json(worker.ask(""))
        lost = increase(dropped, bus.dropped())
    finally:
        worker.close()
    scored.extend(bus.take())
    thread = (after.scoring_thread_s - before.scoring_thread_s) / usage.seconds
    return _WorkerMeasured(Measured(span, span.of(scored), lost, usage, thread), before, after)


def _split(measured: _WorkerMeasured, alone: AloneFigures) -> Split:
    usage = measured.load.usage
    before, after = measured.before, measured.after

    def cores(earlier_s: float, later_s: float) -> float:
        return (later_s - earlier_s) / usage.seconds

    feed = cores(before.feed_s, after.feed_s)
    detector = cores(before.detector_s, after.detector_s)
    publishing = cores(before.send_s, after.send_s)
    decode = cores(before.decode_s, after.decode_s)
    processes, aside = ours(usage.cores), beside(usage)
    processes["worker"] -= feed
    aside[BENCHMARK] += feed
    stages = {
        Stage.NETWORK: detector * alone.network_share,
        Stage.SCORING: detector * (1.0 - alone.network_share),
        Stage.DECODE: decode,
        Stage.SEND: publishing + processes["redis"],
        Stage.REST: max(0.0, processes["worker"] - detector - publishing - decode),
    }
    return Split(stages, processes, aside)
