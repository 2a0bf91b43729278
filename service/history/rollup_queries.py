"""Reads roll-ups, and chooses the resolution that suits a span."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.history.rollups import MINUTE_S
from service.store.tables import MinuteRow, ScoreRow, SecondRow

FRAMES_S = 600.0
"""Spans up to this many seconds are answered by frame, unless the client chooses."""
SECONDS_S = 7200.0
"""Longer spans up to this are answered by second."""


class Resolution(StrEnum):
    """What one item of a history stands for."""

    FRAME = "frame"
    SECOND = "second"
    MINUTE = "minute"

    @property
    def length_s(self) -> int:
        """The seconds that an item lasts; 0 for a frame."""
        return {"frame": 0, "second": 1, "minute": MINUTE_S}[self.value]


@dataclass(frozen=True, slots=True)
class Rollup:
    """The scores of a second or a minute that begins at `at`, in seconds since 1970."""

    at: int
    count: int
    low: float
    mean: float
    high: float
    threshold: float | None
    """The threshold of the score that was recorded last."""


def choose_resolution(session: Session, stream_id: str, since: float, until: float) -> Resolution:
    """Return the finest resolution that suits the length of the span.

    One that reaches less far back into it than the coarser ones do isn't chosen.
    """
    span_s = until - since
    fitting = [
        resolution
        for resolution, longest_s in (
            (Resolution.FRAME, FRAMES_S),
            (Resolution.SECOND, SECONDS_S),
            (Resolution.MINUTE, math.inf),
        )
        if span_s <= longest_s
    ]
    begins = {each: _find_first(session, stream_id, each, since, until) for each in fitting}
    for place, resolution in enumerate(fitting):
        coarser = fitting[place + 1 :]
        earliest = min((begins[each] + each.length_s for each in coarser), default=math.inf)
        if begins[resolution] < earliest or math.isinf(earliest):
            return resolution
    return Resolution.MINUTE


def read_rollups(
    session: Session,
    stream_id: str,
    resolution: Resolution,
    *,
    since: float | None,
    until: float | None,
    limit: int,
) -> list[Rollup]:
    """Return up to `limit` roll-ups that overlap the span, in order; without a span the newest.

    Raises: ValueError: there are no roll-ups by frame.
    """
    table = _find_table(resolution)
    columns = (table.at, table.count, table.low, table.total, table.high, table.threshold)
    query = select(*columns).where(table.stream_id == stream_id)
    if since is not None:
        query = query.where(table.at > math.floor(since) - resolution.length_s)
    if until is not None:
        query = query.where(table.at <= math.floor(until))
    newest = since is None and until is None
    order = table.at.desc() if newest else table.at
    rows = session.execute(query.order_by(order).limit(limit))
    found = [
        # A sum of equal numbers, divided, may differ a little from them.
        Rollup(at, count, low, min(max(total / count, low), high), high, threshold)
        for at, count, low, total, high, threshold in rows
    ]
    return found[::-1] if newest else found


def _find_table(resolution: Resolution) -> type[SecondRow] | type[MinuteRow]:
    if resolution is Resolution.FRAME:
        raise ValueError("there are no roll-ups by frame")
    return SecondRow if resolution is Resolution.SECOND else MinuteRow


def _find_first(
    session: Session, stream_id: str, resolution: Resolution, since: float, until: float
) -> float:
    """Return when the first item of the span begins; infinite where there is none."""
    if resolution is Resolution.FRAME:
        first = session.scalar(
            select(func.min(ScoreRow.captured_at)).where(
                ScoreRow.stream_id == stream_id, ScoreRow.captured_at.between(since, until)
            )
        )
    else:
        table = _find_table(resolution)
        first = session.scalar(
            select(func.min(table.at)).where(
                table.stream_id == stream_id, table.at.between(math.ceil(since), math.floor(until))
            )
        )
    return math.inf if first is None else float(first)
