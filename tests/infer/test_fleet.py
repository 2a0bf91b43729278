"""Three workers and twelve cameras: when one worker is stopped or killed, the cameras go on."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.bundles.bundle import load
from model.detect.detector import Detector
from service import keys
from service.infer.snapshots import Snapshot
from tests.faults.table import note
from tests.infer.conftest import Bus
from tests.infer.fleet import Fleet, find_longest_gap_s, fleet
from tests.support.footage import draw_clip
from tests.support.servers import wait_for

CAMERAS = [f"camera-{number}" for number in range(12)]


def _epochs(bus: Bus) -> dict[str, int]:
    return {each: int(bus.redis.get(keys.epoch(each)) or 0) for each in CAMERAS}


def _items(bus: Bus, detector: Detector, camera: str) -> Tensor:
    saved = bus.redis.get(keys.snapshot(camera))
    assert saved is not None
    return detector.restore(Snapshot.unpack(saved).state).items


def _busiest(workers: Fleet) -> tuple[str, list[str]]:
    victim = max(workers.workers, key=lambda each: len(workers.of(each)))
    return victim, workers.of(victim)


@pytest.mark.timeout(240)
def test_cameras_of_a_stopped_and_of_a_killed_worker_go_on_and_no_others_move(
    bus: Bus, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    draw_clip(folder, 0, 80)
    for name in CAMERAS:
        bus.add(name, source=str(folder), fps=5.0, loop=True)
    detector = Detector(load(bus.models_dir / "small"))
    trained = detector.start().items
    # Starting so many at once may hold a busy machine up for longer than the tests' short leases.
    with fleet(bus, 3, CAMERAS, NORMWATCH_LEASE_S="3") as workers:
        workers.wait_shared()
        home = workers.owners()
        workers.wait_scored(CAMERAS, 5, 0.0)
        victim, orphans = _busiest(workers)
        process, before = workers.workers[victim], _epochs(bus)

        stopped_at = time.time()
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: not workers.of(victim), "the leases' end")
        workers.wait_scored(orphans, 5, time.time())
        after = _epochs(bus)
        assert {each for each in CAMERAS if after[each] != before[each]} == set(orphans)
        woken_at = time.time()
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: workers.owners() == home, "everybody's own cameras", 60)

        workers.wait_scored(orphans, 5, time.time())
        learned, before = _items(bus, detector, orphans[0]), _epochs(bus)
        killed_at = time.time()
        process.kill()
        wait_for(lambda: orphans[0] not in workers.of(victim), "the leases' end")
        workers.wait_scored(orphans, 1, time.time())
        after = _epochs(bus)
        assert {each for each in CAMERAS if after[each] != before[each]} == set(orphans)
        went_on = _items(bus, detector, orphans[0])

        def are_counted() -> bool:
            return sum(w.takeovers for w in bus.registry.workers(time.time())) >= len(orphans)

        wait_for(are_counted, "heartbeats that count them")
    # The memory has learned on from where it was, and not from the start.
    assert not torch.equal(learned, trained)
    assert (went_on - learned).norm() < (learned - trained).norm()
    published = {name: bus.read_published(name) for name in CAMERAS}
    for scores in published.values():
        frames, epochs = [s.frame for s in scores], [s.epoch for s in scores]
        assert frames == sorted(set(frames)), "no score twice"
        assert epochs == sorted(epochs), "none from a stale owner"
    for fault, start, end in (
        ("its worker is stopped (SIGSTOP)", stopped_at, woken_at),
        ("and wakes up (SIGCONT)", woken_at, killed_at),
        ("its worker is killed (kill -9)", killed_at, time.time()),
    ):
        gap = max(
            find_longest_gap_s(
                [s for s in scores if start - 1.0 <= s.scored_at <= end], valued=True
            )
            for scores in published.values()
        )
        note(
            f"3 workers, 12 cameras: {fault}",
            "under 5 s without a score; no score twice, none of a stale owner; items go on",
            f"{len(orphans)} cameras were its own; longest gap of any camera {gap:.1f} s",
        )


def test_cameras_beyond_what_the_workers_take_wait_and_are_taken_when_there_is_room(
    bus: Bus,
) -> None:
    names = [f"uploads-{number}" for number in range(5)]
    for name in names:
        bus.add(name)
    with bus.worker(worker_id="a", worker_capacity=2), bus.worker(worker_id="b", worker_capacity=2):
        workers = Fleet(bus, names)
        wait_for(lambda: len(workers.owners()) == 4, "four owners")
        with bus.worker(worker_id="c", worker_capacity=9):
            wait_for(lambda: len(workers.owners()) == 5, "an owner for each")
            assert max(len(workers.of(each)) for each in "ab") <= 2
