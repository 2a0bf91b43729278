"""Measures the whole service: RTSP in, scores out of the API."""

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

from model.bundles.catalog import find_bundle
from service.errors import BadInput
from service.tools.bench.bench_figures import LoadFigures, LoadRun
from service.tools.bench.camera_clips import (
    compute_median_picture,
    draw_empty_scene,
    read_clip_rate,
    repeat_clip,
    write_clip,
    write_quiet_clip,
)
from service.tools.bench.load import (
    SETTLE_S,
    WARM_UP_S,
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
from service.tools.bench.process_usage import BENCHMARK, CAMERAS, UsageWatch, find_descendants
from service.tools.bench.rtsp import PACKAGES, RtspServer, is_installed
from service.tools.bench.running_service import RunningService, run_service
from service.tools.bench.stage_split import CpuCounters, split_by_stage

MOUNT, QUIET_MOUNT = "/camera", "/quiet"
DRAWN_MODEL = "demo"
"""Name of the shipped bundle that was trained on the drawn scene."""
READ_EVERY = 5
"""Ticks between two readings of the scores: reading takes time from the service."""
RECORDED_S = 2.0
"""Pause after the end, until the last scores are recorded."""


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """Says what to measure."""

    load: LoadPlan
    fps: float
    """Frames a second of each camera."""
    video: Path | None = None
    """Video (H.264 in MP4) that each camera shows from its start; None draws one."""
    urls: Sequence[str] = ()
    """The user's own cameras, used in turn instead of the benchmark's."""
    quiet: int = 0
    """Number of cameras that show a still picture with sensor noise."""

    @property
    def source(self) -> str:
        """Says what the cameras show, and whether the model was trained on it."""
        cameras = "1 camera" if self.quiet == 1 else f"{self.quiet} cameras"
        quiet = f", {cameras} still" if self.quiet else ""
        if self.urls:
            return "your own cameras"
        if self.video is not None:
            return f"{self.video}{quiet}"
        model = Path(self.load.model)
        fits = model.resolve() == find_bundle(DRAWN_MODEL).resolve()
        unfit = "" if fits else f"; {model.name} doesn't know this footage"
        return f"a drawn scene, 360x240{quiet}{unfit}"

    def check(self) -> None:
        """Check the plan. Raises: BadInput: a camera isn't available."""
        if self.video is not None and self.urls:
            raise BadInput("--video", str(self.video), "can't be used with cameras of --rtsp")
        if self.quiet and self.urls:
            raise BadInput("--quiet", str(self.quiet), "can't be used with cameras of --rtsp")
        least = min(self.load.cameras)
        if self.quiet > least:
            raise BadInput(
                "--quiet", self.quiet, f"must be at most {least}, the least of --cameras"
            )
        if self.video is not None:
            read_clip_rate(self.video)
        if not self.urls and not is_installed():
            needed = f"Debian's {' '.join(PACKAGES)}, which the benchmark's cameras need"
            raise BadInput("--rtsp", None, f"give a camera's URL, or install {needed}")


@dataclass(frozen=True, slots=True)
class _CameraFeed:
    """Says where frames come from."""

    urls: Sequence[str]
    quiet_url: str
    """URL of the quiet camera; empty where there is none."""
    fps: float
    """Frames a second that each camera sends."""
    pid: int | None
    """Id of the RTSP server's process; None for the user's cameras."""


def measure(plan: ServicePlan, on_row: OnRow = lambda _: None) -> LoadRun:
    """Run the service with each number of cameras.

    Raises: BadInput: a camera isn't available. ChildProcessError: a process has ended.
        TimeoutError: a camera gets no score.
    """
    plan.check()
    rows: list[LoadFigures] = []
    with (
        tempfile.TemporaryDirectory(prefix="normwatch-bench-") as name,
        _run_cameras(plan, Path(name)) as cameras,
        DetectorAlone(plan.load, plan.video) as alone,
    ):
        for count in plan.load.cameras:
            alone.measure(count)
            own = {**plan.load.settings, "NORMWATCH_ENGINE": alone.engine}
            folder = Path(name) / f"with-{count}-{len(rows)}"
            with run_service(folder, Path(plan.load.model), own) as service:
                measured, split = _run(plan, count, service, cameras)
            alone.measure(count)
            figures = alone.take_figures()
            offered = cameras.fps * count
            row = make_load_figures(count, offered, measured, split, figures, quiet=plan.quiet)
            rows.append(row)
            on_row(rows[-1])
    return LoadRun(Path(plan.load.model).name, rows, plan.source)


@contextmanager
def _run_cameras(plan: ServicePlan, folder: Path) -> Iterator[_CameraFeed]:
    if plan.urls:
        yield _CameraFeed(plan.urls, "", plan.fps, None)
        return
    clip = folder / "camera.mp4"
    seconds = plan.load.seconds + SETTLE_S + WARM_UP_S
    if plan.video is None:
        write_clip(clip, math.ceil(plan.fps), seconds)
        rate = plan.fps
    else:
        repeat_clip(plan.video, clip, seconds)
        rate = min(plan.fps, read_clip_rate(plan.video))
    mounts = {MOUNT: clip}
    if plan.quiet:
        mounts[QUIET_MOUNT] = folder / "quiet.mp4"
        still = draw_empty_scene() if plan.video is None else compute_median_picture(plan.video)
        write_quiet_clip(mounts[QUIET_MOUNT], still, rate, seconds)
    server = RtspServer(mounts)
    server.start()
    try:
        pid = server.process.pid if server.process is not None else None
        yield _CameraFeed([server.base + MOUNT], server.base + QUIET_MOUNT, rate, pid)
    finally:
        server.kill()


def _run(
    plan: ServicePlan, count: int, service: RunningService, cameras: _CameraFeed
) -> tuple[LoadMeasurement, Split]:
    registered = time.monotonic()
    busy = islice(cycle(cameras.urls), count - plan.quiet)
    for url in (*busy, *[cameras.quiet_url] * plan.quiet):
        service.register(url, plan.fps)
    wait_until(service.are_all_live, service.describe_missing_score)
    all_scored_s = time.monotonic() - registered
    time.sleep(SETTLE_S)
    service.take()

    def list_parts() -> dict[int, str]:
        found = find_descendants(service.pid, service.name_part) | {os.getpid(): BENCHMARK}
        return found if cameras.pid is None else found | {cameras.pid: CAMERAS}

    dropped, counted = service.count_dropped(), service.read_cpu_counters()
    watch, thread_began = UsageWatch(list_parts), _read_main_thread_s(list_parts())
    scored: list[TimedFrame] = []
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        watch.sample()
        if ticks % READ_EVERY == 0:
            scored.extend(service.take())

    span = pass_time(plan.load.seconds, tick=tick)
    thread_ended = _read_main_thread_s(list_parts())
    usage, counted_after = watch.finish(), service.read_cpu_counters()
    lost = count_increases(dropped, service.count_dropped())
    time.sleep(RECORDED_S)
    scored.extend(service.take())
    thread = None
    if thread_began is not None and thread_ended is not None:
        thread = (thread_ended - thread_began) / (span.end - span.start)
    measured = LoadMeasurement(
        span,
        span.select(scored),
        lost,
        usage,
        thread,
        started_s=service.started_s,
        all_scored_s=all_scored_s,
    )
    return measured, _split(measured, counted, counted_after)


def _read_main_thread_s(parts: dict[int, str]) -> float | None:
    """Read the processor time of the worker's main thread, which scores."""
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


def _split(measured: LoadMeasurement, before: CpuCounters, after: CpuCounters) -> Split:
    cores = select_own_parts(measured.usage.cores)
    within = {
        "worker": after.sum_worker_stages(before),
        "front end": after.sum_front_end_stages(before),
    }
    return Split(split_by_stage(cores, within), cores, measure_foreign_cores(measured.usage))
