"""A stream's threshold: which one is in force, when one is due, and what it rests on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from model.events.peaks import to_magnitude
from model.events.tails import FoundThreshold, Stretch
from model.scoring.cause import Cause
from service.store.tables import EventRow, FootageRow, StreamRow, ThresholdRow

FIELDS = ("source", "model", "gamma", "memory_rule", "appearance_weight", "zones", "fps", "decode")


def compute_basis(stream: StreamRow) -> str:
    """Return a hash that is the same for configurations that score alike. It hides the source."""
    values = [_get_value(stream, name) for name in FIELDS]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _get_value(stream: StreamRow, name: str) -> object:
    if name == "zones" and stream.zones is not None:
        # What stands still enters no score that a threshold is calibrated from.
        return [zone for zone in stream.zones if zone["kind"] != "standing"] or None
    return getattr(stream, name)


LEAST_FOOTAGE_S = 600.0
"""With less footage, the model's own threshold stays in force."""
RENEW_SHARE = 0.25
"""A threshold is renewed after so much more footage, as a share of what it rests on, ..."""
RENEW_S = 6 * 3600.0
"""... or after so many seconds of footage, if that is less."""
KEPT_THRESHOLDS = 100
"""Thresholds that are kept of a stream: the newest."""
KEPT_STRETCHES = 1344
"""Stretches that are kept of a stream: the newest, two weeks of footage."""


class ThresholdOrigin(StrEnum):
    """The source of the threshold in force."""

    STREAM = "stream"
    """It was set for the stream, by the API."""
    CALIBRATED = "calibrated"
    """It was found from the stream's own normal footage."""
    MODEL = "model"
    """It is the model's: there is too little footage yet."""


def choose_threshold(
    stream: StreamRow, model_threshold: float | None = None
) -> tuple[float | None, ThresholdOrigin]:
    """Return the threshold in force: the stream's own, or the calibrated one, or the model's.

    Workers are sent None in place of the model's, and take it from the bundle that they load.
    """
    if stream.threshold is not None:
        return stream.threshold, ThresholdOrigin.STREAM
    if stream.calibrated_threshold is not None:
        return stream.calibrated_threshold, ThresholdOrigin.CALIBRATED
    return model_threshold, ThresholdOrigin.MODEL


@dataclass(frozen=True, slots=True)
class FootageAmount:
    """How much normal footage there is of a stream."""

    seconds: float
    peaks: int


def measure_footage(session: Session, stream: StreamRow) -> FootageAmount:
    """Return what a threshold would rest on now: footage of the present configuration."""
    rows = _load_stretches(session, stream)
    return FootageAmount(sum(row.seconds for row in rows), sum(len(row.peaks) for row in rows))


def find_newest_threshold(session: Session, stream: StreamRow) -> ThresholdRow | None:
    """Return the last threshold that was made of this configuration's scores."""
    query = select(ThresholdRow).where(ThresholdRow.stream_id == stream.id)
    row = session.scalars(query.order_by(ThresholdRow.id.desc()).limit(1)).first()
    return row if row is not None and row.fit.get("basis") == compute_basis(stream) else None


def count_normal_labels(session: Session, stream_id: str) -> int:
    """Count the stream's events that are labelled normal, as far as they count here."""
    query = select(func.count()).where(*_select_normal(stream_id))
    return session.scalar(query) or 0


def _select_normal(stream_id: str) -> tuple[ColumnElement[bool], ...]:
    """Select the events labelled normal whose scores say something about the threshold: the score
    of something that stands still is placed above any threshold."""
    return (
        EventRow.stream_id == stream_id,
        EventRow.label == "normal",
        EventRow.cause == Cause.MOTION.value,
    )


def is_due(last: ThresholdRow | None, *, per_day: float, labelled: int, now: float) -> bool:
    """Return whether another threshold should be made."""
    if last is None or last.false_alarms_per_day != per_day or last.fit.get("labels") != labelled:
        return True
    # A clock that was set back must not keep it from being renewed.
    return not 0.0 <= now - last.made_at < min(RENEW_SHARE * last.footage_s, RENEW_S)


def load_evidence(session: Session, stream: StreamRow) -> tuple[list[Stretch], list[float]]:
    """Return all stretches, and the peaks of events that are labelled normal."""
    rows = _load_stretches(session, stream)
    found = {int(first): peak for row in rows for first, peak in row.events}
    query = select(EventRow.first_frame).where(*_select_normal(stream.id))
    normal = session.scalars(query.order_by(EventRow.first_frame.desc()).limit(10_000))
    stretches = [
        Stretch(
            seconds=row.seconds,
            peaks=tuple(row.peaks),
            low=row.low,
            limit=math.inf if row.limit is None else to_magnitude(row.limit),
        )
        for row in rows
        if row.seconds > 0.0
    ]
    return stretches, [found[frame] for frame in normal if frame in found]


def make_threshold_row(
    stream: StreamRow, found: FoundThreshold, *, per_day: float, labelled: int, now: float
) -> ThresholdRow:
    if stream.model is None:
        raise ValueError("a stream without a model has no scores to calibrate from")
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
        fit={**fit, "basis": compute_basis(stream), "labels": labelled},
    )


def _load_stretches(session: Session, stream: StreamRow) -> Sequence[FootageRow]:
    query = select(FootageRow).where(
        FootageRow.stream_id == stream.id, FootageRow.basis == compute_basis(stream)
    )
    return session.scalars(query.order_by(FootageRow.number)).all()
