"""A bus for each test, and workers in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from redis import Redis

from service.bus.connection import connect
from service.bus.registry import Registry
from service.bus.scores import Scores
from service.bus.uploads import Picture, Uploads
from service.infer.source_opening import OpenSource
from service.infer.worker import Worker
from service.messages import FrameScore, StreamConfig, StreamState, StreamStatus
from service.settings import Settings
from tests.support.footage import drawn_picture, jpeg
from tests.support.servers import wait_for

LEASE_S = 1.5
RECENT = 100_000


@dataclass
class Bus:
    """Does what a front end would do on Redis, in short words."""

    redis: Redis
    url: str
    models_dir: Path
    settings: Settings = field(init=False)
    registry: Registry = field(init=False)
    uploads: Uploads = field(init=False)
    scores: Scores = field(init=False)

    def __post_init__(self) -> None:
        self.settings = Settings(
            redis_url=self.url,
            models_dir=self.models_dir,
            lease_s=LEASE_S,
            snapshot_every_s=0.2,
            torch_threads=1,
            # A busy machine loses no frame; what overload does has tests of its own.
            max_frame_age_s=600.0,
            capture_ring_frames=1000,
        )
        self.registry = Registry(self.redis)
        self.uploads = Uploads(self.redis)
        self.scores = Scores(self.redis, RECENT)

    def add(self, stream_id: str, **changes: object) -> StreamConfig:
        """Register a stream of uploads, or change it."""
        fields = {"source": "upload", "model": "small", "revision": 1, **changes}
        config = StreamConfig.model_validate({"id": stream_id, **fields})
        self.registry.publish([config])
        return config

    def upload(self, stream_id: str, pictures: int, start: int = 0) -> None:
        """Upload drawn pictures."""
        images = [jpeg(drawn_picture(start + step)) for step in range(pictures)]
        self.uploads.enqueue(
            stream_id,
            [Picture(1000.0 + i, image) for i, image in enumerate(images, start)],
            first_frame=0,
            max_frames=100_000,
            max_bytes=10**9,
        )

    def read_published(self, stream_id: str) -> list[FrameScore]:
        """Return all scores that were published, in order: nobody records here."""
        found = self.scores.read([stream_id], RECENT).get(stream_id, [])
        return [incoming.score for incoming in found]

    def wait_scores(self, stream_id: str, count: int) -> list[FrameScore]:
        """Wait for so many scores."""
        wait_for(lambda: len(self.read_published(stream_id)) >= count, f"{count} scores")
        return self.read_published(stream_id)

    def status(self, stream_id: str) -> StreamStatus | None:
        """Return what its owner reports."""
        return self.registry.statuses([stream_id]).get(stream_id)

    def wait_status(
        self, stream_id: str, condition: Callable[[StreamStatus], bool]
    ) -> StreamStatus:
        """Wait until its owner reports a status that meets the condition."""
        seen: list[StreamStatus] = []

        def is_reached() -> bool:
            status = self.status(stream_id)
            if status is not None:
                seen.append(status)
            return status is not None and condition(status)

        wait_for(is_reached, f"a status of {stream_id}")
        return seen[-1]

    def wait_state(self, stream_id: str, state: StreamState) -> StreamStatus:
        """Wait for a state."""
        return self.wait_status(stream_id, lambda status: status.state is state)

    @contextmanager
    def worker(
        self,
        *,
        clock: Callable[[], float] = time.time,
        open_source: OpenSource | None = None,
        **changes: object,
    ) -> Iterator[Worker]:
        """A worker in a thread, with a connection of its own."""
        redis = connect(self.url)
        settings = self.settings.model_copy(update=changes)
        made = Worker(settings, redis, clock=clock, open_source=open_source)
        stop = threading.Event()
        thread = threading.Thread(target=made.run, args=(stop,))
        thread.start()
        try:
            yield made
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()
            redis.close()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Torch's threads wait for each other by spinning, which takes the cores from everybody."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def bus(redis: Redis, valkey_server: object, models_dir: Path) -> Bus:
    """An empty bus."""
    url = getattr(valkey_server, "url", "")
    return Bus(redis, url, models_dir)


def stack_measures(scores: list[FrameScore]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return psnr, distance, gate error and score by frame; NaN while warming."""
    rows = [(s.psnr, s.distance, s.gate_error, s.score) for s in scores]
    return np.array(rows, dtype=np.float64)
