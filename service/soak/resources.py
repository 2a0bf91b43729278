"""What the service's processes hold, sample by sample, and whether it grows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

MB = 2.0**20
EDGE = 0.2
"""Of the samples after the warm-up: so many at each end are compared."""
SHARE = 0.05
"""Growth by more than this share, and by more than `Kind.slack`, counts as growth."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that must not grow."""

    name: str
    unit: str
    slack: float
    """Less than this is no growth: allocators and pools breathe."""


MEMORY = Kind("memory", "MB", 5.0)
HANDLES = Kind("file handles", "", 3.0)
THREADS = Kind("threads", "", 1.0)
REDIS = Kind("Redis", "MB", 1.0)
REDIS_KEYS = Kind("Redis keys", "", 2.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: values by part of the service and kind."""

    at_s: float
    """From the start of the run."""
    values: Mapping[tuple[str, Kind], float]


@dataclass(frozen=True, slots=True)
class Trend:
    """One value over the run, from the end of the warm-up on."""

    part: str
    kind: Kind
    first: float
    """Median of the first fifth."""
    last: float
    """Median of the last fifth."""
    most: float

    @property
    def growth(self) -> float:
        """From first to last."""
        return self.last - self.first

    @property
    def grows(self) -> bool:
        """By more than what is to be expected of something steady."""
        return self.growth > max(self.kind.slack, SHARE * self.first)


def trends(samples: Sequence[Sample], warm_up_s: float) -> list[Trend]:
    """Of every value that was there all along.

    Raises: ValueError: nothing was sampled after the warm-up.
    """
    after = [sample for sample in samples if sample.at_s >= warm_up_s]
    if not after:
        raise ValueError("no sample was taken after the warm-up")
    edge = max(1, round(EDGE * len(after)))
    found: list[Trend] = []
    for part, kind in after[0].values:
        values = [sample.values.get((part, kind)) for sample in after]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            first, last = statistics.median(known[:edge]), statistics.median(known[-edge:])
            found.append(Trend(part, kind, first, last, max(known)))
    return found


def look(
    processes: Mapping[int, str], per_process: Callable[[str], bool]
) -> dict[tuple[str, Kind], float]:
    """What they hold now, summed by part. Processes that end meanwhile are left out.

    Args:
        per_process: of a part: whether there are as many processes as are wanted just now, so that
            the mean of a process is looked at instead of their sum.
    """
    held: dict[tuple[str, Kind], list[float]] = {}
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
