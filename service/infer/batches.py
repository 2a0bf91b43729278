"""Batches on their way through a detector, in threads next to the worker's own: while one is
scored, another keeps the engine at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from model.detect.observation import Observation
from model.scene.stillness import REFRESH_S
from model.stages import Stage, StageTimes
from service.infer.frame_scores import find_features
from service.infer.frame_sources import SourceFrame
from service.infer.model_pool import LoadedModel
from service.infer.worker_camera import Camera

MOST_BATCHES = 2
"""Batches that run at a time, of all models together."""

CameraFrame = tuple[Camera, SourceFrame]


@dataclass(slots=True)
class FrameBatch:
    """Frames of different cameras of one model."""

    model: LoadedModel
    turns: Sequence[CameraFrame]
    began_s: float = field(default_factory=time.monotonic)
    took_s: float = 0.0

    def observe(self, times: StageTimes, refresh_s: float = REFRESH_S) -> list[Observation]:
        """Have the detector observe the frames. Raises: anything that the detector raises."""
        self.began_s = time.monotonic()
        try:
            with times.spend_on(Stage.SCORING):
                return self.model.detector.observe(
                    [camera.state for camera, _ in self.turns if camera.state is not None],
                    [frame.pixels for _, frame in self.turns],
                    [camera.options for camera, _ in self.turns],
                    [find_features(frame) for _, frame in self.turns],
                    refresh_s=refresh_s,
                )
        finally:
            self.took_s = time.monotonic() - self.began_s


class RunningBatches:
    """Runs batches in threads. For the worker's thread, which leaves their cameras alone."""

    def __init__(self, times: StageTimes, on_done: Callable[[], object]) -> None:
        self._times = times
        self._on_done = on_done
        self._threads = ThreadPoolExecutor(MOST_BATCHES, "infer")
        self._running: list[tuple[FrameBatch, Future[list[Observation]]]] = []

    def __len__(self) -> int:
        return len(self._running)

    def submit(self, batch: FrameBatch) -> None:
        """Start a batch; `on_done` is called, by another thread, when it is done."""
        future = self._threads.submit(batch.observe, self._times)
        self._running.append((batch, future))
        future.add_done_callback(lambda _: self._on_done())

    def has(self, camera: Camera) -> bool:
        return any(camera is other for batch, _ in self._running for other, _ in batch.turns)

    def pop_done(
        self, timeout_s: float = 0.0
    ) -> list[tuple[FrameBatch, Future[list[Observation]]]]:
        """Take out the batches that are done, once any is or the time is over."""
        if not self._running:
            return []
        wait([future for _, future in self._running], timeout_s, FIRST_COMPLETED)
        done = [each for each in self._running if each[1].done()]
        self._running = [each for each in self._running if each not in done]
        return done

    @property
    def oldest_began_s(self) -> float | None:
        """When (monotonic) the batch began that has run for the longest; None without any."""
        return min((batch.began_s for batch, _ in self._running), default=None)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
