"""What is kept for how long. The recording front end deletes the rest, a little at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from sqlalchemy import Select

from service.history import deletion
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventRow, MinuteRow, ScoreRow, SecondRow

log = structlog.stdlib.get_logger(__name__)

EVERY_S = 60.0
"""From the end of one round to the next. The first comes so long after the start."""
TURN_S = 0.1
"""A turn begins no further transaction after so long: scores wait to be written."""
PACE = 2
"""But it deletes so many rows for each score that has come, however long that takes: what comes in
on a slow machine goes there, too."""
HOUR_S = 3600.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """Seconds that things are kept; None: for ever."""

    scores_s: float | None
    by_second_s: float | None
    by_minute_s: float | None
    events_s: float | None

    @classmethod
    def of(cls, settings: Settings) -> Keeping:
        """As the operator set it; what is coarser is kept no shorter than what is finer."""
        scores_s = _seconds(settings.keep_scores_hours, HOUR_S)
        by_second_s = _longer(scores_s, _seconds(settings.keep_seconds_days, DAY_S))
        by_minute_s = _longer(by_second_s, _seconds(settings.keep_minutes_days, DAY_S))
        events_s = _seconds(settings.keep_events_days, DAY_S)
        return cls(scores_s, by_second_s, by_minute_s, events_s)


class Retention:
    """Rounds of deletion, which go on from turn to turn."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._keeping = Keeping.of(settings)
        self._round: Iterator[int] | None = None
        self._rested_at: float | None = None

    def turn(self, now: float, recorded: int = 0) -> None:
        """Go on with the round, or begin one that is due, for `TURN_S` and one transaction, or for
        as long as it takes to keep pace with the scores that were recorded since the turn before.

        Raises: whatever failed; a later round comes back to it.
        """
        if self._round is None:
            if self._rested_at is None or now < self._rested_at:
                self._rested_at = now
            if now - self._rested_at < EVERY_S:
                return
            self._round = self._steps(now)
        began, wanted = time.monotonic(), PACE * recorded
        try:
            for rows in self._round:
                wanted -= rows
                if wanted <= 0 and time.monotonic() - began >= TURN_S:
                    return
        except Exception:
            self._end(now)
            raise
        self._end(now)

    def _end(self, now: float) -> None:
        self._round, self._rested_at = None, now

    def _steps(self, now: float) -> Iterator[int]:
        """Each step is a transaction of its own; how many rows it deletes."""
        for stream_id in self._streams(deletion.deleted_streams()):
            yield from self._erase(stream_id)
        keeping = self._keeping
        if keeping.scores_s is not None:
            yield from self._expire_scores(now - keeping.scores_s)
        if keeping.by_second_s is not None:
            yield from self._expire_rollups(SecondRow, now - keeping.by_second_s)
        if keeping.by_minute_s is not None:
            yield from self._expire_rollups(MinuteRow, now - keeping.by_minute_s)
        if keeping.events_s is not None:
            yield from self._expire_events(now - keeping.events_s)

    def _streams(self, query: Select[str]) -> list[str]:
        with self._database.read() as session:
            return list(session.scalars(query))

    def _erase(self, stream_id: str) -> Iterator[int]:
        while True:
            with self._database.write() as session:
                erased = deletion.erase(session, stream_id)
            if erased is None:
                log.info("nothing is left of a deleted stream", stream=stream_id)
                return
            yield self._counted(*erased)

    def _expire_scores(self, before: float) -> Iterator[int]:
        for stream_id in self._streams(deletion.with_old_scores(before)):
            count = deletion.STEP_ROWS
            while count >= deletion.STEP_ROWS:
                with self._database.write() as session:
                    count = deletion.delete_scores(session, stream_id, before)
                yield self._counted(ScoreRow.__tablename__, count)

    def _expire_rollups(self, table: deletion.Rollup, before: float) -> Iterator[int]:
        for stream_id in self._streams(deletion.with_old_rollups(table, before)):
            count = deletion.STEP_ROWS
            while count >= deletion.STEP_ROWS:
                with self._database.write() as session:
                    count = deletion.delete_rollups(session, table, stream_id, before)
                yield self._counted(table.__tablename__, count)

    def _expire_events(self, before: float) -> Iterator[int]:
        count = deletion.STEP_EVENTS
        while count >= deletion.STEP_EVENTS:
            with self._database.write() as session:
                count = deletion.delete_events(session, before)
            yield self._counted(EventRow.__tablename__, count)

    def _counted(self, table: str, rows: int) -> int:
        self._metrics.deleted_rows.labels(table).inc(rows)
        return rows


def _seconds(length: float, unit_s: float) -> float | None:
    return None if length == 0 else length * unit_s


def _longer(finer_s: float | None, coarser_s: float | None) -> float | None:
    if finer_s is None or coarser_s is None:
        return None
    return max(finer_s, coarser_s)
