"""Chooses the frames whose turn it is, has them scored, and gives the results to their cameras."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from model.detect.observation import Observation
from model.scene.stillness import REFRESH_S
from model.stages import Stage, StageTimes
from service.infer.batches import MOST_BATCHES, CameraFrame, FrameBatch, RunningBatches
from service.infer.model_pool import LoadedModel
from service.infer.scheduler import BatchSizes, FairTurns, ReadyCamera, Refreshes
from service.infer.worker_camera import Camera
from service.timers import Clock, Timer

log = structlog.stdlib.get_logger(__name__)

MAX_FAULTS = 200
"""Frames in a row that fail, of any camera, before the process ends; it is then started again."""
LOG_EVERY_S = 10.0
BATCH_WAIT_S = 0.05
"""How long to wait for a batch where no other can start before it is done."""

Cameras = Mapping[str, Camera]
"""A worker's cameras by their ids."""


@dataclass(slots=True)
class ScoredTotals:
    """Counts what the worker has scored since its start."""

    batches: int = 0
    frames: int = 0
    inference_s: float = 0.0
    """Seconds spent in the detector."""


class BatchScorer:
    """Scores the frames of a worker's cameras. For the worker's thread; any may read `totals`."""

    def __init__(
        self,
        times: StageTimes,
        *,
        max_frame_age_s: float,
        clock: Clock,
        on_batch: Callable[[], object],
        on_scores: Callable[[], object],
    ) -> None:
        """
        Args:
            clock: seconds since 1970.
            on_batch: called, by another thread, when a batch is done and waits for `score_batch`.
            on_scores: called when cameras have scores to send.
        """
        self.totals = ScoredTotals()
        self._times = times
        self._max_frame_age_s = max_frame_age_s
        self._clock = clock
        self._on_scores = on_scores
        self._batches = RunningBatches(times, on_batch)
        self._turns = FairTurns()
        self._sizes = BatchSizes()
        self._refreshes = Refreshes()
        self._faults = FaultLimit()

    @property
    def is_idle(self) -> bool:
        return not self._batches

    @property
    def oldest_began_s(self) -> float | None:
        """When (monotonic) the batch began that has run for the longest; None without any."""
        return self._batches.oldest_began_s

    def is_scoring(self, camera: Camera) -> bool:
        """Return whether a frame of the camera is being scored: it must be left alone."""
        return self._batches.has(camera)

    def forget(self, stream_id: str) -> None:
        self._turns.forget(stream_id)

    def adapt(self, cameras: Cameras, now_s: float) -> None:
        """Adapt to the load and to the models in use. Args: now_s: monotonic."""
        self._refreshes.observe(sum(each.counts.unscored for each in cameras.values()), now_s)
        self._sizes.keep_only({each.model.key for each in cameras.values() if each.model})

    def score_batch(self, cameras: Cameras) -> bool:
        """Have a frame scored of each camera whose turn it is.

        Returns: whether there was any, or a batch was done.
        Raises: RuntimeError: inference fails for frame after frame.
        """
        settled = self.settle(BATCH_WAIT_S if len(self._batches) == MOST_BATCHES else 0.0)
        if len(self._batches) == MOST_BATCHES:
            return True
        ready = self._find_ready(cameras)
        turns: list[CameraFrame] = []
        for stream_id in self._turns.next_batch(ready, self._choose_limit(cameras, ready)):
            camera = cameras[stream_id]
            frame = camera.pop()
            if frame is None or camera.state is None:
                continue
            if frame.cut:
                camera.state.cut()
            turns.append((camera, frame))
        model = turns[0][0].model if turns else None
        if model is None:
            return settled or bool(ready)
        if model.detector.batches == 1:
            self._observe(FrameBatch(model, turns))
            self._on_scores()
        else:
            self._batches.submit(FrameBatch(model, turns))
        return True

    def score_still(self, cameras: Cameras) -> None:
        """Score the frames that need no network, a frame of each camera at a time.

        Raises: RuntimeError: inference fails for frame after frame.
        """
        while batches := self._pop_still(cameras):
            for batch in batches:
                self._observe(batch, self._refreshes.every_s)
            self._on_scores()

    def settle(self, timeout_s: float) -> bool:
        """Give the results of done batches to their cameras. Returns whether there were any."""
        done = self._batches.pop_done(timeout_s)
        for batch, future in done:
            try:
                self._put(batch, future.result())
            except Exception as error:
                self._observe_alone(batch, error)
        if done:
            self._on_scores()
        return bool(done)

    def close(self) -> None:
        """Start no batch any more."""
        self._batches.close()

    def _find_ready(self, cameras: Cameras) -> dict[str, ReadyCamera]:
        """Find the cameras with a frame to score, once the frames that would be too old at their
        score are appended without one."""
        now, ready = self._clock(), {}
        for stream_id, camera in cameras.items():
            if camera.model is None or camera.is_held or self.is_scoring(camera):
                continue
            group = camera.model.key
            done_at = now + self._sizes.expected_s(group)
            camera.append_stale(done_at - self._max_frame_age_s, now)
            if waiting := camera.count_waiting():
                ready[stream_id] = ReadyCamera(group, camera.config.weight, waiting)
        return ready

    def _choose_limit(
        self, cameras: Cameras, ready: Mapping[str, ReadyCamera]
    ) -> Callable[[str], int]:
        """Choose the most cameras in a batch: none takes what the other batch could have."""
        models = [camera.model for camera in cameras.values() if camera.model is not None]
        shares = {model.key: model.detector.batches for model in models}
        counts = Counter(each.group for each in ready.values())

        def limit(group: str) -> int:
            return min(self._sizes.limit(group), max(1, -(-counts[group] // shares[group])))

        return limit

    def _pop_still(self, cameras: Cameras) -> list[FrameBatch]:
        turns: dict[str, tuple[LoadedModel, list[CameraFrame]]] = {}
        for camera in cameras.values():
            model = camera.model
            if model is None or not camera.count_waiting():
                continue
            if camera.is_held or self.is_scoring(camera):
                continue
            frame = camera.pop_still(self._refreshes.every_s)
            if frame is not None:
                turns.setdefault(model.key, (model, []))[1].append((camera, frame))
        return [FrameBatch(model, of_model) for model, of_model in turns.values()]

    def _observe(self, batch: FrameBatch, refresh_s: float = REFRESH_S) -> None:
        """Score the batch now."""
        try:
            seen = batch.observe(self._times, refresh_s)
        except Exception as error:
            self._observe_alone(batch, error)
            return
        self._put(batch, seen)

    def _observe_alone(self, batch: FrameBatch, error: Exception) -> None:
        """Score each camera alone, once a batch has failed: one can't stop the others."""
        if len(batch.turns) == 1:
            ((camera, frame),) = batch.turns
            camera.drop(frame)
            self._faults.add(camera.config.id, frame.frame, error)
            return
        for turn in batch.turns:
            self._observe(FrameBatch(batch.model, [turn]))

    def _put(self, batch: FrameBatch, seen: Sequence[Observation]) -> None:
        computed = sum(each.computed for each in seen)
        # Next to another one a batch takes longer, and no less is done in that time.
        alone_s = batch.took_s / batch.model.detector.batches
        self._sizes.learn(batch.model.key, computed, alone_s)
        self.totals.inference_s += batch.took_s
        self.totals.batches += 1
        self.totals.frames += len(batch.turns)
        self._faults.reset()
        now = self._clock()
        for (camera, frame), observation in zip(batch.turns, seen, strict=True):
            camera.put(frame, observation, now)
        with self._times.spend_on(Stage.CLIPS):
            for (camera, frame), observation in zip(batch.turns, seen, strict=True):
                camera.keep_picture(frame, observation)


class FaultLimit:
    """Counts the frames in a row that couldn't be scored."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._log_timer = Timer(LOG_EVERY_S)

    def reset(self) -> None:
        self._in_a_row = 0

    def add(self, stream_id: str, frame: int, error: Exception) -> None:
        """Count a frame that couldn't be scored. Raises: RuntimeError: there were too many."""
        self._in_a_row += 1
        if self._log_timer.restart_if_due():
            log.error(
                "a frame can't be scored; it is dropped",
                stream=stream_id,
                frame=frame,
                exc_info=error,
            )
        if self._in_a_row >= MAX_FAULTS:
            raise RuntimeError(f"{self._in_a_row} frames in a row can't be scored") from error
