"""The learner: takes learnings from Redis, works them, and reports on them.

Threads: this one speaks to Redis; each learning has one of its own. Several cameras are recorded at
the same time; one learning at a time trains on a machine. While there is none, a learner takes
little memory: what reads pictures is imported with the first one.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from redis import Redis
from redis.exceptions import RedisError

from service.bus.learnings import LEARNER_LEASE_S, Learnings
from service.errors import Unavailable
from service.learn.learner_parts import LearnerParts
from service.learn.learning_folder import BUNDLES, LearningFolder, list_learnings
from service.learn.recording_space import RecordingSpace
from service.learn.work_order import FRAME_SIDE
from service.learning_messages import DONE, LearningJob, LearningState, LearningStatus
from service.settings import Settings
from service.timers import Timer

if TYPE_CHECKING:
    from service.learn.learning_run import LearningRun

log = structlog.stdlib.get_logger(__name__)

TICK_S = 0.5
REPORT_EVERY_S = 1.0
BUSY_WAIT_S = 3.0
"""A learner with work leaves a new learning for so long to one without."""
MISSING_S = 5.0
"""A learning that isn't in Redis for so long is stopped."""
DELETE_S = 60.0
"""What was recorded for it is deleted after so long: a Redis that lost its data has it again by
then."""
JOIN_S = 6.0


class Learner:
    """Runs until it is stopped. `run` is called once."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        *,
        lease_s: float = LEARNER_LEASE_S,
        side: int = FRAME_SIDE,
        is_idle: bool = True,
    ) -> None:
        """
        Args:
            lease_s: how long a learning stays this learner's while it is silent.
            side: height and width of the networks' frames.
            is_idle: train only in the processor time that others leave.
        """
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._root = settings.data_dir.absolute() / "learning"
        self._models = settings.user_models.absolute()
        self._learnings = Learnings(redis, lease_s)
        self._wake = threading.Event()
        self._runs: dict[str, LearningRun] = {}
        self._first_seen: dict[str, float] = {}
        """When a learning that nobody has was first seen (monotonic)."""
        self._missing_since: dict[str, float] = {}
        """When a learning that has a folder here was first missing in Redis (monotonic)."""
        self._reporting = Timer(REPORT_EVERY_S)
        self._is_connected = True
        self._parts = LearnerParts(
            self.id,
            settings,
            RecordingSpace(self._root, settings.learning_bytes),
            side,
            is_idle,
            self._wake.set,
        )

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then leave all learnings to the next learner."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._models.mkdir(parents=True, exist_ok=True)
        log.info("the learner starts", learner=self.id)
        try:
            while not stop.is_set():
                try:
                    self._work()
                except (RedisError, Unavailable) as error:
                    if self._is_connected:
                        log.warning("Redis is away; learnings go on", error=str(error))
                    self._is_connected = False
                else:
                    self._is_connected = True
                self._wake.wait(TICK_S)
                if self._wake.is_set():
                    self._wake.clear()
                    self._reporting.expire()
        finally:
            self._leave()

    def _work(self) -> None:
        """Do one round. Raises: RedisError: Redis is away."""
        now = time.monotonic()
        jobs = {job.id: job for job in self._learnings.jobs()}
        self._learnings.beat(self.id, time.time())
        self._stop_absent_runs(self._learnings.list_ids() | set(jobs), now)
        for ident, run in list(self._runs.items()):
            if not run.is_stopped and not self._learnings.claim(ident, self.id):
                log.warning("another learner has taken a learning", learning=ident)
                run.stop()
            if run.is_stopped and run.join(0.0):
                del self._runs[ident]
        statuses = self._learnings.statuses()
        for job in jobs.values():
            run_now = self._runs.get(job.id)
            if job.is_cancelled:
                self._cancel(job, statuses.get(job.id))
            elif run_now is not None:
                run_now.change_job(job)
            else:
                self._take(job, statuses.get(job.id), now)
        if self._reporting.restart_if_due():
            for run in self._runs.values():
                if not run.is_stopped:
                    self._learnings.report(run.status)

    def _take(self, job: LearningJob, status: LearningStatus | None, now: float) -> None:
        """Claim a learning that nobody works on, and begin; one that is finished is left alone."""
        if status is not None and status.state in DONE:
            return
        waited_s = now - self._first_seen.setdefault(job.id, now)
        is_busy = any(not run.is_done for run in self._runs.values())
        if is_busy and waited_s < BUSY_WAIT_S:
            return
        if not self._learnings.claim(job.id, self.id):
            return
        from service.learn.learning_run import LearningRun  # noqa: PLC0415 - it takes memory

        log.info("a learning begins", learning=job.id, stream=job.stream_id)
        self._first_seen.pop(job.id, None)
        run = LearningRun(job, LearningFolder(self._root, job.id), self._parts, status)
        self._runs[job.id] = run
        run.start()

    def _cancel(self, job: LearningJob, status: LearningStatus | None) -> None:
        """Stop a learning, delete what it recorded, and say so."""
        run = self._runs.get(job.id)
        if run is None:
            if status is not None and status.state in DONE:
                return
            if not self._learnings.claim(job.id, self.id):
                return
        elif run.is_done or not self._end(run):
            return
        self._delete(job.id)
        self._learnings.report(
            LearningStatus(
                id=job.id,
                state=LearningState.CANCELLED,
                learner=self.id,
                footage=None if status is None else status.footage,
                updated_at=time.time(),
            )
        )

    def _stop_absent_runs(self, known: set[str], now: float) -> None:
        """Stop learnings that aren't in Redis any more, and delete what they recorded."""
        for ident in {*self._runs, *list_learnings(self._root)}:
            if ident in known:
                self._missing_since.pop(ident, None)
                continue
            missing_s = now - self._missing_since.setdefault(ident, now)
            run = self._runs.get(ident)
            if missing_s >= MISSING_S and run is not None:
                self._end(run)
            if missing_s >= DELETE_S and ident not in self._runs:
                log.info("the recording of a learning is deleted", learning=ident)
                self._delete(ident)
                self._missing_since.pop(ident)
        self._first_seen = {ident: at for ident, at in self._first_seen.items() if ident in known}

    def _end(self, run: LearningRun) -> bool:
        """Stop a run; the next rounds go on until it has ended. Returns whether it has."""
        run.stop()
        if not run.join(0.0):
            return False
        self._runs.pop(run.job.id, None)
        return True

    def _delete(self, ident: str) -> None:
        LearningFolder(self._root, ident).delete()
        shutil.rmtree(self._models / BUNDLES / Path(ident).name, ignore_errors=True)

    def _leave(self) -> None:
        """Stop all learnings, save what they have, and give their claims back."""
        for run in self._runs.values():
            run.stop()
        ends_at = time.monotonic() + JOIN_S
        for run in self._runs.values():
            run.join(max(0.0, ends_at - time.monotonic()))
        leaving = threading.Thread(target=self._release, name="leave", daemon=True)
        leaving.start()
        leaving.join(2.0)
        log.info("the learner has stopped", learner=self.id)

    def _release(self) -> None:
        with suppress(RedisError, Unavailable):  # claims run out
            for ident, run in self._runs.items():
                self._learnings.report(run.status)
                self._learnings.release(ident, self.id)
            self._learnings.leave(self.id)
