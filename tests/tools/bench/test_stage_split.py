"""CPU time is split by what processes count within themselves, and nothing of it is lost."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from model.stages import Stage
from service.messages import WorkerStatus
from service.metrics import FrontEndCollector, StreamCollector
from service.tools.bench.stage_split import CpuCounters, split_by_stage


def _metrics(worker: dict[str, float], front_end: dict[str, float], name: str = "w") -> CpuCounters:
    status = WorkerStatus(
        id=name, started_at=0.0, seen_at=0.0, streams=1, device="cpu", cpu_s=worker
    )
    registry = CollectorRegistry()
    registry.register(StreamCollector(dict, lambda: [status]))
    registry.register(FrontEndCollector(lambda: front_end))
    return CpuCounters.parse(generate_latest(registry).decode())


def test_what_workers_count_is_read_from_the_metrics() -> None:
    before = _metrics({"network": 10.0, "loop": 1.0}, {})
    after = _metrics({"network": 14.0, "loop": 2.0, "scene": 0.5, "of later": 0.25}, {})
    assert after.sum_worker_stages(before) == {
        Stage.NETWORK: 4.0,
        Stage.LOOP: 1.0,
        Stage.SCENE: 0.5,
        Stage.REST: 0.25,
    }


def test_a_worker_that_was_started_again_counts_from_its_start() -> None:
    before = _metrics({"network": 10.0}, {}, "first")
    after = _metrics({"network": 2.0}, {}, "second")
    assert after.sum_worker_stages(before) == {Stage.NETWORK: 2.0}


def test_threads_of_the_front_end_are_stages() -> None:
    before = CpuCounters(front_end={"recorder": 1.0, "other": 1.0})
    after = CpuCounters(
        front_end={"recorder": 3.0, "keeper": 0.5, "normal footage": 0.25, "other": 2.0}
    )
    assert after.sum_front_end_stages(before) == {
        Stage.RECORDING: 2.0,
        Stage.CLIPS: 0.75,
        Stage.SERVING: 1.0,
    }


def test_the_front_end_counts_all_of_its_process() -> None:
    named = _metrics({}, {"recorder": 0.001}).front_end
    assert set(named) == {"recorder", "other"}
    assert named["recorder"] == 0.001 and named["other"] > 0.0


def test_stages_add_up_to_the_parts_as_the_kernel_counts_them() -> None:
    cores = {"worker": 1.0, "front end": 0.5, "capture": 0.3, "redis": 0.1, "supervisor": 0.01}
    within = {
        "worker": {Stage.NETWORK: 6.0, Stage.CLIPS: 1.0, Stage.LOOP: 1.0, Stage.REST: -0.01},
        "front end": {Stage.RECORDING: 3.0, Stage.CLIPS: 1.0},
    }
    stages = split_by_stage(cores, within)
    assert sum(stages.values()) == pytest.approx(sum(cores.values()))
    assert stages[Stage.NETWORK] == pytest.approx(0.75)
    assert stages[Stage.CLIPS] == pytest.approx(0.125 + 0.125)
    assert stages[Stage.RECORDING] == pytest.approx(0.375)
    assert stages[Stage.CAPTURE] == 0.3 and stages[Stage.REDIS] == 0.1
    assert stages[Stage.REST] == pytest.approx(0.01)


def test_a_worker_that_counted_nothing_is_rest() -> None:
    assert split_by_stage({"worker": 1.0}, {"worker": {}})[Stage.REST] == 1.0
