"""Scores rolled up by second and by minute of their capture, in the transaction that stores them.

A roll-up takes in scores in whatever order they come, so that footage of another time may be
uploaded at any time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from service.messages import FrameScore
from service.store.tables import MinuteRow, SecondRow

MINUTE_S = 60

Key = tuple[str, int]
"""A stream, and where its second or minute begins."""


@dataclass(slots=True)
class _Sum:
    """Of scores with a value; `threshold` is that of the last one."""

    count: int
    low: float
    total: float
    high: float
    threshold: float | None

    def take(self, other: _Sum) -> None:
        self.count += other.count
        self.low = min(self.low, other.low)
        self.total += other.total
        self.high = max(self.high, other.high)
        self.threshold = other.threshold


def _upsert(table: str) -> TextClause:
    """SQLite and PostgreSQL share it, but for the names of min and max of two."""
    return text(
        f"INSERT INTO {table} AS kept (stream_id, at, count, low, total, high, threshold) "
        "VALUES (:stream_id, :at, :count, :low, :total, :high, :threshold) "
        "ON CONFLICT (stream_id, at) DO UPDATE SET "
        "count = kept.count + excluded.count, "
        "low = CASE WHEN excluded.low < kept.low THEN excluded.low ELSE kept.low END, "
        "total = kept.total + excluded.total, "
        "high = CASE WHEN excluded.high > kept.high THEN excluded.high ELSE kept.high END, "
        "threshold = excluded.threshold"
    )


_SECONDS = _upsert(SecondRow.__tablename__)
_MINUTES = _upsert(MinuteRow.__tablename__)


def add(session: Session, scores: Mapping[str, Sequence[FrameScore]]) -> None:
    """Take in new scores, by stream; those without a value don't count.

    Two statements, however many the streams. It is called once for each score: what keeps a score
    from being stored twice keeps it from being counted twice.
    """
    seconds = _merged(
        ((stream_id, math.floor(score.captured_at)), _one(score.score, score.threshold))
        for stream_id, group in scores.items()
        for score in group
        if score.score is not None
    )
    if not seconds:
        return
    minutes = _merged(
        ((stream_id, at - at % MINUTE_S), sums) for (stream_id, at), sums in seconds.items()
    )
    for statement, rows in ((_SECONDS, seconds), (_MINUTES, minutes)):
        session.execute(statement, [_values(key, rows[key]) for key in sorted(rows)])


def _one(score: float, threshold: float | None) -> _Sum:
    return _Sum(1, score, score, score, threshold)


def _merged(parts: Iterable[tuple[Key, _Sum]]) -> dict[Key, _Sum]:
    merged: dict[Key, _Sum] = {}
    for key, part in parts:
        if key in merged:
            merged[key].take(part)
        else:
            merged[key] = _Sum(part.count, part.low, part.total, part.high, part.threshold)
    return merged


def _values(key: Key, sums: _Sum) -> dict[str, object]:
    return {
        "stream_id": key[0],
        "at": key[1],
        "count": sums.count,
        "low": sums.low,
        "total": sums.total,
        "high": sums.high,
        "threshold": sums.threshold,
    }
