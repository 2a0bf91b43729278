"""Processor time and memory of processes over a while, and how busy the cores were meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psutil

from service.bench.figures import ProcessMemory
from service.infer.device import usable_cores

BENCHMARK, CAMERAS = "benchmark", "cameras"
NOT_OURS = (BENCHMARK, CAMERAS)
"""Parts that a service in use doesn't have."""
MB = 2.0**20
SHARED_EVERY = 5
"""Samples between two looks at what processes share, which takes the kernel some time."""
IDLE = ("idle", "iowait")

Parts = Mapping[int, str]
"""Process ids, each with the part that it is."""


@dataclass(slots=True)
class _Seen:
    process: psutil.Process
    part: str
    first_cpu_s: float
    last_cpu_s: float
    resident: list[tuple[float, float]] = field(default_factory=list)
    """Seconds from the start, and megabytes."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used in that time."""

    seconds: float
    cores: dict[str, float]
    """By part."""
    busy_share: float
    """Of the cores that we may use, by whoever."""
    peak_mb: float
    """Of all that are ours, what they share counted once."""
    memory: list[ProcessMemory]
    """Of each that is ours."""


class Watch:
    """Watches from its making on; `sample` is called about once a second."""

    def __init__(self, parts: Callable[[], Parts]) -> None:
        """Args: parts: those that are there now; asked at each sample."""
        self._parts = parts
        self._began = time.monotonic()
        self._cpus = sorted(os.sched_getaffinity(0))
        self._busy_began_s = self._busy_s()
        self._seen: dict[int, _Seen] = {}
        self._samples = 0
        self._peak_mb = 0.0
        for pid, part in parts().items():
            self._add(pid, part, since_birth=False)
        self.sample()

    def _add(self, pid: int, part: str, *, since_birth: bool) -> None:
        try:
            process = psutil.Process(pid)
            used = _cpu_s(process)
        except psutil.Error:  # it has just ended
            return
        self._seen[pid] = _Seen(process, part, 0.0 if since_birth else used, used)

    def sample(self) -> None:
        """One look at all of them."""
        now = time.monotonic() - self._began
        for pid, part in self._parts().items():
            if pid not in self._seen:
                self._add(pid, part, since_birth=True)
        for seen in self._seen.values():
            try:
                seen.last_cpu_s = _cpu_s(seen.process)
                seen.resident.append((now, seen.process.memory_info().rss / MB))
            except psutil.Error:
                continue
        if self._samples % SHARED_EVERY == 0:
            self._peak_mb = max(self._peak_mb, sum(map(_share_mb, self._ours())))
        self._samples += 1

    def finish(self) -> Usage:
        """A last sample, and the sums."""
        self._samples = 0  # it looks at what they share, too
        self.sample()
        seconds = time.monotonic() - self._began
        cores: dict[str, float] = {}
        for seen in self._seen.values():
            used = (seen.last_cpu_s - seen.first_cpu_s) / seconds
            cores[seen.part] = cores.get(seen.part, 0.0) + used
        busy = (self._busy_s() - self._busy_began_s) / (seconds * usable_cores())
        memory = [each for seen in self._ours() if (each := _memory(seen, seconds))]
        return Usage(seconds, cores, min(busy, 1.0), self._peak_mb, memory)

    def _ours(self) -> list[_Seen]:
        return [seen for seen in self._seen.values() if seen.part not in NOT_OURS]

    def _busy_s(self) -> float:
        """Of the processors that we may run on, since the machine's start."""
        times = psutil.cpu_times(percpu=True)
        busy = 0.0
        for cpu in self._cpus:
            fields = times[cpu]._asdict()
            # What guests use is in `user` already.
            kept = {name: value for name, value in fields.items() if not name.startswith("guest")}
            busy += sum(value for name, value in kept.items() if name not in IDLE)
        return busy


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _share_mb(seen: _Seen) -> float:
    try:
        return float(seen.process.memory_full_info().pss) / MB
    except psutil.Error:
        return 0.0


def _memory(seen: _Seen, seconds: float) -> ProcessMemory | None:
    """None where the process came later, or has ended."""
    before = [mb for time_s, mb in seen.resident if time_s <= seconds / 4.0]
    if not before or not seen.process.is_running():
        return None
    return ProcessMemory(seen.part, seen.process.pid, before[-1], seen.resident[-1][1])


def descendants(root: int, part_of: Callable[[psutil.Process], str]) -> dict[int, str]:
    """A process and all that it has started, by what `part_of` says of each."""
    found: dict[int, str] = {}
    try:
        top = psutil.Process(root)
        processes = [top, *top.children(recursive=True)]
    except psutil.Error:
        return found
    for process in processes:
        try:
            found[process.pid] = part_of(process)
        except psutil.Error:
            continue
    return found
