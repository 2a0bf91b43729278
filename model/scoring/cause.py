"""Why a frame's score is what it is."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """The part of a score that was the highest."""

    MOTION = "motion"
    """The prediction's error, or the network's judgement: how things move, and how they look."""
    STANDING = "standing"
    """Something new has stood still for the dwell time."""
