"""The worker: owns cameras, batches their frames, scores them, and sends what comes out.

Threads: this one scores; others keep the leases, send to Redis, read uploads, decode, load models.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog
from redis import Redis
from redis.exceptions import RedisError

from model.stages import Stage, StageTimes
from service.background_threads import BackgroundThreads
from service.bus.log_entries import Notes
from service.bus.picture_requests import Shots
from service.bus.registry import Registry
from service.bus.scores import Scores
from service.bus.uploads import Uploads
from service.capture.spawner import shared_spawner
from service.infer.batch_scorer import BatchScorer
from service.infer.camera_set import CameraSet
from service.infer.cpu import CpuAccount
from service.infer.device import choose_threads
from service.infer.feeder import Feeder
from service.infer.model_pool import ModelPool
from service.infer.ownership import Ownership
from service.infer.reporter import Reporter
from service.infer.result_publisher import ResultPublisher
from service.infer.shot_sender import ShotSender
from service.infer.source_opening import OpenSource, SourceHandler, open_configured
from service.messages import WorkerStatus
from service.settings import Settings
from service.timers import Clock

log = structlog.stdlib.get_logger(__name__)

IDLE_S = 0.05
RECONCILE_SHARE, RECONCILE_MOST_S = 0.01, 0.25
"""Many cameras are looked after less often: that takes about so much of a core, but it is done at
least so often."""
GATHER_S = 0.01
"""Frames that come within so long of each other are scored together."""
RESTART_S = 1.0
"""The longest pause before a thread that failed is started again."""
HANG_S = 60.0
"""A worker whose scoring stands still for so long lets its leases run out."""
JOIN_S = 1.5
"""At the end, the threads have so long to end."""
FLUSH_S = 1.5
"""Then what still waits has so long to be sent; a Redis that doesn't answer gets nothing."""
CLOSE_S = 1.5
"""And the captures have so long to end; they are killed by then."""


class Worker:
    """Runs until it is stopped. `run` is called once."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        *,
        device: str = "cpu",
        clock: Clock = time.time,
        open_source: OpenSource | None = None,
    ) -> None:
        """Args: open_source: None captures, or takes uploads, as each camera is configured."""
        self.id = settings.worker_id or (
            f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        )
        self._wake = threading.Event()
        self._halt = threading.Event()
        self._beat = time.monotonic()
        self._reconcile_at_s = 0.0
        """Monotonic: the cameras are looked after again from then on."""
        self._times = StageTimes()
        self._threads = BackgroundThreads(self._halt, longest_pause_s=RESTART_S)
        self._registry = Registry(redis)
        self._ownership = Ownership(
            redis,
            self.id,
            lease_s=settings.lease_s,
            capacity=settings.worker_capacity,
            heartbeat=self._build_heartbeat,
            on_change=self._wake.set,
            is_working=self._is_working,
        )
        uploads = Uploads(redis)
        self._publisher = ResultPublisher(
            Scores(redis, settings.max_score_backlog),
            uploads,
            self._registry,
            Notes(redis),
            on_stale=self._ownership.doubt,
        )
        self._feeder = Feeder(
            uploads,
            preview_width=settings.preview_width,
            picture_every_s=settings.picture_every_s,
            on_frame=self._wake.set,
        )
        self._models = ModelPool(
            [settings.user_models],
            device,
            engine=settings.engine,
            threads=choose_threads(settings.torch_threads),
            times=self._times,
        )
        self._scorer = BatchScorer(
            self._times,
            max_frame_age_s=settings.max_frame_age_s,
            clock=clock,
            on_batch=self._wake.set,
            on_scores=self._publisher.notify,
        )
        self._sources = SourceHandler(
            open_source or partial(open_configured, settings=settings, feeder=self._feeder),
            self._wake.set,
        )
        self._is_warm = open_source is not None
        """Whether the process that starts captures is there, or not needed."""
        self._cameras = CameraSet(
            settings=settings,
            worker_id=self.id,
            clock=clock,
            ownership=self._ownership,
            publisher=self._publisher,
            models=self._models,
            scorer=self._scorer,
            sources=self._sources,
        )
        self._shots = ShotSender(Shots(redis), self._cameras.find_reels)
        self._reporter = Reporter(
            worker_id=self.id,
            device=device,
            capacity=settings.worker_capacity,
            started_at=clock(),
            clock=clock,
            ownership=self._ownership,
            cameras=self._cameras,
            models=self._models,
            publisher=self._publisher,
            scored=self._scorer.totals,
            cpu=CpuAccount(self._times),
        )

    def _build_heartbeat(self) -> WorkerStatus:
        return self._reporter.build_heartbeat()

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds of the process so far, by stage. Any thread may call it."""
        return self._reporter.cpu.seconds()

    def run(self, stop: threading.Event) -> None:
        """Score until `stop` is set; then hand everything over in order.

        Raises: RuntimeError: inference fails for frame after frame.
        """
        self._start_up()
        try:
            while not stop.is_set():
                # A detector that hangs counts as this thread's hanging.
                self._beat = self._scorer.oldest_began_s or time.monotonic()
                self._times.enter(Stage.LOOP)
                if time.monotonic() >= self._reconcile_at_s:
                    began_s = time.thread_time()
                    self._reconcile()
                    rest_s = (time.thread_time() - began_s) / RECONCILE_SHARE
                    rest_s = min(max(rest_s, IDLE_S), RECONCILE_MOST_S)
                    self._reconcile_at_s = time.monotonic() + rest_s
                cameras = self._cameras.by_id
                self._scorer.score_still(cameras)
                if not self._scorer.score_batch(cameras):
                    if self._wake.wait(IDLE_S) and self._scorer.is_idle:
                        time.sleep(GATHER_S)
                    self._wake.clear()
        finally:
            self._times.enter(None)
            self._shut_down()

    def _start_up(self) -> None:
        log.info("the worker starts", worker=self.id, device=self._reporter.device)
        self._start_thread("ownership", Stage.REST, self._ownership.run)
        report = partial(self._reporter.report_if_due, self._registry)
        self._start_thread("publisher", Stage.SENDING, partial(self._publisher.run, on_tick=report))
        self._start_thread("feeder", Stage.READING, self._feeder.run)
        self._start_thread("shots", Stage.CLIPS, self._shots.run)

    def _start_thread(
        self, name: str, stage: Stage, run: Callable[[threading.Event], object]
    ) -> None:
        self._threads.start(name, run, partial(self._times.follow, stage))

    def _is_working(self) -> bool:
        return time.monotonic() - self._beat < HANG_S

    def _reconcile(self) -> None:
        self._cameras.reconcile()
        self._scorer.adapt(self._cameras.by_id, time.monotonic())
        if self._ownership.captures and not self._is_warm:
            self._is_warm = True
            with suppress(OSError):  # then it is tried again with the first camera
                shared_spawner().warm_up()

    def _shut_down(self) -> None:
        """Stop the sources, send what is left, release the leases; each for a bounded time."""
        cameras = list(self._cameras.by_id.values())
        for camera in cameras:
            camera.source.stop()
        self._halt.set()
        self._publisher.notify()
        self._ownership.doubt()
        hanging = self._threads.join(JOIN_S)
        self._scorer.settle(CLOSE_S)
        self._scorer.settle(CLOSE_S)
        self._scorer.close()
        for camera in cameras:
            camera.leave()
        if not hanging:  # else Redis hangs
            leaving = threading.Thread(target=self._leave, name="leave", daemon=True)
            leaving.start()
            leaving.join(FLUSH_S)
        self._models.close()
        self._sources.shut_down(CLOSE_S)
        log.info("the worker has stopped", worker=self.id)

    def _leave(self) -> None:
        with suppress(RedisError):  # it is away: uploads stay in it, leases run out
            self._publisher.flush()
            self._ownership.release_all()
            self._registry.leave(self.id)
