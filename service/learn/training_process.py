"""The process that reads videos, judges, trains and checks, and the answer to what it reports."""

from __future__ import annotations

import structlog

from service.learn.camera_collecting import Reporting
from service.learn.job_process import JobProcess
from service.learn.learning_folder import CollectedFootage, LearningFolder
from service.learn.work_order import JobStep
from service.learning_messages import LearningState, LearningStatus

log = structlog.stdlib.get_logger(__name__)


class TrainingProcess:
    """One process. It knows the learning as it was when it began; this knows what came since."""

    def __init__(
        self, learning: Reporting, folder: LearningFolder, collected: CollectedFootage | None
    ) -> None:
        """Start it. Raises: OSError: it can't be started."""
        self._learning = learning
        self._refused: LearningStatus | None = None
        """The report that videos are too little to train on."""
        order = learning.make_order(JobStep.TRAIN, collected)
        self._was_anyway = order.job.train_anyway
        self.process = JobProcess(folder.path, order, self._take_status)

    def must_repeat(self) -> bool:
        """Decide whether to start once more, after the process has ended: it refused too little
        footage, and meanwhile somebody wants it trained on anyway. Otherwise, report that it
        refused."""
        if self._refused is None:
            return False
        if self._learning.job.train_anyway:
            log.info("a learning trains on too little footage", learning=self._learning.job.id)
            return True
        self._learning.take_status(self._refused)
        return False

    def _take_status(self, status: LearningStatus) -> None:
        is_refusal = status.state is LearningState.FAILED and status.footage is not None
        if is_refusal and not self._was_anyway:
            self._refused = status
        else:
            self._learning.take_status(status)
