"""What all learnings of a learner share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.learn.recording_space import RecordingSpace
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class LearnerParts:
    """What all learnings of a learner share."""

    learner: str
    settings: Settings
    space: RecordingSpace
    side: int
    """Height and width of the networks' frames."""
    is_idle: bool
    """Whether their processes take only the time that others leave."""
    on_change: Callable[[], object]
    """Called when a learning's state changes."""
