"""The kinds of files that show an event."""

from __future__ import annotations

from enum import StrEnum


class MediaKind(StrEnum):
    """What a file shows of an event."""

    PEAK = "peak"
    """The picture with the highest score."""
    HEAT = "heat"
    """The same picture, with a heat map of where it is abnormal."""
    CLIP = "clip"
    """A video from a few seconds before the event to a few after."""

    @property
    def content_type(self) -> str:
        return "video/mp4" if self is MediaKind.CLIP else "image/jpeg"

    @property
    def suffix(self) -> str:
        return ".clip.mp4" if self is MediaKind.CLIP else f".{self.value}.jpg"
