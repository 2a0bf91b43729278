"""A stream's threshold from its footage: whether one is due, what it is, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from model.peaks import magnitude
from model.tails import Found, Stretch
from service.calibrate.basis import basis
from service.store.tables import EventRow, FootageRow, StreamRow, ThresholdRow

LEAST_FOOTAGE_S = 600.0
"""With less, the model's own threshold stays in force."""
RENEW_SHARE = 0.25
"""A threshold is made anew once so much more footage has passed as it rests on, ..."""
RENEW_S = 6 * 3600.0
"""... or so much, in seconds."""
KEPT_THRESHOLDS = 100
"""Of a stream, the newest."""
KEPT_STRETCHES = 1344
"""Of a stream, the newest: two weeks of footage."""


@dataclass(frozen=True, slots=True)
class Footage:
    """How much there is of a stream."""

    seconds: float
    peaks: int


def footage(session: Session, stream: StreamRow) -> Footage:
    """What a threshold would rest on now; nothing where the configuration is another one."""
    rows = _stretches(session, stream)
    return Footage(sum(row.seconds for row in rows), sum(len(row.peaks) for row in rows))


def newest(session: Session, stream: StreamRow) -> ThresholdRow | None:
    """The last one that was made of this configuration's scores."""
    query = select(ThresholdRow).where(ThresholdRow.stream_id == stream.id)
    row = session.scalars(query.order_by(ThresholdRow.id.desc()).limit(1)).first()
    return row if row is not None and row.fit.get("basis") == basis(stream) else None


def labels(session: Session, stream_id: str) -> int:
    """How many of its events were called normal."""
    query = select(func.count()).where(EventRow.stream_id == stream_id, EventRow.label == "normal")
    return session.scalar(query) or 0


def is_due(last: ThresholdRow | None, *, per_day: float, labelled: int, now: float) -> bool:
    """Whether another one should be made."""
    if last is None or last.false_alarms_per_day != per_day or last.fit.get("labels") != labelled:
        return True
    # A clock that was set back must not keep it from being renewed.
    return not 0.0 <= now - last.made_at < min(RENEW_SHARE * last.footage_s, RENEW_S)


def evidence(session: Session, stream: StreamRow) -> tuple[list[Stretch], list[float]]:
    """All stretches, and the peaks of events that were called normal."""
    rows = _stretches(session, stream)
    found = {int(first): peak for row in rows for first, peak in row.events}
    query = select(EventRow.first_frame).where(
        EventRow.stream_id == stream.id, EventRow.label == "normal"
    )
    normal = session.scalars(query.order_by(EventRow.first_frame.desc()).limit(10_000))
    stretches = [
        Stretch(
            seconds=row.seconds,
            peaks=tuple(row.peaks),
            low=row.low,
            limit=math.inf if row.limit is None else magnitude(row.limit),
        )
        for row in rows
        if row.seconds > 0.0
    ]
    return stretches, [found[frame] for frame in normal if frame in found]


def threshold_row(
    stream: StreamRow, found: Found, *, per_day: float, labelled: int, now: float
) -> ThresholdRow:
    """A threshold as it is kept."""
    fit: dict[str, object] = {**asdict(found.tail), "highest": found.highest}
    return ThresholdRow(
        stream_id=stream.id,
        made_at=now,
        model=stream.model,
        false_alarms_per_day=per_day,
        threshold=found.threshold,
        low=found.low,
        high=found.high,
        footage_s=found.seconds,
        fit={**fit, "basis": basis(stream), "labels": labelled},
    )


def _stretches(session: Session, stream: StreamRow) -> Sequence[FootageRow]:
    query = select(FootageRow).where(
        FootageRow.stream_id == stream.id, FootageRow.basis == basis(stream)
    )
    return session.scalars(query.order_by(FootageRow.number)).all()
