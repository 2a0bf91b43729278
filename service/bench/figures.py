"""What is measured, as plain values: distributions, a network's figures, a load's figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

HELD_SHARE = 0.98
"""Of the frames that cameras offer: so many must be analysed for a load to count as held."""
HELD_AGE_S = 1.0
"""And the 99th percentile of their age is below this."""
NOTABLE_CORES = 0.1


class Stage(StrEnum):
    """What processor time goes to."""

    NETWORK = "network"
    SCORING = "scoring"
    """All of the detector but the network: measures, scores, memory."""
    DECODE = "decode"
    """Capture and uploads: reading, decoding, resizing."""
    SEND = "send"
    """From the worker to the database: publishing, Redis, front end."""
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution: median and quartiles."""

    median: float
    q1: float
    q3: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Raises: ValueError: there are none."""
    if not values:
        raise ValueError("a distribution needs a value, got none")
    q1, median, q3 = (float(v) for v in np.percentile(values, (25, 50, 75)))
    return Spread(median, q1, q3, len(values))


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds from a frame's capture to its score."""

    p50_s: float
    p95_s: float
    p99_s: float
    most_s: float


def ages(values: Sequence[float]) -> Ages | None:
    """None where there are no frames."""
    if not values:
        return None
    p50, p95, p99 = (float(v) for v in np.percentile(values, (50, 95, 99)))
    return Ages(p50, p95, p99, max(values))


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """One way to run a network, with the scoring."""

    frame_ms: Spread
    """Wall time of a frame."""
    core_ms: Spread
    """Core time of a frame: the time that cores work for it, which waiting for a core isn't in; on
    a GPU its wall time."""
    fps_per_core: float
    """Frames a second of core time, median."""
    gflop: float
    """Operations of a frame, counted."""
    gflop_s: float
    """Reached on a core, in billions a second."""
    peak_share: float
    """Of what a core reaches in a large fp32 matrix product."""
    ratio_per_core: Spread | None = None
    """How many times the reference's frames a second a core, over pairs; None of itself."""
    ratio_wall: Spread | None = None
    """The same by wall time: it says as much on an idle machine, and less on a busy one."""


@dataclass(frozen=True, slots=True)
class NetworkFigures:
    """The network alone, beside its reference form."""

    bundle: str
    engine: str
    """The one that `ratio_per_core` is of: the fastest."""
    threads: int
    batch: int
    seconds: float
    peak_gflop_s: float
    """Of a core, in fp32, best of the run."""
    reference: EngineFigures
    engines: dict[str, EngineFigures]
    refused: dict[str, str]
    """Engines that this machine or this bundle can't have, each with the reason."""

    @property
    def best(self) -> EngineFigures:
        """The headline's engine."""
        return self.engines[self.engine]


@dataclass(frozen=True, slots=True)
class AloneFigures:
    """The detector alone, fed from memory with as many cameras as threads allow."""

    engine: str
    fps: float
    cpu_ms: float
    """Processor time of a frame, network and scoring."""
    network_share: float
    """Of the network in it."""


@dataclass(frozen=True, slots=True)
class CameraRates:
    """Analysed frames a second of one camera, over all of them."""

    least: float
    median: float
    most: float


def camera_rates(counts: Sequence[int], seconds: float) -> CameraRates:
    """Of so many frames of each."""
    rates = [count / seconds for count in counts]
    return CameraRates(min(rates), float(np.median(rates)), max(rates))


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Resident memory of one process that was there for the last three quarters of the run."""

    part: str
    pid: int
    quarter_mb: float
    """After a quarter of the run."""
    end_mb: float

    @property
    def growth_mb(self) -> float:
        """In three quarters of the run."""
        return self.end_mb - self.quarter_mb


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """A number of cameras for a while."""

    cameras: int
    offered_fps: float | None
    """Of all cameras; None: as many as are taken."""
    seconds: float
    frames: int
    fps: float
    fps_per_core: float | None
    """Frames a second of processor time of all our processes."""
    camera_fps: CameraRates
    age: Ages | None
    dropped: dict[str, int]
    """By reason."""
    alone: AloneFigures | None
    """The detector alone, before and after this load; None where it wasn't measured."""
    stages: dict[Stage, float]
    """Cores used."""
    processes: dict[str, float]
    """Cores used, by part."""
    beside: dict[str, float]
    """Cores used by what isn't ours: the benchmark, its cameras, and others on our cores."""
    cores: int
    busy_share: float
    """Of the cores that we may use, by whoever."""
    peak_memory_mb: float
    """Of all our processes, what they share counted once."""
    memory: list[ProcessMemory] = field(default_factory=list)
    scoring_thread: float | None = None
    """Cores used by the thread that scores; None where it can't be told apart."""

    @property
    def served_share(self) -> float | None:
        """Of the frames that were offered."""
        return self.fps / self.offered_fps if self.offered_fps else None

    @property
    def holds(self) -> bool | None:
        """Whether so many cameras are held; None where cameras have no rate of their own."""
        if self.served_share is None or self.age is None:
            return None
        return self.served_share >= HELD_SHARE and self.age.p99_s < HELD_AGE_S

    @property
    def efficiency(self) -> float | None:
        """Frames a second beside those of the detector alone; None where fewer were offered."""
        if self.alone is None:
            return None
        if self.offered_fps is not None and self.offered_fps < self.alone.fps:
            return None
        return self.fps / self.alone.fps

    @property
    def limit(self) -> str:
        """What keeps it from more."""
        used = f"the cores were {self.busy_share:.0%} busy"
        if (foreign := sum(self.beside.values())) > NOTABLE_CORES:
            used += f", {foreign / self.cores:.0%} with what isn't ours"
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
    """Several loads, one after the other."""

    bundle: str
    rows: list[LoadFigures]
    source: str
    """Where the frames came from."""

    @property
    def held(self) -> int | None:
        """The most cameras that were held; None where none was, or rates weren't given."""
        return max((row.cameras for row in self.rows if row.holds), default=None)
