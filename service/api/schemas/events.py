"""Events: something abnormal, with a beginning and, later, an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.api.times import TimeOut
from service.media.kinds import Kind
from service.store.tables import EventRow

Label = Literal["real", "normal"]


def _readable(text: str) -> str:
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("must not hold control characters")
    return text


class EventPatch(BaseModel):
    """What somebody says of an event. What is left out stays; null takes it back."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"label": "normal", "note": "The cleaners, every Tuesday."}]
        },
    )

    label: Label | None = Field(
        None, description="`real`: it deserved an alert; `normal`: it did not."
    )
    note: Annotated[str, Field(max_length=2000), AfterValidator(_readable)] | None = None


class EventOut(BaseModel):
    """An event. `ended_at` is null while it goes on."""

    id: str
    stream_id: str
    stream_name: str
    started_at: TimeOut
    ended_at: TimeOut | None
    first_frame: int
    last_frame: int
    peak_score: float
    peak_frame: int
    threshold: float
    region: list[float] | None
    """Left, top, right, bottom as shares of the picture, at the peak."""
    snapshot: str | None
    """Where its picture is; null where there is none."""
    media: list[Kind]
    """What else shows it, as far as it is there: `peak` and `heat` at `peak.jpg`, `clip` at
    `clip.mp4`."""
    muted: bool
    """Nobody was told: it started in the cooldown after another one's message."""
    label: Label | None
    """What somebody said that it was."""
    note: str | None
    labelled_at: TimeOut | None


class EventsOut(BaseModel):
    """A page of events, the newest first."""

    items: list[EventOut]
    next: str | None
    """Give it as `before` to get the next page; null when this is the last."""


def event_out(
    row: EventRow, stream_name: str, *, has_snapshot: bool, media: Sequence[Kind] = ()
) -> EventOut:
    """A row, as it is shown."""
    return EventOut(
        id=row.id,
        stream_id=row.stream_id,
        stream_name=stream_name,
        started_at=row.started_at,
        ended_at=row.ended_at,
        first_frame=row.first_frame,
        last_frame=row.last_frame,
        peak_score=row.peak_score,
        peak_frame=row.peak_frame,
        threshold=row.threshold,
        region=row.region,
        snapshot=f"/events/{row.id}/snapshot.jpg" if has_snapshot else None,
        media=list(media),
        muted=row.muted,
        label=row.label,
        note=row.label_note,
        labelled_at=row.labelled_at,
    )
