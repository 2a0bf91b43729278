"""A stream's threshold: which one is in force, and what those rest on that were found for it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel

from service.api.times import TimeOut
from service.store.tables import ThresholdRow


class ThresholdOrigin(StrEnum):
    """Where the threshold in force comes from."""

    STREAM = "stream"
    """Set for the stream, by the API."""
    CALIBRATED = "calibrated"
    """Found from the stream's own normal footage."""
    MODEL = "model"
    """The model's: there is too little footage yet."""


class FoundThresholdOut(BaseModel):
    """A threshold that was found from a stream's own normal footage."""

    made_at: TimeOut
    model: str
    false_alarms_per_day: float
    """Promised."""
    threshold: float
    low: float
    """Its 95 % interval."""
    high: float
    footage_s: float
    """Seconds of normal footage that it rests on."""
    peaks: int
    """Stretches of high scores that its tail was fitted to."""
    highest: float
    """The highest threshold that the footage would have reached."""


class FootageOut(BaseModel):
    """Normal footage, as it is at hand now."""

    seconds: float
    peaks: int
    least_seconds: float
    """So much of both is needed for a threshold."""
    least_peaks: int


class ThresholdOut(BaseModel):
    """The threshold in force, and why."""

    stream_id: str
    threshold: float | None
    """In force; null where there is none: then there are no events."""
    origin: ThresholdOrigin
    false_alarms_per_day: float
    """Wanted: the stream's own, or the operator's."""
    calibrated: FoundThresholdOut | None
    """The newest one for the stream as it is configured now."""
    footage: FootageOut
    history: list[FoundThresholdOut]
    """The newest first, of earlier configurations too."""


def found_threshold_out(row: ThresholdRow) -> FoundThresholdOut:
    """A row, as it is shown."""
    peaks, highest = row.fit.get("peaks"), row.fit.get("highest")
    return FoundThresholdOut(
        made_at=row.made_at,
        model=row.model,
        false_alarms_per_day=row.false_alarms_per_day,
        threshold=row.threshold,
        low=row.low,
        high=row.high,
        footage_s=row.footage_s,
        peaks=peaks if isinstance(peaks, int) else 0,
        highest=highest if isinstance(highest, float) else row.threshold,
    )
