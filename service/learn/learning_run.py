"""Works one learning from its first frame to its bundle, in a thread."""

from __future__ import annotations

import threading
import time

import structlog

from service.errors import BadInput, SourceError
from service.learn.camera_collecting import CameraCollecting
from service.learn.job_process import MOST_DEATHS, RESTART_S
from service.learn.learner_parts import LearnerParts
from service.learn.learning_folder import CollectedFootage, LearningFolder
from service.learn.training_process import TrainingProcess
from service.learn.work_order import JUDGING, READING, JobStep, WorkOrder
from service.learning_messages import DONE, LearningJob, LearningState, LearningStatus

log = structlog.stdlib.get_logger(__name__)

TICK_S = 0.25


class LearningRun:
    """One learning. The learner calls it; its thread does the work."""

    def __init__(
        self,
        job: LearningJob,
        folder: LearningFolder,
        parts: LearnerParts,
        previous: LearningStatus | None,
    ) -> None:
        """Args: previous: what was last reported of it, by this or another learner."""
        self.job = job
        """The learning as it is required now."""
        self._folder = folder
        self._parts = parts
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._status = (
            previous or LearningStatus(id=job.id, state=LearningState.COLLECTING, updated_at=0.0)
        ).model_copy(update={"learner": parts.learner})
        self._thread = threading.Thread(target=self._run, name=f"learning-{job.id}", daemon=True)

    def start(self) -> None:
        """Begin, or go on where an earlier run was ended."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the work to end; returns at once. Its recording and its checkpoint stay."""
        self._stop.set()

    def change_job(self, job: LearningJob) -> None:
        """Take what is required now. If the camera is read in another way, begin again: this run
        is stopped, and the learner makes another."""
        before, self.job = self.job, job
        is_other = (job.sources, job.transport, job.decode) != (
            before.sources,
            before.transport,
            before.decode,
        )
        if is_other and not self.is_done:
            self.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end. Returns whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def status(self) -> LearningStatus:
        """How the learning is doing now."""
        with self._lock:
            return self._status.model_copy(update={"updated_at": time.time()})

    @property
    def is_done(self) -> bool:
        """Returns whether nothing is left to do."""
        return self.status.state in DONE

    @property
    def is_stopped(self) -> bool:
        """Returns whether it was asked to end."""
        return self._stop.is_set()

    def take_status(self, status: LearningStatus) -> None:
        """Take over a status. Footage and check stay where it has none."""
        with self._lock:
            before = self._status
            self._status = status.model_copy(
                update={
                    "learner": self._parts.learner,
                    "footage": status.footage or before.footage,
                    "check": status.check or before.check,
                }
            )
        if (before.state, before.reason) != (status.state, status.reason):
            log.info(
                "a learning's state",
                learning=self.job.id,
                state=status.state.value,
                reason=status.reason,
            )
            self._parts.on_change()

    def set_state(self, state: LearningState, reason: str = "") -> None:
        """Set a state without progress."""
        self.take_status(
            LearningStatus(id=self.job.id, state=state, reason=reason, updated_at=time.time())
        )

    def make_order(self, step: JobStep, collected: CollectedFootage | None) -> WorkOrder:
        """Make the order for a process."""
        settings = self._parts.settings
        return WorkOrder(
            job=self.job,
            step=step,
            collected=collected,
            side=self._parts.side,
            is_idle=self._parts.is_idle,
            models=settings.user_models.absolute(),
            bytes_left=max(0, self._parts.space.measure_left()),
            torch_threads=settings.torch_threads,
            engine=settings.engine,
        )

    def _run(self) -> None:
        try:
            self._folder.create()
            collected = self._collect()
            if not self._stop.is_set():
                self._train(collected)
        except (SourceError, OSError) as error:
            self.set_state(LearningState.FAILED, str(error))
        except BadInput as error:
            self.set_state(LearningState.FAILED, error.reason)
        except Exception:
            log.exception("a learning failed", learning=self.job.id)
            self.set_state(LearningState.FAILED, "the learner failed; its log says why")

    def _collect(self) -> CollectedFootage | None:
        """Collect a camera's footage. Returns: None for videos."""
        if (collected := self._folder.read_footage()) is not None:
            return collected
        collecting = CameraCollecting(self, self._folder, self._parts, self._stop)
        return collecting.run()

    def _report_beginning(self, collected: CollectedFootage | None) -> None:
        """Report what the process begins with; it may wait long for idle processor time."""
        is_read = collected is not None
        self.take_status(
            LearningStatus(
                id=self.job.id,
                state=LearningState.COLLECTING,
                reason=JUDGING if is_read else READING,
                progress=1.0 if is_read else 0.0,
                updated_at=time.time(),
            )
        )

    def _train(self, collected: CollectedFootage | None) -> None:
        """Have a process train; one that was killed is started again, and goes on."""
        deaths, saved_at = 0, self._folder.checkpoint_saved_at
        while not self._stop.is_set():
            self._report_beginning(collected)
            training = TrainingProcess(self, self._folder, collected)
            while not training.process.wait(TICK_S):
                if self._stop.is_set():
                    training.process.stop()
                    return
            if training.must_repeat():
                continue
            if training.process.succeeded and self.is_done:
                return
            # A process that gets to the same checkpoint again and again never ends.
            before, saved_at = saved_at, self._folder.checkpoint_saved_at
            deaths = 1 if saved_at != before else deaths + 1
            log.warning("a learning's process ended", learning=self.job.id, deaths=deaths)
            if deaths >= MOST_DEATHS:
                self.set_state(
                    LearningState.FAILED,
                    "the training process ended again and again; the machine may lack memory",
                )
                return
            self._stop.wait(RESTART_S)
