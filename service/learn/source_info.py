"""What is known of a source of footage before its frames are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source before its frames are read."""

    fps: float | None
    """Frames a second that the source declares."""
    has_colour: bool
    is_live: bool
    """True for a camera, which has no end."""
