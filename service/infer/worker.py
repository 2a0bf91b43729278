"""The worker: owns cameras, batches their frames, scores them, and sends what comes out.

Threads: this one scores; others keep the leases, send to Redis, read uploads, decode, load models.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

import structlog
from redis import Redis
from redis.exceptions import RedisError

from model.observation import Observation
from service.bus.footage import Footage
from service.bus.notes import Notes
from service.bus.registry import Registry
from service.bus.scores import Scores
from service.bus.uploads import Uploads
from service.capture.spawner import shared_spawner
from service.infer.camera import Camera
from service.infer.device import choose_threads
from service.infer.feeder import Feeder
from service.infer.footage import Filmed, FootageSender
from service.infer.models import LoadedModel, ModelPool
from service.infer.opening import open_configured
from service.infer.ownership import Owned, Ownership
from service.infer.pictures import Pictures
from service.infer.publisher import Publisher
from service.infer.scheduler import BatchSizes, FairTurns, Ready
from service.infer.sources import FrameSource, SourceFrame
from service.messages import StreamStatus, WorkerStatus
from service.settings import Settings

log = structlog.stdlib.get_logger(__name__)

IDLE_S = 0.05
REPORT_EVERY_S = 1.0
HANG_S = 60.0
"""A worker whose scoring stands still for so long lets its leases run out."""
JOIN_S = 1.5
"""At the end: so long for the threads to end."""
FLUSH_S = 1.5
"""And so long for what still waits; a Redis that doesn't answer gets nothing."""
CLOSE_S = 1.5
"""And so long for the captures to end; they are killed by then."""
CLOSERS = 64
"""Sources that are closed at a time, each of which may hang."""
MAX_FAULTS = 200
"""Frames in a row that fail, of whatever camera, before the process ends, to be started afresh."""
FAULT_LOG_S = 10.0
Turn = tuple[Camera, SourceFrame]
SourceOpener = Callable[[Camera, Callable[[], object]], FrameSource]
"""Opens a camera's source, which calls the other argument when it has a frame."""


class Worker:
    """Runs until it is stopped. `run` is called once."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        *,
        device: str = "cpu",
        clock: Callable[[], float] = time.time,
        open_source: SourceOpener | None = None,
    ) -> None:
        """Args: open_source: None captures, or takes uploads, as each camera is configured."""
        self.id = settings.worker_id or (
            f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        )
        self._settings = settings
        self._device = device
        self._clock = clock
        self._wake = threading.Event()
        self._began_at = clock()
        self._cameras: dict[str, Camera] = {}
        self._closing: set[Future[None]] = set()
        self._batches = 0
        self._frames = 0
        self._inference_s = 0.0
        self._registry = Registry(redis)
        scores, uploads = Scores(redis, settings.max_score_backlog), Uploads(redis)
        self._ownership = Ownership(
            redis,
            self.id,
            lease_s=settings.lease_s,
            capacity=settings.worker_capacity,
            heartbeat=self._heartbeat,
            on_change=self._wake.set,
            is_working=self._is_working,
        )
        self._publisher = Publisher(
            scores, uploads, self._registry, Notes(redis), on_stale=self._ownership.doubt
        )
        self._feeder = Feeder(
            uploads,
            preview_width=settings.preview_width,
            picture_every_s=settings.picture_every_s,
            on_frame=self._wake.set,
        )
        self._footage = FootageSender(Footage(redis), self._filmed)
        self._open = open_source or self._configured_source
        self._warm = open_source is not None
        """Whether what starts capture processes is there, or not needed."""
        self._models = ModelPool(
            [settings.user_models],
            device,
            engine=settings.engine,
            threads=choose_threads(settings.torch_threads),
        )
        self._turns = FairTurns()
        self._sizes = BatchSizes()
        self._closer = ThreadPoolExecutor(CLOSERS, "close")
        self._threads: list[threading.Thread] = []
        self._halt = threading.Event()
        self._beat = time.monotonic()
        self._reconciled_at = self._reported_at = float("-inf")
        self._fault_logged_at = float("-inf")
        self._faults = 0
        self._inference_cpu_s = 0.0

    @property
    def inference_cpu_s(self) -> float:
        """Processor time that the scoring thread has spent in detectors; threads that an engine
        has of its own aren't in it."""
        return self._inference_cpu_s

    def run(self, stop: threading.Event) -> None:
        """Score until `stop` is set; then hand everything over in order.

        Raises: RuntimeError: inference fails for frame after frame.
        """
        self._startup()
        try:
            while not stop.is_set():
                self._beat = time.monotonic()
                if self._beat - self._reconciled_at >= IDLE_S:
                    self._reconciled_at = self._beat
                    self._reconcile()
                if not self._score_batch():
                    self._wake.wait(IDLE_S)
                    self._wake.clear()
        finally:
            self._shutdown()

    def _startup(self) -> None:
        log.info("the worker starts", worker=self.id, device=self._device)
        for name, target in (
            ("ownership", lambda: self._ownership.run(self._halt)),
            ("publisher", lambda: self._publisher.run(self._halt, self._report_if_due)),
            ("feeder", lambda: self._feeder.run(self._halt)),
            ("footage", lambda: self._footage.run(self._halt)),
        ):
            thread = threading.Thread(
                target=self._guarded, args=(name, target), name=name, daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def _guarded(self, name: str, target: Callable[[], None]) -> None:
        while not self._halt.is_set():
            try:
                target()
            except Exception:
                log.exception("a thread of the worker failed; it is started again", thread=name)
                self._halt.wait(1.0)

    def _is_working(self) -> bool:
        return time.monotonic() - self._beat < HANG_S

    def _reconcile(self) -> None:
        """Make the cameras those that we own, each as it is configured."""
        owned = self._ownership.owned()
        for stream_id, camera in list(self._cameras.items()):
            now_owned = owned.get(stream_id)
            if now_owned is None or now_owned.tenure != camera.owned.tenure:
                self._let_go(stream_id)
        for stream_id, each in owned.items():
            camera = self._cameras.get(stream_id) or self._take(each)
            if camera.owned is not each:
                camera.update(each, self._models)
            if each.leaving:
                if camera.leave():
                    self._ownership.left(stream_id)
                continue
            camera.tend(self._models, self._open_source)
            camera.save(time.monotonic(), self._settings.snapshot_every_s)
            camera.advance(self._clock())
        used = {camera.config.model for camera in self._cameras.values()}
        self._models.keep_only(used | self._ownership.models)
        # Another worker's cameras may be this one's in a moment.
        self._models.preload(self._ownership.models)
        if self._ownership.captures and not self._warm:
            self._warm = True
            with suppress(OSError):  # then it is tried again with the first camera
                shared_spawner().warm_up()
        self._sizes.keep_only({c.model.weights for c in self._cameras.values() if c.model})

    def _take(self, owned: Owned) -> Camera:
        stream_id = owned.config.id
        outbox = self._publisher.open(stream_id, owned.epoch)
        camera = Camera(
            owned,
            outbox,
            worker_id=self.id,
            memory_rule=self._settings.memory_rule,
            pictures=Pictures.configured(self._settings),
            close_source=self._close_source,
        )
        self._cameras = {**self._cameras, stream_id: camera}
        return camera

    def _filmed(self) -> dict[str, Filmed]:
        return {
            stream_id: Filmed(camera.pictures.reel, camera.owned.epoch)
            for stream_id, camera in self._cameras.items()
        }

    def _let_go(self, stream_id: str) -> None:
        camera = self._cameras[stream_id]
        # A new dictionary: the reporting thread may be walking through the old one.
        self._cameras = {key: each for key, each in self._cameras.items() if key != stream_id}
        self._turns.forget(stream_id)
        camera.close()
        self._publisher.remove(camera.outbox)

    def _open_source(self, camera: Camera) -> FrameSource:
        return self._open(camera, self._wake.set)

    def _configured_source(self, camera: Camera, on_frame: Callable[[], object]) -> FrameSource:
        return open_configured(camera, self._settings, self._feeder, on_frame)

    def _close_source(self, source: FrameSource) -> None:
        source.stop()
        self._closing = {each for each in self._closing if not each.done()}
        self._closing.add(self._closer.submit(source.close))

    def _score_batch(self) -> bool:
        """Score one frame of each camera whose turn it is; whether there was any."""
        ready = self._ready()
        turns: list[Turn] = []
        for stream_id in self._turns.next_batch(ready, self._sizes.limit):
            camera = self._cameras[stream_id]
            frame = camera.pop()
            if frame is None or camera.state is None:
                continue
            if frame.cut:
                camera.state.cut()
            turns.append((camera, frame))
        if turns and turns[0][0].model is not None:
            self._observe(turns[0][0].model, turns)
            self._publisher.notify()
        return bool(ready)

    def _ready(self) -> dict[str, Ready]:
        """The cameras that have something to score, once what would be too old is taken in."""
        now, ready = self._clock(), {}
        for stream_id, camera in self._cameras.items():
            if camera.model is None:
                continue
            group = camera.model.weights
            done_at = now + self._sizes.expected_s(group)
            camera.take_in_stale(done_at - self._settings.max_frame_age_s, now)
            if waiting := camera.waiting:
                ready[stream_id] = Ready(group, camera.config.weight, waiting)
        return ready

    def _observe(self, model: LoadedModel, turns: Sequence[Turn]) -> None:
        """Score the batch; if that fails, each camera alone, so that one can't stop the others."""
        began, cpu_began = time.perf_counter(), time.thread_time()
        try:
            seen = self._detect(model, turns)
        except Exception as error:
            if len(turns) > 1:
                for turn in turns:
                    self._observe(model, [turn])
            else:
                self._fault(*turns[0], error)
            return
        took_s = time.perf_counter() - began
        self._inference_s += took_s
        inferred = sum(observation.psnr is not None for observation in seen)
        self._sizes.learn(model.weights, inferred, took_s)
        self._inference_cpu_s += time.thread_time() - cpu_began
        self._batches += 1
        self._frames += len(turns)
        self._faults = 0
        now = self._clock()
        for (camera, frame), observation in zip(turns, seen, strict=True):
            camera.put(frame, observation, now)

    @staticmethod
    def _detect(model: LoadedModel, turns: Sequence[Turn]) -> list[Observation]:
        states = [camera.state for camera, _ in turns if camera.state is not None]
        return model.detector.observe(
            states,
            [frame.pixels for _, frame in turns],
            [camera.options for camera, _ in turns],
        )

    def _fault(self, camera: Camera, frame: SourceFrame, error: Exception) -> None:
        camera.drop(frame)
        self._faults += 1
        now = time.monotonic()
        if now - self._fault_logged_at >= FAULT_LOG_S:
            self._fault_logged_at = now
            log.error(
                "a frame can't be scored; it is dropped",
                stream=camera.config.id,
                frame=frame.frame,
                exc_info=error,
            )
        if self._faults >= MAX_FAULTS:
            raise RuntimeError(f"{self._faults} frames in a row can't be scored") from error

    def _report_if_due(self) -> None:
        if time.monotonic() - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = time.monotonic()
            self._registry.report(self._statuses(), self._heartbeat())

    def _statuses(self) -> dict[str, StreamStatus]:
        now = self._clock()
        owned = self._ownership.owned()
        cameras = self._cameras
        total = sum(camera.fps(now) for camera in cameras.values()) or 1.0
        return {
            stream_id: camera.status(now, camera.fps(now) / total)
            for stream_id, camera in cameras.items()
            if stream_id in owned and not camera.outbox.stale
        }

    def _heartbeat(self) -> WorkerStatus:
        lost = self._publisher.lost
        return WorkerStatus(
            id=self.id,
            started_at=self._began_at,
            seen_at=self._clock(),
            streams=len(self._cameras),
            capacity=self._settings.worker_capacity,
            device=self._device,
            models=self._models.names,
            engines=self._models.engines,
            batches=self._batches,
            frames=self._frames,
            inference_s=self._inference_s,
            takeovers=self._ownership.takeovers,
            handovers=self._ownership.handovers,
            dropped_previews=lost.previews,
            dropped_notes=lost.notes,
        )

    def _shutdown(self) -> None:
        """Stop the sources, send what is left, release the leases; each for a bounded time."""
        cameras = list(self._cameras.values())
        for camera in cameras:
            camera.stop()
        self._halt.set()
        self._publisher.notify()
        self._ownership.doubt()
        until = time.monotonic() + JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        for camera in cameras:
            camera.leave()
        if not any(thread.is_alive() for thread in self._threads):  # else Redis hangs
            leaving = threading.Thread(target=self._leave, name="leave", daemon=True)
            leaving.start()
            leaving.join(FLUSH_S)
        self._models.close()
        wait(self._closing, CLOSE_S)
        self._closer.shutdown(wait=False, cancel_futures=True)
        log.info("the worker has stopped", worker=self.id)

    def _leave(self) -> None:
        with suppress(RedisError):  # it is away: uploads stay in it, leases run out
            self._publisher.flush()
            self._ownership.release_all()
            self._registry.leave(self.id)
