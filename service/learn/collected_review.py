"""Has the footage of a camera judged, by a process of its own, while it is collected."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from service.learn.job_process import MOST_DEATHS, RESTART_S, JobProcess
from service.learn.learning_folder import CollectedFootage
from service.learn.work_order import JobStep, WorkOrder
from service.learning_messages import FootageSummary, LearningState, LearningStatus
from service.timers import Timer

log = structlog.stdlib.get_logger(__name__)

MakeOrder = Callable[[JobStep, CollectedFootage | None], WorkOrder]


class CollectedReview:
    """Reviews of one recording, one at a time. A review whose process dies is made again."""

    def __init__(self, folder: Path, make_order: MakeOrder) -> None:
        """Args: folder: of the learning."""
        self._folder, self._make_order = folder, make_order
        self._process: JobProcess | None = None
        self._started_at = 0.0
        self._found: FootageSummary | None = None
        """What the present process has found."""
        self._deaths = 0
        self._restart = Timer(RESTART_S)
        self.footage = FootageSummary()
        """What the newest finished review found."""
        self.collected: CollectedFootage | None = None
        """What the newest review is, or was, of."""
        self.seconds = 0.0
        """The length of that; 0 if its process died or was stopped."""
        self.took_s = 0.0
        """How long the newest finished review took."""
        self.decides = False
        """Whether the newest review is of all that was asked for."""
        self.is_last = False
        """Whether nothing can be added to what the newest review is of."""
        self.has_decided = False
        """Whether one that decides has finished."""
        self.failure: str | None = None
        """Why the footage can't be judged."""

    @property
    def is_running(self) -> bool:
        """Returns whether a review is under way."""
        return self._process is not None

    def start(
        self, collected: CollectedFootage, seconds: float, *, decides: bool, is_last: bool
    ) -> None:
        """Begin a review, unless one has just died. Raises: OSError: it can't be started."""
        if not self._restart.is_due:
            return
        self.seconds, self.collected = seconds, collected
        self.decides, self.is_last = decides, is_last
        self._found, self._started_at = None, time.monotonic()
        order = self._make_order(JobStep.REVIEW, collected)
        self._process = JobProcess(self._folder, order, self._take_status)

    def stop(self) -> None:
        """End the review that is under way; what it found doesn't count."""
        if self._process is not None:
            self._process.stop()
            self._process = None
            self.seconds = 0.0

    def take_result(self) -> bool:
        """Take the result of a review that has just finished. Returns whether there is one."""
        process = self._process
        if process is None or not process.wait(0.0):
            return False
        self._process = None
        if not process.succeeded or self._found is None:
            self._count_death()
            return False
        self.footage, self._deaths = self._found, 0
        self.has_decided |= self.decides
        self.took_s = time.monotonic() - self._started_at
        return True

    def _count_death(self) -> None:
        self._deaths += 1
        log.warning("a review's process ended", learning=self._folder.name, deaths=self._deaths)
        self.seconds, self.decides, self.is_last = 0.0, False, False
        self._restart.restart()
        if self._deaths >= MOST_DEATHS and self.failure is None:
            self.failure = (
                "the process that judges the footage ended again and again; the machine may lack "
                "memory"
            )

    def _take_status(self, status: LearningStatus) -> None:
        if status.footage is not None:
            self._found = status.footage
        elif status.state is LearningState.FAILED:
            self.failure = status.reason
