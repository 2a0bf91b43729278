"""Measures processor time and memory of processes, and how busy the cores were."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psutil

from service.infer.device import usable_cores
from service.tools.bench.bench_figures import ProcessMemory, fit_trend

BENCHMARK, CAMERAS = "benchmark", "cameras"
NOT_OURS = (BENCHMARK, CAMERAS)
"""Parts that only a benchmark has."""
MB = 2.0**20
SHARED_EVERY = 5
"""Shared memory, which takes the kernel some time, is read in one sample of so many."""
NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")
"""Kinds of processor time that don't count; `user` includes the guests' time."""

Parts = Mapping[int, str]
"""Process ids, each with the name of its part."""


@dataclass(slots=True)
class _WatchedProcess:
    process: psutil.Process
    part: str
    first_cpu_s: float
    last_cpu_s: float
    resident: list[tuple[float, float]] = field(default_factory=list)
    """Pairs of seconds from the start and megabytes."""
    proportional: list[tuple[float, float]] = field(default_factory=list)
    """The same, with shared pages divided among processes; sampled less often."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes used in a time."""

    seconds: float
    cores: dict[str, float]
    """Cores used by each part."""
    busy_share: float
    """Share of the usable cores that was busy with any program."""
    peak_mb: float
    """Peak memory of the service, shared pages counted once."""
    memory: list[ProcessMemory]
    """Memory of each process of the service."""


class UsageWatch:
    """Watches processes from its creation on; call `sample` about once a second."""

    def __init__(self, parts: Callable[[], Parts]) -> None:
        """Args: parts: returns the present processes; called at each sample."""
        self._parts = parts
        self._began = time.monotonic()
        self._cpus = sorted(os.sched_getaffinity(0))
        self._busy_began_s = self._read_busy_s()
        self._seen: dict[int, _WatchedProcess] = {}
        self._samples = 0
        self._peak_mb = 0.0
        for pid, part in parts().items():
            self._add(pid, part, since_birth=False)
        self.sample()

    def _add(self, pid: int, part: str, *, since_birth: bool) -> None:
        try:
            process = psutil.Process(pid)
            used = _read_cpu_s(process)
        except psutil.Error:  # it has just ended
            return
        self._seen[pid] = _WatchedProcess(process, part, 0.0 if since_birth else used, used)

    def sample(self) -> None:
        """Sample all processes."""
        now = time.monotonic() - self._began
        for pid, part in self._parts().items():
            if pid not in self._seen:
                self._add(pid, part, since_birth=True)
        for seen in self._seen.values():
            try:
                seen.last_cpu_s = _read_cpu_s(seen.process)
                seen.resident.append((now, seen.process.memory_info().rss / MB))
            except psutil.Error:
                continue
        if self._samples % SHARED_EVERY == 0:
            shares = [(seen, _read_share_mb(seen)) for seen in self._list_ours()]
            self._peak_mb = max(self._peak_mb, sum(share for _, share in shares))
            for seen, share in shares:
                if share > 0.0:
                    seen.proportional.append((now, share))
        self._samples += 1

    def finish(self) -> Usage:
        """Take a last sample, and sum up."""
        self._samples = 0  # the last sample reads shared memory, too
        self.sample()
        seconds = time.monotonic() - self._began
        cores: defaultdict[str, float] = defaultdict(float)
        for seen in self._seen.values():
            cores[seen.part] += (seen.last_cpu_s - seen.first_cpu_s) / seconds
        busy = (self._read_busy_s() - self._busy_began_s) / (seconds * usable_cores())
        memory = [each for seen in self._list_ours() if (each := _measure_memory(seen, seconds))]
        return Usage(seconds, dict(cores), min(busy, 1.0), self._peak_mb, memory)

    def _list_ours(self) -> list[_WatchedProcess]:
        return [seen for seen in self._seen.values() if seen.part not in NOT_OURS]

    def _read_busy_s(self) -> float:
        """Read how long the usable processors were busy since the machine's start."""
        times = psutil.cpu_times(percpu=True)
        fields = [field for cpu in self._cpus for field in times[cpu]._asdict().items()]
        return float(sum(value for name, value in fields if name not in NOT_BUSY))


def _read_cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _read_share_mb(seen: _WatchedProcess) -> float:
    try:
        return float(seen.process.memory_full_info().pss) / MB
    except psutil.Error:
        return 0.0


def _measure_memory(seen: _WatchedProcess, seconds: float) -> ProcessMemory | None:
    """Measure a process; None where it started later, or has ended."""
    before = [mb for time_s, mb in seen.resident if time_s <= seconds / 4.0]
    if not before or not seen.process.is_running():
        return None
    return ProcessMemory(
        part=seen.part,
        pid=seen.process.pid,
        quarter_mb=before[-1],
        end_mb=seen.resident[-1][1],
        end_pss_mb=_read_share_mb(seen),
        rss_trend=fit_trend(seen.resident, seconds),
        pss_trend=fit_trend(seen.proportional, seconds),
    )


def find_descendants(root: int, name_part: Callable[[psutil.Process], str]) -> dict[int, str]:
    """Find a process and all that descend from it, each with the name that `name_part` gives it."""
    found: dict[int, str] = {}
    try:
        top = psutil.Process(root)
        processes = [top, *top.children(recursive=True)]
    except psutil.Error:
        return found
    for process in processes:
        try:
            found[process.pid] = name_part(process)
        except psutil.Error:
            continue
    return found
