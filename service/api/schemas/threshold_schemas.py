"""A stream's threshold: which one is in force, and what the calibrated ones rest on."""

from __future__ import annotations

from pydantic import BaseModel

from service.api.schemas.copied_fields import copy_fields
from service.api.times import TimeOut
from service.calibrate.stream_thresholds import ThresholdOrigin
from service.store.tables import ThresholdRow


class FoundThresholdOut(BaseModel):
    """A threshold that was found from a stream's own normal footage."""

    made_at: TimeOut
    model: str
    false_alarms_per_day: float
    """The false alarms a day that it was found for."""
    threshold: float
    low: float
    """The lower end of its 95 % interval; `high` is the upper."""
    high: float
    footage_s: float
    """Seconds of normal footage that it rests on."""
    peaks: int
    """Stretches of high scores that its tail was fitted to."""
    highest: float
    """The highest threshold that the footage would have reached."""


class FootageOut(BaseModel):
    """The normal footage that there is now."""

    seconds: float
    peaks: int
    least_seconds: float
    """Seconds that a threshold needs; `least_peaks` are the peaks that it needs."""
    least_peaks: int


class ThresholdOut(BaseModel):
    """The threshold in force, and why."""

    stream_id: str
    threshold: float | None
    """The one in force; null where there is none: then there are no events."""
    origin: ThresholdOrigin
    false_alarms_per_day: float
    """How many it may raise: the stream's own number, or the operator's."""
    calibrated: FoundThresholdOut | None
    """The newest one for the stream as it is configured now."""
    footage: FootageOut
    history: list[FoundThresholdOut]
    """The newest first, of earlier configurations too."""


def describe_found_threshold(row: ThresholdRow) -> FoundThresholdOut:
    """Return the answer about a row."""
    peaks, highest = row.fit.get("peaks"), row.fit.get("highest")
    return copy_fields(
        FoundThresholdOut,
        row,
        peaks=peaks if isinstance(peaks, int) else 0,
        highest=highest if isinstance(highest, float) else row.threshold,
    )
