"""Several workers as processes, and what is known of the scores that they publish."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

from service import keys
from service.messages import FrameScore
from tests.infer.conftest import Bus
from tests.support.servers import wait_for


@contextmanager
def worker_process(bus: Bus, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`normwatch worker` in a process of its own."""
    settings = {
        "NORMWATCH_REDIS_URL": bus.url,
        "NORMWATCH_MODELS_DIR": str(bus.models_dir),
        "NORMWATCH_LEASE_S": str(bus.settings.lease_s),
        "NORMWATCH_SNAPSHOT_EVERY_S": str(bus.settings.snapshot_every_s),
        "NORMWATCH_TORCH_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "service", "worker"],
        env=os.environ | settings | environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@dataclass
class Fleet:
    """Workers, by their ids."""

    bus: Bus
    cameras: list[str]
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def owners(self) -> dict[str, str]:
        """The worker that holds each camera's lease."""
        found = [self.bus.redis.get(keys.lease(each)) for each in self.cameras]
        held = zip(self.cameras, cast(list[bytes | None], found), strict=True)
        return {each: text.decode().rpartition(":")[0] for each, text in held if text}

    def of(self, worker: str) -> list[str]:
        """Its cameras."""
        return [each for each, owner in self.owners().items() if owner == worker]

    def wait_shared(self) -> None:
        """Wait until every camera has an owner among several, and nothing moves any more."""
        wait_for(lambda: len(set(self.owners().values())) == len(self.workers), "shares", 60)
        wait_for(self._is_still, "the end of handing over", 60)

    def _is_still(self) -> bool:
        before = self.owners()
        time.sleep(2.0)
        return before == self.owners() and len(before) == len(self.cameras)

    def wait_scored(self, cameras: list[str], count: int, after: float) -> None:
        """Wait until each of these cameras has so many scores with a value after a time."""

        def are_scored() -> bool:
            return all(
                sum(s.score is not None and s.scored_at > after for s in self.newest(each)) >= count
                for each in cameras
            )

        wait_for(are_scored, f"{count} scores of {', '.join(cameras)}", 60)

    def newest(self, camera: str) -> list[FrameScore]:
        """The newest few scores, the newest first."""
        return self.bus.read_published(camera)[:-101:-1]


@contextmanager
def fleet(bus: Bus, workers: int, cameras: list[str], **environment: str) -> Iterator[Fleet]:
    """So many workers for cameras that are registered."""
    made = Fleet(bus, cameras)
    with ExitStack() as stack:
        for number in range(workers):
            name = f"worker-{number}"
            process = worker_process(bus, NORMWATCH_WORKER_ID=name, **environment)
            made.workers[name] = stack.enter_context(process)
        yield made


def find_longest_gap_s(scores: list[FrameScore], *, valued: bool) -> float:
    """Find the longest time between scores that follow each other, of those with a value or all."""
    times = [score.scored_at for score in scores if score.score is not None or not valued]
    return max((later - earlier for earlier, later in pairwise(times)), default=0.0)
