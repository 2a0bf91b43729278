"""The answer to uploaded frames; `service.api.upload_bodies` reads the request."""

from __future__ import annotations

from pydantic import BaseModel


class FrameRange(BaseModel):
    """The numbers that the frames got; their scores carry them."""

    first: int
    last: int
    count: int


class FramesOut(BaseModel):
    """Frames that wait for the worker, on disk."""

    frames: FrameRange
    lost: int = 0
    """Frames of a video that could not be decoded."""
    lost_reason: str = ""
