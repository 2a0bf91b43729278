"""Samples the memory, handles and threads of the service's processes, and finds growth."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

MB = 2.0**20
EDGE = 0.2
"""Share of the samples after the warm-up that is compared, at each end."""
SHARE = 0.05
"""Growth by more than this share, and by more than `ResourceKind.slack`, counts as growth."""


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A resource that must not grow."""

    name: str
    unit: str
    slack: float
    """Less than this is no growth: allocators and pools breathe."""


MEMORY = ResourceKind("memory", "MB", 5.0)
HANDLES = ResourceKind("file handles", "", 3.0)
THREADS = ResourceKind("threads", "", 1.0)
REDIS = ResourceKind("Redis", "MB", 1.0)
REDIS_KEYS = ResourceKind("Redis keys", "", 2.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """Values at one time, by part of the service and kind."""

    at_s: float
    """Seconds from the start of the run."""
    values: Mapping[tuple[str, ResourceKind], float]


@dataclass(frozen=True, slots=True)
class ResourceTrend:
    """How one value changed after the warm-up."""

    part: str
    kind: ResourceKind
    first: float
    """Median of the first fifth."""
    last: float
    """Median of the last fifth."""
    most: float

    @property
    def growth(self) -> float:
        """Difference of last and first."""
        return self.last - self.first

    @property
    def grows(self) -> bool:
        """Is true where the growth is more than the fluctuation of a steady value."""
        return self.growth > max(self.kind.slack, SHARE * self.first)


def compute_trends(samples: Sequence[Sample], warm_up_s: float) -> list[ResourceTrend]:
    """Compute the trend of each value that is in every sample after the warm-up.

    Raises: ValueError: nothing was sampled after the warm-up.
    """
    after = [sample for sample in samples if sample.at_s >= warm_up_s]
    if not after:
        raise ValueError("no sample was taken after the warm-up")
    edge = max(1, round(EDGE * len(after)))
    found: list[ResourceTrend] = []
    for part, kind in after[0].values:
        values = [sample.values.get((part, kind)) for sample in after]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            first, last = statistics.median(known[:edge]), statistics.median(known[-edge:])
            found.append(ResourceTrend(part, kind, first, last, max(known)))
    return found


def sample_processes(
    processes: Mapping[int, str], per_process: Callable[[str], bool]
) -> dict[tuple[str, ResourceKind], float]:
    """Sample the processes, summed by part. Processes that end meanwhile are left out.

    Args:
        per_process: returns True for a part whose number of processes varies, so that the mean of a
            process is taken instead of their sum.
    """
    held: dict[tuple[str, ResourceKind], list[float]] = {}
    for pid, part in processes.items():
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                values = {
                    MEMORY: float(process.memory_full_info().pss) / MB,
                    HANDLES: float(process.num_fds()),
                    THREADS: float(process.num_threads()),
                }
        except psutil.Error:
            continue
        for kind, value in values.items():
            held.setdefault((part, kind), []).append(value)
    return {
        (part, kind): statistics.fmean(values) if per_process(part) else sum(values)
        for (part, kind), values in held.items()
    }
