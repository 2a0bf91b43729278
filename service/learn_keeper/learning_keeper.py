"""The keeper of learnings: jobs go from the database to the learners, their reports come back, and
a model that is ready goes live or is rejected.

Only the front end that records does this. If two should do so for a moment, each locks the rows
that it changes and reads them again, so that nothing is decided twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from service.bus.learnings import LEARNER_LEASE_S, Learnings
from service.bus.recorder_lock import RecorderLock
from service.bus.registry import Registry
from service.learn_keeper.learning_rows import (
    NO_LEARNER,
    NOT_TAKEN,
    UNDER_WAY,
    apply_status,
    decide,
    finish,
    is_newer,
    make_job,
)
from service.learning_messages import LearningJob, LearningState, LearningStatus
from service.metrics import Metrics
from service.model_folders import is_usable
from service.record.stream_configs import make_config
from service.rounds import run_rounds
from service.settings import Settings
from service.store.database import Database
from service.store.tables import CursorRow, LearningRow, StreamRow

log = structlog.stdlib.get_logger(__name__)

EVERY_S = 1.0
PROGRESS_EVERY_S = 3.0
"""Reports of nothing but progress are written so often at most."""
GONE_S = 60.0
"""A learner that didn't report for so long is gone."""
MODEL_PATIENCE_S = 60.0
"""A folder on another machine may show a new model so late."""
CANCELLED_S = 600.0
"""Learners are sent a cancelled job for so long, so that they delete its recording."""
_BUSY = frozenset(
    {
        LearningState.COLLECTING.value,
        LearningState.QUEUED.value,
        LearningState.TRAINING.value,
        LearningState.CHECKING.value,
    }
)


@dataclass(slots=True)
class _LastReport:
    """When something was seen last, by this process's monotonic clock."""

    updated_at: float | None
    received_at: float
    written_at: float = float("-inf")


class LearningKeeper:
    """The part of a front end that keeps learnings, while it is the one that records."""

    def __init__(
        self,
        database: Database,
        redis: Redis,
        settings: Settings,
        metrics: Metrics,
        *,
        owner: str,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: owner: the name under which this front end's recorder holds its lock."""
        self._database = database
        self._models = settings.user_models
        self._metrics = metrics
        self._clock = clock
        self._timer = timer
        self._lock = RecorderLock(redis, owner)
        self._registry = Registry(redis)
        self._learnings = Learnings(redis)
        self._reports: dict[str, _LastReport] = {}
        self._ready_since: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Keep learnings until stopped, even while Redis or the database is away."""

        def work() -> bool:
            self.step()
            return False

        run_rounds(
            work,
            stop,
            name="keeping learnings",
            every_s=EVERY_S,
            on_failure=self._metrics.learnings.labels("error").inc,
        )

    def step(self) -> None:
        """Go once over all learnings that are under way.

        Raises: Exception: something failed; it is tried again in the next round.
        """
        if not self._lock.is_held():
            self._reports.clear()
            self._ready_since.clear()
            return
        statuses = self._learnings.statuses()
        with self._database.read() as session:
            known = session.scalars(select(LearningRow).where(UNDER_WAY)).all()
        self._forget_others({row.id for row in known})
        failure: Exception | None = None
        for row in known:
            try:
                self._keep(row, statuses.get(row.id))
            except Exception as error:
                # What concerns one learning must not keep back the others.
                failure = failure or error
        self._learnings.synchronise(self._load_jobs())
        if failure is not None:
            raise failure

    def _forget_others(self, known: set[str]) -> None:
        self._reports = {key: each for key, each in self._reports.items() if key in known}
        self._ready_since = {key: at for key, at in self._ready_since.items() if key in known}

    def _load_jobs(self) -> Sequence[LearningJob]:
        now = self._clock()
        cancelled = and_(
            LearningRow.state == LearningState.CANCELLED.value,
            LearningRow.finished_at > now - CANCELLED_S,
        )
        query = (
            select(LearningRow, StreamRow)
            .join(StreamRow, StreamRow.id == LearningRow.stream_id)
            .where(or_(UNDER_WAY, cancelled))
        )
        with self._database.read() as session:
            return [make_job(learning, stream) for learning, stream in session.execute(query)]

    def _keep(self, row: LearningRow, status: LearningStatus | None) -> None:
        """Write what is new of a learning, and decide on a ready model."""
        last = self._receive(row, status)
        if status is not None and is_newer(status, row):
            if not self._is_due(row, status, last):
                return
            last.written_at = self._timer()
            self._change(row.id, lambda _, __, learning: self._copy(status, learning))
        else:
            reason = self._find_absence(row, status, self._timer() - last.received_at)
            if row.reason != reason:
                self._change(row.id, lambda _, __, learning: _set_reason(learning, reason))
        if row.state == LearningState.READY.value or (
            status is not None and status.state is LearningState.READY
        ):
            self._settle(row)

    def _receive(self, row: LearningRow, status: LearningStatus | None) -> _LastReport:
        updated_at = row.reported_at if status is None else status.updated_at
        last = self._reports.get(row.id)
        if last is None:
            last = self._reports[row.id] = _LastReport(updated_at, self._timer())
        elif last.updated_at != updated_at:
            last.updated_at, last.received_at = updated_at, self._timer()
        return last

    def _find_absence(
        self, row: LearningRow, status: LearningStatus | None, silent_s: float
    ) -> str:
        """Return the reason of a learning without news: the learner's own, or that it is gone."""
        if row.state in _BUSY and silent_s >= GONE_S:
            return (
                f"its learner {row.learner} has not reported for a minute; "
                "it goes on once a learner takes it"
            )
        is_untaken = row.state == LearningState.WAITING.value and status is None
        if is_untaken and silent_s >= LEARNER_LEASE_S:
            is_any = bool(self._learnings.list_learners(self._clock()))
            return NOT_TAKEN if is_any else NO_LEARNER
        return row.reason

    def _is_due(self, row: LearningRow, status: LearningStatus, last: _LastReport) -> bool:
        is_other = (row.state, row.learner) != (status.state.value, status.learner)
        return is_other or self._timer() - last.written_at >= PROGRESS_EVERY_S

    def _copy(self, status: LearningStatus, learning: LearningRow) -> None:
        if is_newer(status, learning):
            apply_status(learning, status, self._clock())

    def _settle(self, row: LearningRow) -> None:
        """Put a ready model live, or reject it, once its folder is there."""
        if is_usable(self._models, row.bundle):
            self._change(row.id, self._decide)
            return
        since = self._ready_since.setdefault(row.id, self._timer())
        if self._timer() - since < MODEL_PATIENCE_S:
            return
        reason = (
            f"its model {row.bundle} is not in this front end's models folder, or can't be read"
        )
        self._change(
            row.id,
            lambda _, __, learning: finish(learning, LearningState.FAILED, reason, self._clock()),
        )

    def _decide(self, session: Session, stream: StreamRow, learning: LearningRow) -> None:
        if learning.state == LearningState.READY.value:
            decide(session, stream, learning, self._clock())

    def _change(
        self, learning_id: str, change: Callable[[Session, StreamRow, LearningRow], None]
    ) -> None:
        """Change a learning that is still under way, in one transaction with its stream; publish
        the stream if it changed too."""
        with self._database.write() as session:
            found = lock_learning_row(session, learning_id)
            if found is None:
                return
            stream, learning = found
            if learning.finished_at is not None:
                return
            revision = stream.revision
            change(session, stream, learning)
            has_changed = stream.revision != revision
            last_frame = session.scalar(
                select(CursorRow.last_frame).where(CursorRow.stream_id == stream.id)
            )
        if has_changed:
            # If this fails, the recorder publishes the stream within seconds.
            with suppress(RedisError):
                config = make_config(stream, -1 if last_frame is None else last_frame)
                self._registry.publish([config])
        if learning.finished_at is not None:
            self._log_end(learning)

    def _log_end(self, learning: LearningRow) -> None:
        self._metrics.learnings.labels(learning.state).inc()
        log.info(
            "a learning ended",
            learning=learning.id,
            stream=learning.stream_id,
            state=learning.state,
            reason=learning.reason,
            model=learning.bundle,
        )


def lock_learning_row(session: Session, learning_id: str) -> tuple[StreamRow, LearningRow] | None:
    """Lock a learning's stream, then the learning: always in this order. None: one is gone."""
    stream_id = session.scalar(select(LearningRow.stream_id).where(LearningRow.id == learning_id))
    if stream_id is None:
        return None
    stream = session.get(StreamRow, stream_id, with_for_update=True)
    learning = session.get(LearningRow, learning_id, with_for_update=True)
    return None if stream is None or learning is None else (stream, learning)


def _set_reason(learning: LearningRow, reason: str) -> None:
    learning.reason = reason
