"""Deletes what is older than it is kept, a little at a time, in the recording front end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import Select
from sqlalchemy.orm import Session

from service.history import deletion
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventRow, MinuteRow, ScoreRow, SecondRow

log = structlog.stdlib.get_logger(__name__)

EVERY_S = 60.0
"""Seconds from the end of a round, or from the start, to the next round."""
TURN_S = 0.1
"""Seconds after which a turn begins no further transaction: scores wait to be written."""
PACE = 2
"""Rows that a turn deletes at least for each new score, even if that takes longer: a slow machine
deletes as fast as it records."""
HOUR_S = 3600.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RetentionTimes:
    """Seconds for which rows are kept; None: for ever."""

    scores_s: float | None
    by_second_s: float | None
    by_minute_s: float | None
    events_s: float | None

    @classmethod
    def from_settings(cls, settings: Settings) -> RetentionTimes:
        """Read the operator's settings; coarser rows are kept at least as long as finer ones."""
        scores_s = _convert(settings.keep_scores_hours, HOUR_S)
        by_second_s = _find_longer(scores_s, _convert(settings.keep_seconds_days, DAY_S))
        by_minute_s = _find_longer(by_second_s, _convert(settings.keep_minutes_days, DAY_S))
        events_s = _convert(settings.keep_events_days, DAY_S)
        return cls(scores_s, by_second_s, by_minute_s, events_s)


class HistoryRetention:
    """Rounds of deletion, which go on from turn to turn."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._times = RetentionTimes.from_settings(settings)
        self._round: Iterator[int] | None = None
        self._rested_at: float | None = None

    def take_turn(self, now: float, recorded: int = 0) -> None:
        """Go on with the round, or begin one that is due.

        It takes `TURN_S` and one transaction, or as long as it needs to keep pace with the scores
        that were recorded since the turn before.

        Raises: Exception: something failed; a later round comes back to it.
        """
        if self._round is None:
            if self._rested_at is None or now < self._rested_at:
                self._rested_at = now
            if now - self._rested_at < EVERY_S:
                return
            self._round = self._steps(now)
        began, missing = time.monotonic(), PACE * recorded
        try:
            for rows in self._round:
                missing -= rows
                if missing <= 0 and time.monotonic() - began >= TURN_S:
                    return
        except Exception:
            self._end(now)
            raise
        self._end(now)

    def _end(self, now: float) -> None:
        self._round, self._rested_at = None, now

    def _steps(self, now: float) -> Iterator[int]:
        """Delete in steps, each a transaction of its own; yield how many rows each deletes."""
        for stream_id in self._read_ids(deletion.select_deleted_streams()):
            yield from self._erase(stream_id)
        times = self._times
        if times.scores_s is not None:
            yield from self._expire_scores(now - times.scores_s)
        if times.by_second_s is not None:
            yield from self._expire_rollups(SecondRow, now - times.by_second_s)
        if times.by_minute_s is not None:
            yield from self._expire_rollups(MinuteRow, now - times.by_minute_s)
        if times.events_s is not None:
            yield from self._expire_events(now - times.events_s)

    def _read_ids(self, query: Select[str]) -> list[str]:
        with self._database.read() as session:
            return list(session.scalars(query))

    def _erase(self, stream_id: str) -> Iterator[int]:
        while True:
            with self._database.write() as session:
                erased = deletion.erase_some(session, stream_id)
            if erased is None:
                log.info("nothing is left of a deleted stream", stream=stream_id)
                return
            yield self._count(*erased)

    def _expire_scores(self, before: float) -> Iterator[int]:
        for stream_id in self._read_ids(deletion.select_streams_with_old_scores(before)):
            delete = partial(deletion.delete_scores, stream_id=stream_id, scored_before=before)
            yield from self._repeat(delete, deletion.STEP_ROWS, ScoreRow.__tablename__)

    def _expire_rollups(self, table: deletion.RollupTable, before: float) -> Iterator[int]:
        for stream_id in self._read_ids(deletion.select_streams_with_old_rollups(table, before)):
            delete = partial(
                deletion.delete_rollups, table=table, stream_id=stream_id, before=before
            )
            yield from self._repeat(delete, deletion.STEP_ROWS, table.__tablename__)

    def _expire_events(self, before: float) -> Iterator[int]:
        delete = partial(deletion.delete_events, before=before)
        return self._repeat(delete, deletion.STEP_EVENTS, EventRow.__tablename__)

    def _repeat(
        self, delete: Callable[[Session], int], step_rows: int, table: str
    ) -> Iterator[int]:
        """Delete in transactions of `step_rows` until one finds fewer."""
        count = step_rows
        while count >= step_rows:
            with self._database.write() as session:
                count = delete(session)
            yield self._count(table, count)

    def _count(self, table: str, rows: int) -> int:
        self._metrics.deleted_rows.labels(table).inc(rows)
        return rows


def _convert(length: float, unit_s: float) -> float | None:
    return None if length == 0 else length * unit_s


def _find_longer(finer_s: float | None, coarser_s: float | None) -> float | None:
    if finer_s is None or coarser_s is None:
        return None
    return max(finer_s, coarser_s)
