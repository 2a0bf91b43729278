"""Reports from the process of a learning to its learner: one status a line, in JSON."""

from __future__ import annotations

import time
from typing import IO

from service.learning_messages import (
    CheckSummary,
    FootageSummary,
    LearningState,
    LearningStatus,
)
from service.timers import Timer

PROGRESS_EVERY_S = 0.5


class JobReports:
    """Writes reports; of those of progress alone, at most two a second."""

    def __init__(self, learning_id: str, out: IO[str]) -> None:
        self._id = learning_id
        self._out = out
        self._timer = Timer(PROGRESS_EVERY_S)

    def report(
        self,
        state: LearningState,
        reason: str = "",
        *,
        footage: FootageSummary | None = None,
        check: CheckSummary | None = None,
        progress: float = 0.0,
    ) -> None:
        """Report a state, or what was found in it. Raises: BrokenPipeError: the learner is gone."""
        self._timer.restart()
        self._write(
            LearningStatus(
                id=self._id,
                state=state,
                reason=reason,
                progress=progress,
                footage=footage,
                check=check,
                updated_at=time.time(),
            )
        )

    def report_progress(
        self,
        state: LearningState,
        progress: float,
        *,
        reason: str = "",
        remaining_s: float | None = None,
        loss: float | None = None,
    ) -> None:
        """Report how much of a state is done, from 0 to 1, unless that was reported just now."""
        if not self._timer.restart_if_due():
            return
        self._write(
            LearningStatus(
                id=self._id,
                state=state,
                reason=reason,
                progress=min(1.0, max(0.0, progress)),
                remaining_s=remaining_s,
                loss=loss,
                updated_at=time.time(),
            )
        )

    def _write(self, status: LearningStatus) -> None:
        print(status.model_dump_json(), file=self._out, flush=True)
