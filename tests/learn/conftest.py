"""A learner in a thread, on a real Redis, whose processes are real."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from redis import Redis

from service.bus.learnings import Learnings
from service.learn.learner import Learner
from service.learning_messages import LearningJob, LearningState, LearningStatus
from service.settings import Settings
from service.tools.demo.video import write_video
from service.tools.demo.walkway import draw_frames
from tests.support.servers import wait_for

LEASE_S = 2.0
SIDE = 64
"""Small pictures are learned in seconds."""
WORK_S = 300.0
"""A tiny training takes seconds; a busy machine gets more."""


@dataclass
class LearnBench:
    """Does what a front end would do for learnings, in short words."""

    redis: Redis
    url: str
    settings: Settings
    learnings: Learnings = field(init=False)

    def __post_init__(self) -> None:
        self.learnings = Learnings(self.redis, LEASE_S)

    def ask(self, *sources: str | Path, ident: str = "one", **changes: object) -> LearningJob:
        """Publish a learning next to those that are there; one of the same id is replaced."""
        fields: dict[str, object] = {
            "id": ident,
            "stream_id": "cam",
            "bundle": f"cam-{ident}",
            "sources": tuple(map(str, sources)),
            "fps": 10.0,
            "seconds": 20.0,
            "preset": "tiny",
            "epochs": 1,
            "created_at": time.time(),
        }
        job = LearningJob.model_validate(fields | changes)
        others = [other for other in self.learnings.jobs() if other.id != ident]
        self.learnings.synchronise([*others, job])
        return job

    def drop(self, ident: str = "one") -> None:
        """Take a learning out of Redis."""
        self.learnings.synchronise([job for job in self.learnings.jobs() if job.id != ident])

    def status(self, ident: str = "one") -> LearningStatus | None:
        """What was reported of a learning, if anything was."""
        return self.learnings.statuses().get(ident)

    def wait_for_state(self, state: LearningState, ident: str = "one") -> LearningStatus:
        """Wait until a learning is in a state; a failure ends the wait."""

        def has_come() -> bool:
            status = self.status(ident)
            if status is None:
                return False
            if status.state is LearningState.FAILED is not state:
                pytest.fail(status.reason)
            return status.state is state

        wait_for(has_come, state.value, WORK_S)
        status = self.status(ident)
        assert status is not None
        return status

    def folder(self, ident: str = "one") -> Path:
        """The learning's own folder."""
        return self.settings.data_dir / "learning" / ident

    @contextmanager
    def learner(self) -> Iterator[Learner]:
        """Run a learner within the block."""
        # Other tests may run at the same time, and leave no time.
        learner = Learner(self.settings, self.redis, lease_s=LEASE_S, side=SIDE, is_idle=False)
        stop = threading.Event()
        thread = threading.Thread(target=learner.run, args=(stop,))
        thread.start()
        try:
            yield learner
        finally:
            stop.set()
            thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def bench(
    redis: Redis,
    valkey_server: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> LearnBench:
    """An empty Redis and data folder."""
    monkeypatch.setenv("GLIBC_TUNABLES", "")
    settings = Settings(
        redis_url=getattr(valkey_server, "url"),  # noqa: B009
        data_dir=tmp_path / "data",
        torch_threads=1,
        engine="torch-fp32",
    )
    return LearnBench(redis, str(settings.redis_url), settings)


@pytest.fixture(scope="session")
def walkway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of people on the drawn walkway."""
    path = tmp_path_factory.mktemp("walkway") / "walkway.mp4"
    write_video(path, draw_frames(5, 30.0, ()))
    return path


def find_job_processes() -> list[psutil.Process]:
    """The processes of learnings that this process has started."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "learn-job" in child.cmdline()]
