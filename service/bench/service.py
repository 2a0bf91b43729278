"""The whole service: RTSP in, scores out of the API."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import psutil

from service.bench.figures import AloneFigures, LoadFigures, LoadRun, Stage
from service.bench.footage import clip_rate, repeat, write_clip
from service.bench.load import (
    SETTLE_S,
    WARM_UP_S,
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
from service.bench.processes import BENCHMARK, CAMERAS, Watch, descendants
from service.bench.rtsp import PACKAGES, RtspServer, is_installed
from service.bench.serving import Serving, serving
from service.errors import BadInput

MOUNT = "/camera"
READ_EVERY = 5
"""Ticks between two readings of the scores: whoever reads takes time from the service."""
RECORDED_S = 2.0
"""After the end, for the last scores to be recorded."""


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What to measure."""

    load: LoadPlan
    fps: float
    """Of each camera."""
    video: Path | None = None
    """H.264 in MP4, played to each camera from its start; None draws one."""
    urls: Sequence[str] = ()
    """Cameras of one's own, taken in turn, instead of the ones that come along."""

    def check(self) -> None:
        """Raises: BadInput: a camera can't be had."""
        if self.video is not None and self.urls:
            raise BadInput("--video", str(self.video), "can't be played by cameras of --rtsp")
        if self.video is not None:
            clip_rate(self.video)
        if not self.urls and not is_installed():
            raise BadInput(
                "--rtsp",
                None,
                f"give a camera's URL, or install Debian's {' '.join(PACKAGES)}, "
                "which the cameras that come along are made of",
            )


@dataclass(frozen=True, slots=True)
class _Cameras:
    """Where frames come from."""

    urls: Sequence[str]
    fps: float
    """That each sends, or is asked for."""
    pid: int | None
    """Of the process that plays them; None where they aren't ours."""


def measure(plan: ServicePlan, on_row: OnRow = lambda _: None) -> LoadRun:
    """One service after the other, each with a number of cameras.

    Raises: BadInput: a camera can't be had. ChildProcessError: a process has ended. TimeoutError: a
        camera gets no score.
    """
    plan.check()
    rows: list[LoadFigures] = []
    with (
        tempfile.TemporaryDirectory(prefix="normwatch-bench-") as name,
        _cameras(plan, Path(name)) as cameras,
        Alone(plan.load) as alone,
    ):
        for count in plan.load.cameras:
            alone.measure(count)
            own = {**plan.load.settings, "NORMWATCH_ENGINE": alone.engine}
            folder = Path(name) / f"with-{count}-{len(rows)}"
            with serving(folder, Path(plan.load.model), own) as service:
                measured = _run(plan, count, service, cameras)
            alone.measure(count)
            figures = alone.figures()
            split = _split(measured, figures)
            rows.append(load_figures(count, cameras.fps * count, measured, split, figures))
            on_row(rows[-1])
    source = "cameras of your own" if plan.urls else str(plan.video or "a drawn scene, 360x240")
    return LoadRun(Path(plan.load.model).name, rows, source)


@contextmanager
def _cameras(plan: ServicePlan, folder: Path) -> Iterator[_Cameras]:
    if plan.urls:
        yield _Cameras(plan.urls, plan.fps, None)
        return
    clip = folder / "camera.mp4"
    seconds = plan.load.seconds + SETTLE_S + WARM_UP_S
    if plan.video is None:
        write_clip(clip, math.ceil(plan.fps), seconds)
        rate = plan.fps
    else:
        repeat(plan.video, clip, seconds)
        rate = min(plan.fps, clip_rate(plan.video))
    server = RtspServer({MOUNT: clip})
    server.start()
    try:
        pid = server.process.pid if server.process is not None else None
        yield _Cameras([server.base + MOUNT], rate, pid)
    finally:
        server.kill()


def _run(plan: ServicePlan, count: int, service: Serving, cameras: _Cameras) -> Measured:
    for url in islice(cycle(cameras.urls), count):
        service.register(url, plan.fps)
    wait_until(service.all_live, service.complaint)
    time.sleep(SETTLE_S)
    service.take()

    def parts() -> dict[int, str]:
        found = descendants(service.pid, service.part_of) | {os.getpid(): BENCHMARK}
        return found if cameras.pid is None else found | {cameras.pid: CAMERAS}

    dropped = service.dropped()
    watch, thread_began = Watch(parts), _main_thread_s(parts())
    scored: list[Scored] = []
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        watch.sample()
        if ticks % READ_EVERY == 0:
            scored.extend(service.take())

    span = pass_time(plan.load.seconds, tick=tick)
    thread_ended = _main_thread_s(parts())
    usage = watch.finish()
    lost = increase(dropped, service.dropped())
    time.sleep(RECORDED_S)
    scored.extend(service.take())
    thread = None
    if thread_began is not None and thread_ended is not None:
        thread = (thread_ended - thread_began) / (span.end - span.start)
    return Measured(span, span.of(scored), lost, usage, thread)


def _main_thread_s(parts: dict[int, str]) -> float | None:
    """Processor time of the worker's main thread, which scores."""
    worker = next((pid for pid, part in parts.items() if part == "worker"), None)
    if worker is None:
        return None
    try:
        for thread in psutil.Process(worker).threads():
            if thread.id == worker:
                return float(thread.user_time + thread.system_time)
    except psutil.Error:
        return None
    return None


def _split(measured: Measured, alone: AloneFigures) -> Split:
    cores = ours(measured.usage.cores)
    # Nobody looks into a process from outside: a frame is taken to cost what it costs alone.
    detector = min(cores.get("worker", 0.0), alone.cpu_ms / 1000.0 * measured.fps)
    decode = cores.get("capture", 0.0)
    sending = cores.get("redis", 0.0) + cores.get("front end", 0.0)
    stages = {
        Stage.NETWORK: detector * alone.network_share,
        Stage.SCORING: detector * (1.0 - alone.network_share),
        Stage.DECODE: decode,
        Stage.SEND: sending,
        Stage.REST: max(0.0, sum(cores.values()) - detector - decode - sending),
    }
    return Split(stages, cores, beside(measured.usage))
