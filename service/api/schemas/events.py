"""Events: something abnormal, with a beginning and, later, an end."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from service.api.times import TimeOut
from service.media.kinds import Kind
from service.store.tables import EventRow


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
    )
