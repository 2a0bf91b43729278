"""The kinds of files that show an event."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a file shows."""

    PEAK = "peak"
    """The picture with the highest score."""
    HEAT = "heat"
    """The same, with where it is abnormal."""
    CLIP = "clip"
    """From a few seconds before the event to a few after."""

    @property
    def content_type(self) -> str:
        """As HTTP names it."""
        return "video/mp4" if self is Kind.CLIP else "image/jpeg"

    @property
    def suffix(self) -> str:
        """Of the file's name."""
        return ".clip.mp4" if self is Kind.CLIP else f".{self.value}.jpg"
