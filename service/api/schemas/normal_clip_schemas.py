"""A stream's clips that are labelled normal."""

from __future__ import annotations

from pydantic import BaseModel

from service.api.times import TimeOut
from service.media.normal_clips import KeptClip, measure_kept_clip


class NormalClipOut(BaseModel):
    """A clip that is kept for the next training."""

    event_id: str
    started_at: TimeOut | None
    """When its event started; null where the event was deleted for its age."""
    seconds: float | None
    """Null where the file can't be read, as is `fps`."""
    fps: float | None
    """Pictures a second."""
    bytes: int
    video: str
    """The path of the clip in the API."""


class NormalFootageOut(BaseModel):
    """The clips of one stream that this front end's machine keeps."""

    stream_id: str
    folder: str
    """The folder on this front end's machine."""
    clips: int
    seconds: float
    bytes: int
    items: list[NormalClipOut]
    """The oldest first."""


def describe_normal_clip(clip: KeptClip, started_at: float | None) -> NormalClipOut:
    """Return the answer about a file."""
    length = measure_kept_clip(clip)
    return NormalClipOut(
        event_id=clip.event_id,
        started_at=started_at,
        seconds=None if length is None else round(length.seconds, 3),
        fps=None if length is None else round(length.fps, 2),
        bytes=clip.size,
        video=f"/streams/{clip.stream_id}/normal-footage/{clip.event_id}.mp4",
    )
