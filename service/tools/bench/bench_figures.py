"""Holds what is measured as plain values: distributions, a network's figures, a load's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from model.stages import Stage

HELD_SHARE = 0.98
"""Share of the offered frames that must be scored for a load to count as held."""
HELD_AGE_S = 1.0
"""The 99th percentile of the frames' age must be below this as well."""
NOTABLE_CORES = 0.1
LEAST_TREND_S = 60.0
LEAST_TREND_SAMPLES = 10
"""A line through fewer samples shows chance rather than growth."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Describes a distribution by median and quartiles."""

    median: float
    q1: float
    q3: float
    count: int


def compute_spread(values: Sequence[float]) -> Spread:
    """Compute median and quartiles. Raises: ValueError: there are no values."""
    if not values:
        raise ValueError("a distribution needs a value, got none")
    q1, median, q3 = (float(v) for v in np.percentile(values, (25, 50, 75)))
    return Spread(median, q1, q3, len(values))


@dataclass(frozen=True, slots=True)
class AgeFigures:
    """Holds quantiles of the seconds from a frame's capture to its score."""

    p50_s: float
    p95_s: float
    p99_s: float
    most_s: float


def compute_ages(values: Sequence[float]) -> AgeFigures | None:
    """Compute the quantiles; None where there are no frames."""
    if not values:
        return None
    p50, p95, p99 = (float(v) for v in np.percentile(values, (50, 95, 99)))
    return AgeFigures(p50, p95, p99, max(values))


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """Figures of a network in one engine, scoring included."""

    frame_ms: Spread
    """Wall time of a frame."""
    core_ms: Spread
    """Core time of a frame: waiting for a core isn't counted. On a GPU it is the wall time."""
    fps_per_core: float
    """Frames a second of core time, median."""
    gflop: float
    """Floating-point operations of a frame, by count."""
    gflop_s: float
    """Billions of operations a second that a core reaches."""
    peak_share: float
    """Share of what a core reaches in a large fp32 matrix product."""
    ratio_per_core: Spread | None = None
    """Frames a second a core over the reference's, in pairs; None for the reference itself."""
    ratio_wall: Spread | None = None
    """The same ratio by wall time, which holds on an idle machine only."""


@dataclass(frozen=True, slots=True)
class NetworkFigures:
    """Figures of a network's engines and of its reference form."""

    bundle: str
    engine: str
    """Name of the fastest engine, whose ratios are the headline."""
    threads: int
    batch: int
    seconds: float
    peak_gflop_s: float
    """Best fp32 speed of a core in the run."""
    reference: EngineFigures
    engines: dict[str, EngineFigures]
    refused: dict[str, str]
    """Engines that can't run this bundle on this machine, with the reason."""

    @property
    def best(self) -> EngineFigures:
        """Figures of the fastest engine."""
        return self.engines[self.engine]


@dataclass(frozen=True, slots=True)
class BenchDetectorFigures:
    """Figures of the detector alone, fed from memory with as many cameras as a batch holds."""

    engine: str
    fps: float
    cpu_ms: float
    """Processor time of a frame, network and scoring."""
    engine_cpu_ms: float
    """Processor time of a frame in the engine alone, without scoring and scene features."""


@dataclass(frozen=True, slots=True)
class CameraRates:
    """Scored frames a second of single cameras."""

    least: float
    median: float
    most: float


def compute_camera_rates(counts: Sequence[int], seconds: float) -> CameraRates:
    """Compute the rates from the number of frames of each camera."""
    rates = [count / seconds for count in counts]
    return CameraRates(min(rates), float(np.median(rates)), max(rates))


@dataclass(frozen=True, slots=True)
class MemoryTrend:
    """Slope of a line fitted to a process's memory."""

    mb_an_hour: float
    error_mb_an_hour: float
    """Standard error of the slope."""


def fit_trend(samples: Sequence[tuple[float, float]], seconds: float) -> MemoryTrend | None:
    """Fit a line over the second half of a run.

    Args: samples: seconds from the start and megabytes.
    Returns: None where the half has fewer than `LEAST_TREND_SAMPLES` or is shorter than
        `LEAST_TREND_S`.
    """
    half = [each for each in samples if each[0] >= seconds / 2.0]
    if len(half) < LEAST_TREND_SAMPLES or half[-1][0] - half[0][0] < LEAST_TREND_S:
        return None
    hours, megabytes = np.array(half).T
    hours = (hours - hours.mean()) / 3600.0
    spread_h2 = float((hours**2).sum())
    slope = float((hours * megabytes).sum()) / spread_h2
    residual = megabytes - megabytes.mean() - slope * hours
    variance = float((residual**2).sum()) / (len(half) - 2)
    return MemoryTrend(slope, (variance / spread_h2) ** 0.5)


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Resident memory of a process that ran for the last three quarters of the run."""

    part: str
    pid: int
    quarter_mb: float
    """After a quarter of the run."""
    end_mb: float
    end_pss_mb: float
    """Memory at the end; pages that processes share are divided among them."""
    rss_trend: MemoryTrend | None = None
    """Trend of resident memory in the second half of the run; None where that is too short."""
    pss_trend: MemoryTrend | None = None

    @property
    def growth_mb(self) -> float:
        """Growth over the last three quarters of the run."""
        return self.end_mb - self.quarter_mb


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """Figures of a load's busy cameras or of its quiet ones."""

    cameras: int
    offered_fps: float
    fps: float
    age: AgeFigures | None
    abnormal_share: float | None
    """Share of the scores that reach their threshold; None where no score has one."""


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """Figures of one load: a number of cameras for some time."""

    cameras: int
    offered_fps: float | None
    """Frames a second of all cameras together; None where a frame is always ready."""
    seconds: float
    frames: int
    fps: float
    fps_per_core: float | None
    """Frames for each second of processor time of the service's processes."""
    camera_fps: CameraRates
    age: AgeFigures | None
    dropped: dict[str, int]
    """Frames without a score, by reason."""
    alone: BenchDetectorFigures | None
    """Figures of the detector alone, before and after this load; None if not measured."""
    stages: dict[Stage, float]
    """Cores that each stage used."""
    processes: dict[str, float]
    """Cores that each part of the service used."""
    foreign: dict[str, float]
    """Cores used outside the service: by the benchmark, its cameras and other programs."""
    cores: int
    busy_share: float
    """Share of the usable cores that was busy with any program."""
    peak_memory_mb: float
    """Peak memory of the service's processes, shared pages counted once."""
    memory: list[ProcessMemory] = field(default_factory=list)
    scoring_thread: float | None = None
    """Cores used by the thread that scores; None where it can't be found."""
    started_s: float | None = None
    """Seconds from the service's start until it answers; None in a run without the service."""
    abnormal_share: float | None = None
    """Share of the scores with a threshold that reach it."""
    groups: dict[str, GroupFigures] = field(default_factory=dict)
    """Figures of busy and of quiet cameras, where there are both."""
    all_scored_s: float | None = None
    """Seconds from the first camera's registration until each camera has a score."""

    @property
    def served_share(self) -> float | None:
        """Share of the offered frames that were scored."""
        return self.fps / self.offered_fps if self.offered_fps else None

    @property
    def holds(self) -> bool | None:
        """Is true where the load is held; None where cameras have no rate of their own."""
        if self.served_share is None or self.age is None:
            return None
        return self.served_share >= HELD_SHARE and self.age.p99_s < HELD_AGE_S

    @property
    def efficiency(self) -> float | None:
        """Frames a second as a share of the detector's alone; None where fewer were offered."""
        offered = math.inf if self.offered_fps is None else self.offered_fps
        if self.alone is None or offered < self.alone.fps:
            return None
        return self.fps / self.alone.fps

    @property
    def engine_share(self) -> float | None:
        """Frames for each CPU second of the service as a share of the engine's alone."""
        if self.alone is None or self.fps_per_core is None:
            return None
        return self.fps_per_core * self.alone.engine_cpu_ms / 1000.0

    @property
    def limit(self) -> str:
        """Sentence that says what limits this load."""
        used = f"the cores were {self.busy_share:.0%} busy"
        if (foreign := sum(self.foreign.values())) > NOTABLE_CORES:
            used += f", {foreign / self.cores:.0%} outside the service"
        if self.holds:
            return f"every camera was served; {used}"
        largest = max(self.stages, key=lambda stage: self.stages[stage])
        share = self.stages[largest] / max(sum(self.stages.values()), 1e-9)
        if self.busy_share >= 0.9:
            return f"limited by the cores, {share:.0%} of our time in {largest}; {used}"
        if self.scoring_thread is not None and self.scoring_thread >= 0.9:
            return f"limited by the worker's scoring thread, which fills one core; {used}"
        return f"what limits it isn't known; {used}"


@dataclass(frozen=True, slots=True)
class LoadRun:
    """Loads that were measured one after the other."""

    bundle: str
    rows: list[LoadFigures]
    source: str
    """Says where the frames came from."""

    @property
    def held(self) -> int | None:
        """Largest number of cameras that was held; None where none was, or without a rate."""
        return max((row.cameras for row in self.rows if row.holds), default=None)
