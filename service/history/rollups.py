"""Rolls scores up by second and by minute of their capture, in the transaction that stores them.

Scores may come in any order, so that footage of another time may be uploaded at any time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from sqlalchemy import Table
from sqlalchemy.orm import Session

from service.messages import FrameScore
from service.store.rows import Row, insert_rows
from service.store.tables import MinuteRow, SecondRow

MINUTE_S = 60

Key = tuple[str, int]
"""A stream, and the time at which its second or minute begins."""


@dataclass(slots=True)
class _Sum:
    """Sums up scores that have a value; `threshold` is the last one's."""

    count: int
    low: float
    total: float
    high: float
    threshold: float | None

    def add(self, score: float, threshold: float | None) -> None:
        self.count += 1
        self.low = min(self.low, score)
        self.total += score
        self.high = max(self.high, score)
        self.threshold = threshold

    def merge(self, other: _Sum) -> None:
        self.count += other.count
        self.low = min(self.low, other.low)
        self.total += other.total
        self.high = max(self.high, other.high)
        self.threshold = other.threshold


_SECONDS = cast(Table, SecondRow.__table__)
_MINUTES = cast(Table, MinuteRow.__table__)
_COLUMNS = ("stream_id", "at", "count", "low", "total", "high", "threshold")
_MERGE = (
    # SQLite and PostgreSQL share it, but for the names of min and max of two.
    "ON CONFLICT (stream_id, at) DO UPDATE SET "
    "count = kept.count + excluded.count, "
    "low = CASE WHEN excluded.low < kept.low THEN excluded.low ELSE kept.low END, "
    "total = kept.total + excluded.total, "
    "high = CASE WHEN excluded.high > kept.high THEN excluded.high ELSE kept.high END, "
    "threshold = excluded.threshold"
)


def add_scores(session: Session, scores: Mapping[str, Sequence[FrameScore]]) -> None:
    """Add new scores of these streams; those without a value don't count.

    This takes two statements for any number of streams. It is called once for each score: what
    keeps a score from being stored twice keeps it from being counted twice.
    """
    seconds = _sum_by_second(scores)
    minutes: dict[Key, _Sum] = {}
    for (stream_id, at), sums in seconds.items():
        key = (stream_id, at - at % MINUTE_S)
        if (minute := minutes.get(key)) is None:
            minutes[key] = replace(sums)
        else:
            minute.merge(sums)
    for table, rolled in ((_SECONDS, seconds), (_MINUTES, minutes)):
        # In the order of the key: transactions of two front ends can't wait for each other.
        rows = [_make_row(key, rolled[key]) for key in sorted(rolled)]
        insert_rows(session, table, _COLUMNS, rows, _MERGE)


def _sum_by_second(scores: Mapping[str, Sequence[FrameScore]]) -> dict[Key, _Sum]:
    seconds: dict[Key, _Sum] = {}
    for stream_id, group in scores.items():
        for score in group:
            value = score.score
            if value is None:
                continue
            key = (stream_id, math.floor(score.captured_at))
            if (sums := seconds.get(key)) is None:
                seconds[key] = _Sum(1, value, value, value, score.threshold)
            else:
                sums.add(value, score.threshold)
    return seconds


def _make_row(key: Key, sums: _Sum) -> Row:
    return (*key, sums.count, sums.low, sums.total, sums.high, sums.threshold)
