"""Footage of a stream that somebody called normal."""

from __future__ import annotations

from pydantic import BaseModel

from service.api.times import TimeOut
from service.media.normal import KeptClip, length_of


class NormalClipOut(BaseModel):
    """A clip that is kept for the next training."""

    event_id: str
    started_at: TimeOut | None
    """When its event started; null where the event has gone for its age."""
    seconds: float | None
    """Null where the file can't be read, here and in the next."""
    fps: float | None
    """Pictures a second."""
    bytes: int
    video: str
    """Where it is."""


class NormalFootageOut(BaseModel):
    """What is kept of one stream, on this front end's machine."""

    stream_id: str
    folder: str
    """On this front end's machine."""
    clips: int
    seconds: float
    bytes: int
    items: list[NormalClipOut]
    """The oldest first."""


def normal_clip_out(clip: KeptClip, started_at: float | None) -> NormalClipOut:
    """A file, as it is shown."""
    length = length_of(clip)
    return NormalClipOut(
        event_id=clip.event_id,
        started_at=started_at,
        seconds=None if length is None else round(length.seconds, 3),
        fps=None if length is None else round(length.fps, 2),
        bytes=clip.size,
        video=f"/streams/{clip.stream_id}/normal-footage/{clip.event_id}.mp4",
    )
