"""Learnings in the database: the jobs that follow from them, and what their learners report."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from service.learning_messages import (
    FINAL,
    CheckSummary,
    LearningJob,
    LearningState,
    LearningStatus,
)
from service.logs import hide_secrets
from service.record.stream_changes import change_stream
from service.store.tables import LearningRow, StreamRow

NOT_TAKEN = "no learner has taken it yet"
NO_LEARNER = "no learner runs: `normwatch serve` runs one, `normwatch learner` runs one alone"
MOST_LETTERS = 200
"""Letters of a learner's name that are kept."""
UNDER_WAY: ColumnElement[bool] = LearningRow.finished_at.is_(None)
"""Selects the learnings that aren't over: at most one of each stream."""
_BY_LEARNERS = frozenset(LearningState) - {LearningState.LIVE, LearningState.REJECTED}
"""The states that a learner may report: the front end decides on the others."""


def find_under_way(session: Session, stream_id: str) -> LearningRow | None:
    """Return the stream's learning that isn't over."""
    query = select(LearningRow).where(LearningRow.stream_id == stream_id, UNDER_WAY)
    return session.scalars(query.order_by(LearningRow.created_at.desc()).limit(1)).first()


def make_job(learning: LearningRow, stream: StreamRow) -> LearningJob:
    """Return what a learner needs to know of a learning."""
    return LearningJob(
        id=learning.id,
        stream_id=stream.id,
        bundle=learning.bundle,
        sources=tuple(learning.sources or (stream.source,)),
        transport=stream.transport,
        decode=stream.decode,
        fps=learning.fps,
        seconds=learning.seconds,
        preset=learning.preset,
        flip=learning.flip,
        epochs=learning.epochs,
        start=learning.start,
        current_model=stream.model,
        train_anyway=learning.train_anyway,
        train_now=learning.train_now,
        is_cancelled=learning.state == LearningState.CANCELLED.value,
        created_at=learning.created_at,
    )


def is_newer(status: LearningStatus, learning: LearningRow) -> bool:
    """Return whether a report says something that the row doesn't know, and may say it."""
    if learning.finished_at is not None or status.state not in _BY_LEARNERS:
        return False
    if learning.state == LearningState.READY.value and status.state not in FINAL:
        return False
    # Clocks of two learners differ: only one learner's reports are ordered by their times.
    is_another = status.learner[:MOST_LETTERS] != learning.learner
    return is_another or learning.reported_at is None or status.updated_at > learning.reported_at


def apply_status(learning: LearningRow, status: LearningStatus, now: float) -> None:
    """Write a learner's report into the row; one in a final state ends the learning."""
    learning.state = status.state.value
    learning.reason = hide_secrets(status.reason)
    learning.learner = status.learner[:MOST_LETTERS]
    learning.progress = status.progress
    learning.remaining_s = status.remaining_s
    learning.loss = status.loss
    if status.footage is not None:
        learning.footage = status.footage.model_dump(mode="json")
    if status.check is not None:
        learning.check_summary = status.check.model_dump(mode="json")
    learning.reported_at = status.updated_at
    if status.state in FINAL:
        learning.finished_at = now


def finish(learning: LearningRow, state: LearningState, reason: str, now: float) -> None:
    """End a learning."""
    learning.state = state.value
    learning.reason = reason
    learning.remaining_s = None
    if learning.finished_at is None:
        learning.finished_at = now


def activate(session: Session, stream: StreamRow, learning: LearningRow, now: float) -> None:
    """Let the stream use the learning's model, in the caller's transaction."""
    change_stream(session, stream, {"model": learning.bundle})
    finish(learning, LearningState.LIVE, "", now)


def decide(session: Session, stream: StreamRow, learning: LearningRow, now: float) -> None:
    """Decide what becomes of a ready model, as it was asked for: live, rejected, or left ready."""
    if learning.activate == "always":
        activate(session, stream, learning, now)
    elif learning.activate == "never":
        finish(learning, LearningState.READY, "put it live when you like, as was asked for", now)
    elif (objection := _find_objection(learning)) is None:
        activate(session, stream, learning, now)
    else:
        finish(learning, LearningState.REJECTED, objection, now)


def _find_objection(learning: LearningRow) -> str | None:
    """Return why a model isn't put live by itself; None: its check passed, which also compared it
    with the model in use."""
    if learning.check_summary is None:
        return "the model was not checked"
    check = CheckSummary.model_validate(learning.check_summary)
    return None if check.is_passed else check.verdict
