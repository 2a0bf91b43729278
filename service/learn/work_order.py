"""What a learner tells the process that it starts for one learning."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from service.learn.learning_folder import CollectedFootage
from service.learning_messages import LearningJob
from service.settings import AUTO

HELD_OUT = 0.125
"""Share of the footage that is held out for γ, ranges and thresholds."""
FRAME_SIDE = 256
JUDGING = "the footage is judged; it takes only idle processor time"
READING = "the videos are read; it takes only idle processor time"


class JobStep(StrEnum):
    """What a process of a learning does."""

    REVIEW = "review"
    """Judge what is recorded of the camera so far."""
    TRAIN = "train"
    """Read videos, judge the footage, train, calibrate, check."""


class WorkOrder(BaseModel):
    """The order to a process, on its standard input: it holds credentials."""

    model_config = ConfigDict(frozen=True)

    job: LearningJob
    step: JobStep
    collected: CollectedFootage | None = None
    """What was recorded of the camera; None: the sources are videos."""
    side: int = FRAME_SIDE
    """Height and width of the network's frames."""
    models: Path
    """Folder of the user's bundles."""
    bytes_left: int
    """Bytes that the frames of videos may take on the disk."""
    torch_threads: int = 0
    """0 is the number of cores that the process may use."""
    is_idle: bool = True
    """Take only the processor time that others leave."""
    engine: str = AUTO
    """Engine that runs the networks in the check."""
