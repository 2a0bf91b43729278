"""Measures the real worker on a Redis of its own; its cameras' frames come from memory."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from redis import Redis

from model.stages import Stage
from service.bus import embedded
from service.bus.registry import Registry
from service.bus.scores import Scores
from service.messages import StreamConfig, StreamState
from service.tools.bench.bench_figures import LoadFigures, LoadRun
from service.tools.bench.children import Child, WorkerCounters, WorkerJob
from service.tools.bench.load import (
    SETTLE_S,
    DetectorAlone,
    LoadMeasurement,
    LoadPlan,
    OnRow,
    Split,
    TimedFrame,
    count_increases,
    make_load_figures,
    measure_foreign_cores,
    pass_time,
    select_own_parts,
    wait_until,
)
from service.tools.bench.process_usage import BENCHMARK, Usage, UsageWatch
from service.tools.bench.stage_split import split_by_stage

READ = 10_000
"""Most scores of a camera that are read at once."""
BACKLOG = 1_000_000


class _Bus:
    """Does on Redis what a front end would do, as far as the benchmark needs it."""

    def __init__(self, redis: Redis, plan: LoadPlan) -> None:
        self._redis = redis
        self._registry = Registry(redis)
        self._scores = Scores(redis, BACKLOG)
        self._plan = plan
        self._ids: list[str] = []
        self.live: set[int] = set()
        """Cameras that have had a score."""

    def register(self, cameras: int) -> None:
        """Empty Redis, and register this many cameras."""
        self._redis.flushall()
        self.live.clear()
        self._ids = [f"camera-{number}" for number in range(cameras)]
        self._registry.publish(
            StreamConfig(
                id=each, revision=1, source="memory", model=self._plan.model, fps=self._plan.fps
            )
            for each in self._ids
        )

    def take(self) -> list[TimedFrame]:
        """Read the scores that are new since the last call."""
        found: list[TimedFrame] = []
        for stream_id, incoming in self._scores.read(self._ids, READ).items():
            camera = self._ids.index(stream_id)
            for each in incoming:
                found.append(TimedFrame(camera, each.score.captured_at, each.score.scored_at))
                if each.score.state is StreamState.LIVE:
                    self.live.add(camera)
            self._scores.acknowledge({stream_id: [each.entry for each in incoming]})
        return found

    def are_all_live(self) -> bool:
        """Return whether every camera has had a score."""
        self.take()
        return len(self.live) == len(self._ids)

    def describe_missing_score(self) -> str:
        """Say why a camera has no score."""
        statuses = self._registry.statuses(self._ids)
        for number, stream_id in enumerate(self._ids):
            if number not in self.live:
                status = statuses.get(stream_id)
                state = f"{status.state}, {status.reason}" if status else "no worker owns it"
                return f"camera {number + 1} of {len(self._ids)} has no score: {state}"
        return "cameras have no scores"

    def count_dropped(self) -> Counter[str]:
        """Count the frames without a score so far, by reason."""
        counts: Counter[str] = Counter()
        for status in self._registry.statuses(self._ids).values():
            counts.update({reason.value: count for reason, count in status.dropped.items()})
        return counts


def measure(plan: LoadPlan, on_row: OnRow = lambda _: None) -> LoadRun:
    """Run a worker with each number of cameras.

    Raises: ChildProcessError: a process of the benchmark has ended. TimeoutError: a camera gets no
        score.
    """
    rows: list[LoadFigures] = []
    with (
        tempfile.TemporaryDirectory(prefix="normwatch-bench-") as folder,
        embedded.run_server(Path(folder)) as (redis, redis_pid),
        DetectorAlone(plan) as alone,
    ):
        url = embedded.url(Path(folder))
        bus = _Bus(redis, plan)
        for cameras in plan.cameras:
            alone.measure(cameras)
            own = {**plan.settings, "NORMWATCH_REDIS_URL": url, "NORMWATCH_ENGINE": alone.engine}
            measured, split = _run(replace(plan, settings=own), cameras, bus, redis_pid)
            alone.measure(cameras)
            offered = None if plan.fps is None else plan.fps * cameras
            figures = alone.take_figures()
            rows.append(make_load_figures(cameras, offered, measured, split, figures))
            on_row(rows[-1])
    return LoadRun(Path(plan.model).name, rows, "frames in memory")


def _run(plan: LoadPlan, cameras: int, bus: _Bus, redis_pid: int) -> tuple[LoadMeasurement, Split]:
    bus.register(cameras)
    worker = Child("service.tools.bench.bench_worker_process", plan.settings)
    try:
        worker.send(WorkerJob(fps=plan.fps, cameras=cameras).model_dump_json())

        def are_all_live() -> bool:
            worker.check()
            return bus.are_all_live()

        wait_until(are_all_live, bus.describe_missing_score)
        time.sleep(SETTLE_S)
        bus.take()
        parts = {worker.pid: "worker", redis_pid: "redis", os.getpid(): BENCHMARK}
        before = WorkerCounters.model_validate_json(worker.ask(""))
        dropped, watch = bus.count_dropped(), UsageWatch(lambda: parts)
        scored: list[TimedFrame] = []

        def tick() -> None:
            watch.sample()
            scored.extend(bus.take())

        span = pass_time(plan.seconds, tick=tick)
        usage = watch.finish()
        after = WorkerCounters.model_validate_json(worker.ask(""))
        lost = count_increases(dropped, bus.count_dropped())
    finally:
        worker.close()
    scored.extend(bus.take())
    thread = (after.scoring_thread_s - before.scoring_thread_s) / usage.seconds
    measured = LoadMeasurement(span, span.select(scored), lost, usage, thread)
    return measured, _split(usage, before, after)


def _split(usage: Usage, before: WorkerCounters, after: WorkerCounters) -> Split:
    fed_s = after.feed_s - before.feed_s
    spent = {
        Stage(name): seconds - before.stages.get(name, 0.0)
        for name, seconds in after.stages.items()
    }
    spent[Stage.REST] = spent.get(Stage.REST, 0.0) - fed_s
    processes, aside = select_own_parts(usage.cores), measure_foreign_cores(usage)
    processes["worker"] -= fed_s / usage.seconds
    aside[BENCHMARK] += fed_s / usage.seconds
    return Split(split_by_stage(processes, {"worker": spent}), processes, aside)
