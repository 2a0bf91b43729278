"""Collecting from a camera that is away, and reviews whose processes die."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field

import pytest

from service.errors import SourceError
from service.learn.camera_collecting import CameraCollecting
from service.learn.collected_review import CollectedReview
from service.learn.learner_parts import LearnerParts
from service.learn.learning_folder import CollectedFootage, LearningFolder
from service.learn.recording_space import RecordingSpace
from service.learn.work_order import JobStep, WorkOrder
from service.learning_messages import FootageSummary, LearningJob, LearningStatus
from tests.learn.conftest import SIDE, LearnBench, find_job_processes
from tests.support.servers import free_port, wait_for


@dataclass
class Notes:
    """A learning that keeps what is reported, and stops after some reports."""

    job: LearningJob
    bench: LearnBench
    most: int = 1000
    stop: threading.Event = field(default_factory=threading.Event)
    statuses: list[LearningStatus] = field(default_factory=list)

    @property
    def status(self) -> LearningStatus:
        """What was reported last."""
        return self.statuses[-1]

    def take_status(self, status: LearningStatus) -> None:
        """Keep a status."""
        self.statuses.append(status)
        if len(self.statuses) == self.most:
            self.stop.set()

    def make_order(self, step: JobStep, collected: CollectedFootage | None) -> WorkOrder:
        """Make the order for a process."""
        return WorkOrder(
            job=self.job,
            step=step,
            collected=collected,
            side=SIDE,
            models=self.bench.settings.user_models.absolute(),
            bytes_left=0,
            is_idle=False,
        )


@pytest.fixture
def folder(bench: LearnBench) -> LearningFolder:
    """The folder of a learning that begins."""
    made = LearningFolder(bench.folder().parent, "one")
    made.create()
    return made


def _make_collecting(notes: Notes, folder: LearningFolder) -> CameraCollecting:
    space = RecordingSpace(folder.path.parent, 1024**3)
    parts = LearnerParts("me", notes.bench.settings, space, SIDE, False, lambda: None)
    return CameraCollecting(notes, folder, parts, notes.stop)


def test_an_away_camera_has_one_reason_until_a_day_has_passed(
    bench: LearnBench, folder: LearningFolder
) -> None:
    notes = Notes(bench.ask(f"rtsp://127.0.0.1:{free_port()}/one"), bench, most=3)
    assert _make_collecting(notes, folder).run() is None
    first, *others = [status.reason for status in notes.statuses]
    assert first == ""
    assert others == ["the camera is away: the connection is refused"] * 2
    assert [status.remaining_s for status in notes.statuses] == [20.0, None, None]
    os.utime(folder.path / "begun", (time.time() - 86_430.0,) * 2)
    notes.stop.clear()
    with pytest.raises(SourceError, match=r"away for a day.*refused"):
        _make_collecting(notes, folder).run()


def test_a_review_that_dies_decides_nothing(bench: LearnBench, folder: LearningFolder) -> None:
    notes = Notes(bench.ask("rtsp://127.0.0.1/one"), bench)
    review = CollectedReview(folder.path, notes.make_order)
    review.footage = FootageSummary(is_enough=True)  # of an earlier one
    collected = CollectedFootage(part="part", frames=9)

    def has_begun() -> bool:
        review.start(collected, 200.0, decides=True, is_last=True)
        return review.is_running

    results: list[bool] = []

    def has_ended() -> bool:
        results.append(review.take_result())
        return not review.is_running

    for _ in range(3):
        assert review.failure is None
        wait_for(has_begun, "the next attempt")
        wait_for(find_job_processes, "its process")
        find_job_processes()[0].kill()
        wait_for(has_ended, "its end")
        assert not review.decides and review.seconds == 0.0
    assert not any(results)
    assert review.failure is not None and "again and again" in review.failure
