"""Publishes synthetic scores and statuses as a worker does, at the pace of real cameras."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from redis import Redis

from service import keys
from service.bus.leases import Leases
from service.bus.log_entries import Notes
from service.bus.registry import Registry
from service.bus.scores import Scores
from service.bus.uploads import Uploads
from service.infer.result_publisher import ResultPublisher
from service.messages import FrameScore, StreamState, StreamStatus, WorkerStatus
from service.settings import Settings

WORKER = "measuring"
THRESHOLD = 0.5
EVENT_EVERY, EVENT_FRAMES = 3000, 20
"""Frames of a camera from the beginning of one event to that of the next, and of an event."""
BATCH = 4
"""Cameras whose frames are scored together."""


class ScoreFeed:
    """Publishes scores and statuses as a worker does."""

    def __init__(self, redis: Redis, ids: Sequence[str], rate: float) -> None:
        """Args: rate: scores a second of each camera."""
        self.ids = ids
        self.made = 0
        self.times: dict[int, float] = {}
        """The times at which the first camera's scores were made, by frame."""
        self._redis, self._rate, self._frame = redis, rate, 0
        self._random = random.Random(0)
        self._registry = Registry(redis)
        leases = Leases(redis, WORKER, 36_000.0)
        self._publisher = ResultPublisher(
            Scores(redis, Settings().max_score_backlog),
            Uploads(redis),
            self._registry,
            Notes(redis),
            on_stale=lambda: None,
        )
        self._outboxes = [self._publisher.open(each, leases.acquire(each) or 0) for each in ids]

    @contextmanager
    def run_threads(self) -> Iterator[int]:
        """Publish and report in threads; yields the clock of the publisher's processor time."""
        stop = threading.Event()
        publishing = threading.Thread(target=self._publisher.run, args=(stop, lambda: None))
        reporting = threading.Thread(target=self._report, args=(stop,))
        publishing.start()
        reporting.start()
        try:
            yield time.pthread_getcpuclockid(publishing.ident or 0)
        finally:
            stop.set()
            publishing.join()
            reporting.join()

    def _report(self, stop: threading.Event) -> None:
        while not stop.wait(1.0):
            now = time.time()
            statuses = {
                outbox.stream_id: StreamStatus(
                    state=StreamState.LIVE,
                    since=1.0,
                    worker=WORKER,
                    epoch=outbox.epoch,
                    scored=outbox.scored,
                    fps=self._rate,
                    frame_age_s=0.05,
                    updated_at=now,
                )
                for outbox in self._outboxes
            }
            count = len(statuses)
            self._registry.report(
                statuses,
                WorkerStatus(id=WORKER, started_at=1.0, seen_at=now, streams=count, device="cpu"),
            )

    def run(self, seconds: float) -> None:
        """Make scores of a few cameras at a time, evenly spread."""
        began = time.monotonic()
        batches = [self._outboxes[i : i + BATCH] for i in range(0, len(self._outboxes), BATCH)]
        for turn in range(round(self._rate * seconds)):
            for place, batch in enumerate(batches):
                due = began + (turn + place / len(batches)) / self._rate
                time.sleep(max(0.0, due - time.monotonic()))
                now = time.time()
                if place == 0:
                    self.times[self._frame] = now
                for number, outbox in enumerate(batch, BATCH * place):
                    outbox.put(self._make_score(number, outbox.epoch, now), None)
                self.made += len(batch)
                self._publisher.notify()
            self._frame += 1

    def _make_score(self, camera: int, epoch: int, now: float) -> FrameScore:
        draw = self._random.uniform
        is_event = (self._frame + 37 * camera) % EVENT_EVERY < EVENT_FRAMES
        return FrameScore(
            frame=self._frame,
            epoch=epoch,
            captured_at=now - 0.05,
            scored_at=now,
            psnr=draw(33.0, 41.0),
            distance=draw(2e-6, 2e-5),
            gate_error=draw(0.003, 0.02),
            score=draw(0.7, 0.9) if is_event else draw(0.05, 0.4),
            threshold=THRESHOLD,
            memory_updated=not is_event,
            region=(draw(0.0, 0.4), draw(0.0, 0.4), draw(0.5, 1.0), draw(0.5, 1.0)),
        )

    def count_waiting(self) -> int:
        """Count the scores that the recorder hasn't stored yet."""
        return sum(int(self._redis.xlen(keys.scores(each))) for each in self.ids)
