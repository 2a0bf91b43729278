"""The program of a process that judges footage, trains and checks for one learning.

It reads its order from standard input, and writes statuses to standard output. It takes only the
time that the processor has left, and goes on with what an earlier process of its learning did.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import structlog

from model.training.footage_review import cut_clips, review_footage
from service.errors import BadInput, NormwatchError
from service.learn.job_footage import JobFootage, load_footage
from service.learn.job_reports import JobReports
from service.learn.learning_folder import JudgedFootage, LearningFolder
from service.learn.priority import lower_priority
from service.learn.work_order import JUDGING, JobStep, WorkOrder
from service.learning_messages import FootageSummary, LearningState
from service.logs import hide_secrets

log = structlog.stdlib.get_logger(__name__)

INTERRUPTED = 130


def run_learn_job(path: Path) -> int:
    """Do what the order on standard input says; returns the exit status."""
    answers, sys.stdout = sys.stdout, sys.stderr
    order = WorkOrder.model_validate_json(sys.stdin.read())
    if order.is_idle:
        lower_priority()
    reports = JobReports(order.job.id, answers)
    folder = LearningFolder(path.parent, path.name)
    try:
        if order.step is JobStep.REVIEW:
            _review(order, folder, reports)
            return 0
        with folder.lock():
            return _train(order, folder, reports)
    except BrokenPipeError:
        return 1
    except Exception as error:
        # Errors on purpose, of the footage and of the training, are all ValueErrors.
        if not isinstance(error, NormwatchError | ValueError | OSError):
            log.exception("a learning failed", learning=order.job.id)
        reports.report(LearningState.FAILED, describe_failure(error))
        return 0


def describe_failure(error: Exception) -> str:
    """Describe why a learning failed, for its owner, without credentials."""
    reason = error.reason if isinstance(error, BadInput) else str(error)
    if not isinstance(error, NormwatchError | ValueError | OSError):
        reason = f"{type(error).__name__}: {reason}"
    return hide_secrets(reason)


def _review(order: WorkOrder, folder: LearningFolder, reports: JobReports) -> None:
    _, summary = _judge(load_footage(order, folder, reports), folder)
    reports.report(LearningState.COLLECTING, footage=summary)


def _judge(footage: JobFootage, folder: LearningFolder) -> tuple[JobFootage, FootageSummary]:
    """Judge the footage, unless that was done. Returns: what of it to learn, and what was found."""
    frames = sum(map(len, footage.clips))
    judged = folder.read_judgement(footage.names, frames)
    if judged is None:
        review = review_footage(footage.clips, footage.fps)
        judged = JudgedFootage(
            names=tuple(footage.names),
            frames=frames,
            summary=FootageSummary.model_validate(review, from_attributes=True),
            kept=review.kept_frames,
        )
        folder.write_judgement(judged)
    return replace(footage, clips=cut_clips(footage.clips, judged.kept)), judged.summary


def _train(order: WorkOrder, folder: LearningFolder, reports: JobReports) -> int:
    from service.learn.job_training import (  # noqa: PLC0415 - a review needs no torch
        Interrupted,
        JobTraining,
        read_finished_check,
    )

    if (check := read_finished_check(order)) is not None:
        reports.report(LearningState.READY, check=check, progress=1.0)
        return 0
    footage = load_footage(order, folder, reports)
    reports.report(LearningState.COLLECTING, JUDGING, progress=1.0)
    footage, summary = _judge(footage, folder)
    # What a camera gave was judged before; of videos there is no more.
    is_enough = order.collected is not None or order.job.train_anyway or summary.is_enough
    if not is_enough or not footage.clips:
        reason = summary.advice or "there is nothing left to learn"
        reports.report(LearningState.FAILED, reason, footage=summary)
        return 0
    reports.report(LearningState.COLLECTING, JUDGING, footage=summary, progress=1.0)
    try:
        JobTraining(order, folder, reports, footage).run()
    except Interrupted:
        return INTERRUPTED
    return 0
