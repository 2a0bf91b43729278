"""Events: something abnormal, with a beginning and, later, an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from model.scoring.cause import Cause
from service.api.schemas.copied_fields import copy_fields
from service.api.times import TimeOut
from service.characters import has_controls
from service.media.shelf import MediaKind
from service.store.tables import EventRow

Label = Literal["real", "normal"]


def _check_text(text: str) -> str:
    if has_controls(text, allowed="\n\t"):
        raise ValueError("must not hold control characters")
    return text


class EventPatch(BaseModel):
    """A person's judgement of an event. What is left out stays; null takes it back."""

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
    note: Annotated[str, Field(max_length=2000), AfterValidator(_check_text)] | None = None


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
    """The region at the peak: left, top, right, bottom as shares of the picture."""
    cause: Cause
    """What was unusual at the peak: how something moves or looks, or that it stands still."""
    picture: str | None
    """The path of its picture in the API; null where there is none."""
    media: list[MediaKind]
    """The other files that exist: `peak` and `heat` at `peak.jpg`, `clip` at `clip.mp4`."""
    muted: bool
    """Nobody was notified: it started in the cooldown after another event's message."""
    label: Label | None
    """What a person said it was."""
    note: str | None
    labelled_at: TimeOut | None


class EventsOut(BaseModel):
    """A page of events, the newest first."""

    items: list[EventOut]
    next: str | None
    """Give it as `before` to get the next page; null when this is the last."""


def describe_event(
    row: EventRow, stream_name: str, *, has_picture: bool, media: Sequence[MediaKind] = ()
) -> EventOut:
    """Return the answer about a row."""
    return copy_fields(
        EventOut,
        row,
        stream_name=stream_name,
        picture=f"/events/{row.id}/start.jpg" if has_picture else None,
        media=list(media),
        note=row.label_note,
    )
