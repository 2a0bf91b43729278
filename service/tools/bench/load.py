"""Holds what loads on a worker and on the whole service share: the plan, the time that is measured,
and the detector alone to compare with."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from model.stages import Stage
from service.infer.device import usable_cores
from service.tools.bench.bench_figures import (
    BenchDetectorFigures,
    GroupFigures,
    LoadFigures,
    compute_ages,
    compute_camera_rates,
)
from service.tools.bench.children import DETECTOR_ANSWER, Child, DetectorJob
from service.tools.bench.process_usage import NOT_OURS, Usage

WARM_UP_S = 180.0
"""Longest wait until every camera has a score."""
SETTLE_S = 2.0
"""Pause after that, before anything is measured."""
SAMPLE_S = 1.0
ALONE_S = 2.0
"""Time that the detector alone is measured, before each load and after it."""
OTHERS = "others"
BUSY, QUIET = "busy", "quiet"
OnRow = Callable[[LoadFigures], object]


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Says what to measure."""

    model: str
    """A bundle's folder."""
    cameras: Sequence[int]
    seconds: float
    """Time that each number of cameras is measured."""
    fps: float | None = None
    """Frames a second of each camera; with None a frame is always ready."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """`NORMWATCH_*` variables for the service's processes."""


class DetectorAlone(AbstractContextManager["DetectorAlone"]):
    """Measures the detector alone, in a process that waits while the load runs."""

    def __init__(self, plan: LoadPlan, video: Path | None = None) -> None:
        """Args: video: gives the frames; None draws them."""
        self._video = None if video is None else str(video.absolute())
        self._child = Child(
            "service.tools.bench.detector_process",
            {**plan.settings, "NORMWATCH_DEFAULT_MODEL": plan.model},
        )
        self._seconds = min(ALONE_S, plan.seconds)
        self._answers: list[BenchDetectorFigures] = []
        self.engine = ""
        """Name of its engine, which the worker is to use, too; empty before `measure`."""

    def measure(self, cameras: int) -> None:
        """Measure once. Raises: ChildProcessError: the process has ended."""
        job = DetectorJob(cameras=cameras, seconds=self._seconds, video=self._video)
        answer = self._child.ask(job.model_dump_json())
        self._answers.append(DETECTOR_ANSWER.validate_json(answer))
        self.engine = self._answers[-1].engine

    def take_figures(self) -> BenchDetectorFigures:
        """Return the mean of all measurements since the last call."""
        answers, self._answers = self._answers, []
        names = ("fps", "cpu_ms", "engine_cpu_ms")
        means = {name: statistics.fmean(getattr(each, name) for each in answers) for name in names}
        return BenchDetectorFigures(answers[0].engine, **means)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._child.close()


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """What the benchmark needs to know of a scored frame."""

    camera: int
    captured_at: float
    scored_at: float
    abnormal: bool | None = None
    """True where its score reached the threshold; None where either is missing."""


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """The time that is measured, in seconds since 1970."""

    start: float
    end: float

    def select(self, scored: Sequence[TimedFrame]) -> list[TimedFrame]:
        """Return the frames that were scored in this time."""
        return [each for each in scored if self.start <= each.scored_at < self.end]

    def count_by_camera(self, scored: Sequence[TimedFrame], cameras: int) -> list[int]:
        """Count the frames of each camera."""
        counts = Counter(each.camera for each in scored)
        return [counts[camera] for camera in range(cameras)]


def pass_time(seconds: float, *, tick: Callable[[], object]) -> TimeSpan:
    """Wait for `seconds`, and call `tick` about every second."""
    start = time.time()
    until = time.monotonic() + seconds
    while (rest := until - time.monotonic()) > 0.0:
        time.sleep(min(SAMPLE_S, rest))
        tick()
    return TimeSpan(start, time.time())


def wait_until(condition: Callable[[], bool], describe_failure: Callable[[], str]) -> None:
    """Wait until the condition is true. Raises: TimeoutError: it took too long."""
    until = time.monotonic() + WARM_UP_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{describe_failure()} (waited {WARM_UP_S:g} s)")
        time.sleep(0.2)


def count_increases(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return by how much counters have grown, without those that haven't."""
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in grown.items() if count > 0}


def select_own_parts(cores: Mapping[str, float]) -> dict[str, float]:
    """Leave out the parts that only a benchmark has."""
    return {part: used for part, used in cores.items() if part not in NOT_OURS}


def measure_foreign_cores(usage: Usage) -> dict[str, float]:
    """Compute the cores used by the benchmark's own parts and by other programs."""
    own = {part: used for part, used in usage.cores.items() if part in NOT_OURS}
    others = usage.busy_share * usable_cores() - sum(usage.cores.values())
    return {**own, OTHERS: max(0.0, others)}


@dataclass(frozen=True, slots=True)
class LoadMeasurement:
    """What was measured of a load."""

    span: TimeSpan
    scored: list[TimedFrame]
    """Frames that were scored in that time."""
    dropped: dict[str, int]
    usage: Usage
    scoring_thread: float | None
    """Cores that the thread used; see `LoadFigures`."""
    started_s: float | None = None
    all_scored_s: float | None = None
    """See `LoadFigures`."""

    @property
    def seconds(self) -> float:
        """Length of the time that was measured."""
        return self.span.end - self.span.start

    @property
    def fps(self) -> float:
        """Scored frames a second of all cameras together."""
        return len(self.scored) / self.seconds


def compute_abnormal_share(scored: Sequence[TimedFrame]) -> float | None:
    """Compute the share of scores with a threshold that reach it; None where there are none."""
    known = [each.abnormal for each in scored if each.abnormal is not None]
    return sum(known) / len(known) if known else None


def split_groups(
    measured: LoadMeasurement, cameras: int, quiet: int, offered_fps: float
) -> dict[str, GroupFigures]:
    """Compute figures of busy and of quiet cameras; empty where there are no quiet ones.

    Args: offered_fps: frames a second of each camera.
    """
    if not quiet:
        return {}
    busy = cameras - quiet
    groups = {
        BUSY: (busy, [each for each in measured.scored if each.camera < busy]),
        QUIET: (quiet, [each for each in measured.scored if each.camera >= busy]),
    }
    return {
        name: GroupFigures(
            cameras=count,
            offered_fps=count * offered_fps,
            fps=len(scored) / measured.seconds,
            age=compute_ages([each.scored_at - each.captured_at for each in scored]),
            abnormal_share=compute_abnormal_share(scored),
        )
        for name, (count, scored) in groups.items()
        if count
    }


@dataclass(frozen=True, slots=True)
class Split:
    """Says where processor time went, in cores."""

    stages: dict[Stage, float]
    processes: dict[str, float]
    """Cores used by each part of the service."""
    foreign: dict[str, float]
    """Cores used outside the service."""


def make_load_figures(
    cameras: int,
    offered_fps: float | None,
    measured: LoadMeasurement,
    split: Split,
    alone: BenchDetectorFigures,
    *,
    quiet: int = 0,
) -> LoadFigures:
    """Make a row of the table; the last `quiet` cameras show a still picture."""
    used = sum(split.processes.values())
    return LoadFigures(
        cameras=cameras,
        offered_fps=offered_fps,
        seconds=measured.seconds,
        frames=len(measured.scored),
        fps=measured.fps,
        fps_per_core=measured.fps / used if used > 0.0 and measured.scored else None,
        camera_fps=compute_camera_rates(
            measured.span.count_by_camera(measured.scored, cameras), measured.seconds
        ),
        age=compute_ages([each.scored_at - each.captured_at for each in measured.scored]),
        dropped=measured.dropped,
        alone=alone,
        stages=split.stages,
        processes=split.processes,
        foreign=split.foreign,
        cores=usable_cores(),
        busy_share=measured.usage.busy_share,
        peak_memory_mb=measured.usage.peak_mb,
        memory=measured.usage.memory,
        scoring_thread=measured.scoring_thread,
        started_s=measured.started_s,
        abnormal_share=compute_abnormal_share(measured.scored),
        groups=split_groups(measured, cameras, quiet, (offered_fps or 0.0) / cameras),
        all_scored_s=measured.all_scored_s,
    )
