"""Splits the service's CPU time by stage: the kernel counts each process, and the worker and the
front end count within themselves, which `/metrics` shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from model.stages import Stage
from service.metrics import FRONT_END_CPU, WORKER_CPU

FRONT_END_STAGES = {
    "recorder": Stage.RECORDING,
    "keeper": Stage.CLIPS,
    "normal footage": Stage.CLIPS,
}
"""Stages of the front end's threads; all other threads are `SERVING`."""
WHOLE_PARTS = {"capture": Stage.CAPTURE, "redis": Stage.REDIS}
"""Parts of the service whose processes are one stage."""


@dataclass(frozen=True, slots=True)
class CpuCounters:
    """CPU seconds that the service's processes have counted so far."""

    workers: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Seconds by worker and stage."""
    front_end: Mapping[str, float] = field(default_factory=dict)
    """Seconds by thread."""

    @staticmethod
    def parse(metrics: str) -> CpuCounters:
        """Parse the text of `/metrics`."""
        workers: dict[tuple[str, str], float] = {}
        front_end: dict[str, float] = {}
        for family in text_string_to_metric_families(metrics):
            for sample in family.samples:
                if sample.name == f"{WORKER_CPU}_total":
                    workers[sample.labels["worker"], sample.labels["stage"]] = sample.value
                elif sample.name == f"{FRONT_END_CPU}_total":
                    front_end[sample.labels["thread"]] = sample.value
        return CpuCounters(workers, front_end)

    def sum_worker_stages(self, before: CpuCounters) -> dict[Stage, float]:
        """Sum the seconds that workers spent since `before`, by stage."""
        spent: defaultdict[Stage, float] = defaultdict(float)
        for (worker, name), seconds in self.workers.items():
            stage = Stage(name) if name in list(Stage) else Stage.REST
            spent[stage] += seconds - before.workers.get((worker, name), 0.0)
        return spent

    def sum_front_end_stages(self, before: CpuCounters) -> dict[Stage, float]:
        """Sum the seconds that the front end spent since `before`, by stage."""
        spent: defaultdict[Stage, float] = defaultdict(float)
        for thread, seconds in self.front_end.items():
            stage = FRONT_END_STAGES.get(thread, Stage.SERVING)
            spent[stage] += seconds - before.front_end.get(thread, 0.0)
        return spent


def split_by_stage(
    cores: Mapping[str, float], within: Mapping[str, Mapping[Stage, float]]
) -> dict[Stage, float]:
    """Split the cores used by stage; the stages add up to the cores of all parts.

    Args:
        cores: used by each part of the service, as the kernel counts them.
        within: CPU seconds by stage, as parts count them within themselves. Only their shares are
            used, because they are of a slightly different time: heartbeats come once a second.
    """
    stages = dict.fromkeys(Stage, 0.0)
    for part, used in cores.items():
        seconds = {stage: max(0.0, spent) for stage, spent in within.get(part, {}).items()}
        total = sum(seconds.values())
        if total <= 0.0:
            stages[WHOLE_PARTS.get(part, Stage.REST)] += used
            continue
        for stage, spent in seconds.items():
            stages[stage] += used * spent / total
    return stages
