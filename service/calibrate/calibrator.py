"""The recorder's part that gives each stream a threshold of its own.

It reads stored scores, a little at a time, and makes thresholds of them. All its state is in the
database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass

import structlog
from sqlalchemy import bindparam, delete, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from model.events.event_detection import EventRules
from model.events.tails import TooFewPeaks, find_threshold
from service.calibrate.score_collector import (
    CollectorState,
    EventFrames,
    FootageStretch,
    ScoreCollector,
    TimedScore,
    compute_guard_s,
    from_json,
    is_on_flank,
    to_json,
)
from service.calibrate.stream_thresholds import (
    KEPT_STRETCHES,
    KEPT_THRESHOLDS,
    LEAST_FOOTAGE_S,
    compute_basis,
    count_normal_labels,
    find_newest_threshold,
    is_due,
    load_evidence,
    make_threshold_row,
)
from service.errors import StaleCursor
from service.messages import StreamState
from service.store.database import Database
from service.store.tables import CursorRow, EventRow, FootageRow, ScoreRow, StreamRow, ThresholdRow

log = structlog.stdlib.get_logger(__name__)

VISIT_EVERY_S = 60.0
"""Seconds between visits to the same stream."""
BUDGET_S = 0.1
"""No further stream is visited in a round that took longer."""
READ_SCORES = 2000
"""Scores of one stream that are read at once."""
SETTLE_FRAMES = 100
"""After a change of the configuration so many frames may still be scored by the old one."""
MOST_EVENTS = 200
"""Events among the scores that are read at once."""

_EVENTS = EventRow.__table__.c
_STREAMS = StreamRow.__table__.c
_LABELLED = select(_EVENTS.stream_id, _EVENTS.labelled_at).where(
    _EVENTS.labelled_at > bindparam("after")
)
_ALLOWED = select(_STREAMS.id, _STREAMS.false_alarms_per_day)


@dataclass(frozen=True, slots=True)
class _NewScores:
    """The scores of a stream that weren't collected yet."""

    row: FootageRow
    """The newest stretch."""
    scores: Sequence[TimedScore]
    events: Sequence[EventFrames]
    more: bool
    """Whether more scores may be collected at once."""


class Calibrator:
    """Visits one stream after another, in the recorder's thread."""

    def __init__(
        self,
        database: Database,
        rules: EventRules,
        per_day: float,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: per_day: false alarms that streams without a number of their own may raise."""
        self._database = database
        self._rules = rules
        self._guard_s = compute_guard_s(rules)
        self._per_day = per_day
        self._timer = timer
        self._visited: dict[str, float] = {}
        self._allowed: dict[str, float | None] = {}
        self._foreign: frozenset[str] = frozenset()
        self._to_restart: set[str] = set()
        """Streams with scores of another model since their calibration began."""
        self._labelled_at = time.time()

    def visit_due(self, stream_ids: Collection[str], foreign: Collection[str] = ()) -> None:
        """Visit the streams whose turn it is, for `BUDGET_S` or a little more.

        What fails is logged and tried again: recording doesn't wait for it.

        Args: foreign: streams that another model scores than the one that is configured.
        """
        began = self._timer()
        self._foreign = frozenset(foreign)
        self._to_restart = (self._to_restart | self._foreign) & set(stream_ids)
        self._visited = {key: self._visited.get(key, began - VISIT_EVERY_S) for key in stream_ids}
        for key in self._find_changes() & self._visited.keys():
            self._visited[key] = began - VISIT_EVERY_S
        for stream_id in sorted(self._visited, key=lambda key: self._visited[key]):
            now = self._timer()
            if now - self._visited[stream_id] < VISIT_EVERY_S or now - began > BUDGET_S:
                return
            more = False
            try:
                more = self.visit(stream_id, time.time())
            except (SQLAlchemyError, StaleCursor, ValueError) as error:
                log.warning(
                    "a stream was not calibrated", stream=stream_id, error=type(error).__name__
                )
            # One with a long backlog takes turns with the others.
            self._visited[stream_id] = now - VISIT_EVERY_S if more else now

    def _find_changes(self) -> set[str]:
        """Return streams whose allowed false alarms or whose events' labels have changed.

        They go first: the user who changed them waits for the result.
        """
        try:
            with self._database.read() as session:
                connection = session.connection()
                events = connection.execute(_LABELLED, {"after": self._labelled_at}).all()
                allowed = {ident: value for ident, value in connection.execute(_ALLOWED)}
        except SQLAlchemyError as error:
            log.warning("what was changed can't be read", error=type(error).__name__)
            return set()
        self._labelled_at = max([self._labelled_at, *(at for _, at in events if at is not None)])
        before, self._allowed = self._allowed, allowed
        return {ident for ident, _ in events} | {
            ident for ident, value in allowed.items() if before.get(ident, value) != value
        }

    def visit(self, stream_id: str, now: float) -> bool:
        """Collect the stream's new scores, and make a threshold if one is due.

        Returns: whether there are more scores to collect.

        Raises: StaleCursor: another front end was quicker.
        """
        with self._database.read() as session:
            stream = session.get(StreamRow, stream_id)
            cursor = session.get(CursorRow, stream_id)
            if stream is None or stream.model is None or cursor is None:
                return False
            row = _newest_stretch(session, stream_id)
            found = None
            is_own = stream_id not in self._to_restart
            if row is not None and row.basis == compute_basis(stream) and is_own:
                found = self._read(session, row, cursor.last_frame)
        if found is None:
            self._start(stream, row, cursor.last_frame)
            if stream_id not in self._foreign:
                self._to_restart.discard(stream_id)
            return stream.revision == 1
        if found.scores:
            self._collect(found)
        if not found.more:
            self._renew(stream, now)
        return found.more

    def _start(self, stream: StreamRow, row: FootageRow | None, last_frame: int) -> None:
        """Begin with the scores to come: those before may be of another configuration."""
        if row is not None:
            last_frame += SETTLE_FRAMES
        elif stream.revision == 1:
            last_frame = -1
        with self._database.write() as session:
            session.execute(delete(FootageRow).where(FootageRow.stream_id == stream.id))
            number = 0 if row is None else row.number + 1
            session.add(
                FootageRow(
                    stream_id=stream.id,
                    number=number,
                    basis=compute_basis(stream),
                    last_frame=last_frame,
                    finder=to_json(CollectorState()),
                )
            )
            if stream.calibrated_threshold is not None:
                _apply_threshold(session, stream, None)

    def _read(self, session: Session, row: FootageRow, last_frame: int) -> _NewScores:
        events = session.execute(
            select(
                EventRow.first_frame, EventRow.last_frame, EventRow.started_at, EventRow.ended_at
            )
            .where(
                EventRow.stream_id == row.stream_id,
                or_(EventRow.last_frame > row.last_frame, EventRow.ended_at.is_(None)),
            )
            .order_by(EventRow.first_frame)
            .limit(MOST_EVENTS)
        ).all()
        known = [EventFrames(each[0], each[1], each[2]) for each in events]
        unsure = [event for event, each in zip(known, events, strict=True) if each[3] is None]
        if len(known) == MOST_EVENTS:
            unsure.append(known[-1])
        query = (
            select(
                ScoreRow.frame,
                ScoreRow.captured_at,
                ScoreRow.score,
                ScoreRow.threshold,
                ScoreRow.state,
            )
            .where(
                ScoreRow.stream_id == row.stream_id,
                ScoreRow.frame > row.last_frame,
                ScoreRow.frame <= last_frame,
            )
            .order_by(ScoreRow.frame)
            .limit(READ_SCORES)
        )
        scores = [
            TimedScore(frame, at, score if state == StreamState.LIVE.value else None, threshold)
            for frame, at, score, threshold, state in session.execute(query)
        ]
        more = len(scores) >= READ_SCORES
        scores = self._keep_known(scores, _find_newest_at(session, row.stream_id), unsure)
        return _NewScores(row, scores, known, more and bool(scores))

    def _keep_known(
        self,
        scores: list[TimedScore],
        newest_at: float | None,
        unsure: Sequence[EventFrames],
    ) -> list[TimedScore]:
        """Leave out the scores of which nobody can say yet whether they belong to an event or its
        flanks: what comes after will show it.

        Args:
            newest_at: the capture time of the stream's newest score.
            unsure: events that may still grow.
        """
        kept = list(scores)
        if unsure:
            first = min(unsure, key=lambda event: event.first_frame)
            kept = [each for each in kept if each.frame < first.first_frame]
            _drop_flank(kept, first.started_at, self._guard_s)
        if newest_at is not None:
            _drop_flank(kept, newest_at, self._guard_s)
        return kept

    def _collect(self, found: _NewScores) -> None:
        row = found.row
        first = FootageStretch(
            limit=row.limit,
            seconds=row.seconds,
            low=row.low,
            peaks=list(row.peaks),
            events=[(int(frame), peak) for frame, peak in row.events],
        )
        collector = ScoreCollector(self._rules, first, from_json(row.finder))
        collector.collect(found.scores, found.events)
        state = to_json(collector.save_state())
        last_frame = found.scores[-1].frame
        with self._database.write() as session:
            moved = session.scalar(
                update(FootageRow)
                .where(
                    FootageRow.stream_id == row.stream_id,
                    FootageRow.number == row.number,
                    FootageRow.version == row.version,
                )
                .values(
                    version=row.version + 1, last_frame=last_frame, finder=state, **asdict(first)
                )
                .returning(FootageRow.version)
            )
            if moved is None:
                raise StaleCursor(row.stream_id)
            for place, stretch in enumerate(collector.stretches[1:], 1):
                session.add(
                    FootageRow(
                        stream_id=row.stream_id,
                        number=row.number + place,
                        basis=row.basis,
                        last_frame=last_frame,
                        finder=state,
                        **asdict(stretch),
                    )
                )
            if len(collector.stretches) > 1:
                oldest = row.number + len(collector.stretches) - KEPT_STRETCHES
                session.execute(
                    delete(FootageRow).where(
                        FootageRow.stream_id == row.stream_id, FootageRow.number < oldest
                    )
                )

    def _renew(self, stream: StreamRow, now: float) -> None:
        per_day = stream.false_alarms_per_day or self._per_day
        with self._database.read() as session:
            labelled = count_normal_labels(session, stream.id)
            last = find_newest_threshold(session, stream)
            if not is_due(last, per_day=per_day, labelled=labelled, now=now):
                return
            stretches, confirmed = load_evidence(session, stream)
        if sum(stretch.seconds for stretch in stretches) < LEAST_FOOTAGE_S:
            return
        try:
            found = find_threshold(stretches, per_day, confirmed)
        except TooFewPeaks:
            return
        with self._database.write() as session:
            session.add(
                make_threshold_row(stream, found, per_day=per_day, labelled=labelled, now=now)
            )
            _apply_threshold(session, stream, found.threshold)
            _delete_old(session, stream.id)
        log.info(
            "a threshold was found",
            stream=stream.id,
            threshold=round(found.threshold, 4),
            footage_s=round(found.seconds),
            false_alarms_per_day=per_day,
        )


def _drop_flank(scores: list[TimedScore], at: float, guard_s: float) -> None:
    """Drop the last scores that are so near before a time."""
    while scores and is_on_flank(scores[-1].at, at, guard_s):
        scores.pop()


def _find_newest_at(session: Session, stream_id: str) -> float | None:
    query = select(ScoreRow.captured_at).where(ScoreRow.stream_id == stream_id)
    return session.scalar(query.order_by(ScoreRow.frame.desc()).limit(1))


def _newest_stretch(session: Session, stream_id: str) -> FootageRow | None:
    query = select(FootageRow).where(FootageRow.stream_id == stream_id)
    return session.scalars(query.order_by(FootageRow.number.desc()).limit(1)).first()


def _apply_threshold(session: Session, stream: StreamRow, threshold: float | None) -> None:
    """Put a threshold in force, with a revision that workers see.

    Raises: StaleCursor: the stream was changed since it was read; the transaction rolls back.
    """
    changed = session.scalar(
        update(StreamRow)
        .where(StreamRow.id == stream.id, StreamRow.revision == stream.revision)
        .values(calibrated_threshold=threshold, revision=stream.revision + 1)
        .returning(StreamRow.revision)
    )
    if changed is None:
        raise StaleCursor(stream.id)


def _delete_old(session: Session, stream_id: str) -> None:
    query = select(ThresholdRow.id).where(ThresholdRow.stream_id == stream_id)
    oldest = session.scalar(query.order_by(ThresholdRow.id.desc()).offset(KEPT_THRESHOLDS).limit(1))
    if oldest is not None:
        session.execute(
            delete(ThresholdRow).where(
                ThresholdRow.stream_id == stream_id, ThresholdRow.id <= oldest
            )
        )
