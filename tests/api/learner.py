"""A learner that is played: it writes reports to the real Redis, and bundles to the real folder."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from redis import Redis

from service.bus.learnings import Learnings
from service.learning_messages import (
    CheckedKind,
    CheckSummary,
    FootageSummary,
    LearningJob,
    LearningState,
    LearningStatus,
)
from tests.support.servers import wait_for

FOOTAGE = FootageSummary(
    seconds=600.0,
    used_s=580.0,
    moving_share=0.4,
    covered=((0.1, 0.9),),
    is_enough=True,
    advice="ok",
)


def make_check(*, is_passed: bool = True, auc: float = 0.95, current: float | None = None) -> Any:
    """What a check found, good or bad."""
    return CheckSummary(
        auc=auc,
        auc_low=auc - 0.02,
        auc_high=auc + 0.02,
        frame_difference_auc=0.8,
        current_auc=current,
        found=9,
        scenes=10,
        delay_s=0.4,
        false_events=0,
        normal_s=60.0,
        false_events_per_day_high=3.0,
        kinds=(CheckedKind(kind="intruder", auc=auc, found=9, scenes=10),),
        is_passed=is_passed,
        verdict="It finds 9 of 10." if is_passed else "It finds too little.",
    )


class PlayedLearner:
    """Does a learner's part by hand."""

    def __init__(self, redis: Redis, models: Path, api: httpx.Client) -> None:
        self._learnings = Learnings(redis)
        self._models = models
        self._api = api

    def wait_for_job(self, learning_id: str) -> LearningJob:
        """Wait until the job has been published."""
        wait_for(lambda: learning_id in self._list_ids(), "the job")
        return next(job for job in self._learnings.jobs() if job.id == learning_id)

    def wait_until_dropped(self, learning_id: str) -> None:
        """Wait until the job isn't published any more."""
        wait_for(lambda: learning_id not in self._list_ids(), "no job")

    def _list_ids(self) -> list[str]:
        return [job.id for job in self._learnings.jobs()]

    def report(self, learning_id: str, state: LearningState, **values: Any) -> None:
        """Report a state, and wait until nothing else is answered."""
        values = {"learner": "played", "updated_at": time.time()} | values
        self._learnings.report(LearningStatus(id=learning_id, state=state, **values))

    def report_and_wait(self, learning_id: str, state: LearningState, **values: Any) -> Any:
        """Report a state; return the answer that knows it."""
        self.report(learning_id, state, **values)
        return self.wait_for_state(learning_id, state)

    def wait_for_state(self, learning_id: str, *states: LearningState) -> Any:
        """Wait until the API answers one of the states; return the answer."""
        wanted = {state.value for state in states}
        wait_for(lambda: self.read(learning_id)["state"] in wanted, " or ".join(wanted))
        return self.read(learning_id)

    def read(self, learning_id: str) -> Any:
        """Return what the API answers about a learning."""
        answer = self._api.get(f"/learnings/{learning_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def write_bundle(self, name: str, check: CheckSummary) -> None:
        """Put a trained bundle into the models folder, with its check and a picture."""
        draft = self._models / f".{name}"
        shutil.copytree(self._models / "small", draft)
        (draft / "check.json").write_text(check.model_dump_json())
        (draft / "report").mkdir()
        cv2.imwrite(str(draft / "report" / "intruder.jpg"), np.zeros((8, 8), np.uint8))
        (draft / "report" / "notes.txt").write_text("no picture")
        draft.rename(self._models / name)

    def finish(self, learning_id: str, check: CheckSummary | None = None) -> str:
        """Train at once: write the bundle and report that it is ready; return its name."""
        job = self.wait_for_job(learning_id)
        self.write_bundle(job.bundle, check or make_check())
        self.report(learning_id, LearningState.READY, check=check or make_check(), footage=FOOTAGE)
        return job.bundle
