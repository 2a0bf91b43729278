"""Where a learning keeps what it has, so that it goes on after any process is killed."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pydantic import BaseModel

from service.learning_messages import FootageSummary

FRAMES = "frames.bin"
"""Recorded frames, one after the other; of each source in a subfolder."""
BUNDLES = ".learning"
"""Below the user's models: bundles that aren't finished yet."""


class CollectedFootage(BaseModel):
    """A camera's footage to train on: these frames and no others."""

    part: str
    """The subfolder of the recording."""
    frames: int


class JudgedFootage(BaseModel):
    """The judgement of a learning's footage: whoever reads the same footage again takes it over."""

    names: tuple[str, ...]
    """Names of the sources."""
    frames: int
    """Frames that were judged."""
    summary: FootageSummary
    kept: tuple[tuple[int, int], ...]
    """What to learn, as `model.training.footage_review.FootageReview.kept_frames`."""


class LearningFolder:
    """The files of one learning, below `data_dir/learning`."""

    def __init__(self, root: Path, learning_id: str) -> None:
        self.path = root / learning_id
        self.checkpoint = self.path / "checkpoint"
        self.recording = self.path / "recording"
        self._collected = self.path / "collected.json"
        self._judged = self.path / "judged.json"
        self._training_lock = root / "training.lock"

    def create(self) -> None:
        """Make the folder. Raises: OSError."""
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def began_at(self) -> float:
        """When the learning began here, in seconds since 1970."""
        begun = self.path / "begun"
        if not begun.exists():
            begun.touch()
        return begun.stat().st_mtime

    @property
    def checkpoint_saved_at(self) -> int | None:
        """When the training's checkpoint was saved, in nanoseconds; None: there is none."""
        try:
            return self.checkpoint.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def read_footage(self) -> CollectedFootage | None:
        """Return how much was collected; None: not all yet."""
        try:
            return CollectedFootage.model_validate_json(self._collected.read_bytes())
        except (OSError, ValueError):
            return None

    def write_footage(self, collected: CollectedFootage) -> None:
        """Mark that the footage is complete."""
        _write(self._collected, collected)

    def read_judgement(self, names: Sequence[str], frames: int) -> JudgedFootage | None:
        """Return the newest judgement, if it is of this footage."""
        try:
            judged = JudgedFootage.model_validate_json(self._judged.read_bytes())
        except (OSError, ValueError):
            return None
        return judged if (judged.names, judged.frames) == (tuple(names), frames) else None

    def write_judgement(self, judged: JudgedFootage) -> None:
        """Keep a judgement in place of the one before it."""
        _write(self._judged, judged)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process works on this learning, and keep others out."""
        with (self.path / "work.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def open_training_lock(self) -> Iterator[IO[str]]:
        """Open the file whose lock a process holds while it trains: one at a time on a machine."""
        with self._training_lock.open("w") as file:
            yield file

    def delete(self) -> None:
        """Remove all that the learning has."""
        shutil.rmtree(self.path, ignore_errors=True)


def _write(path: Path, content: BaseModel) -> None:
    """Write a file, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(content.model_dump_json(), encoding="utf-8")
    part.replace(path)


def take_lock(file: IO[str]) -> bool:
    """Try to lock an open file. Returns whether it is locked now."""
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def list_learnings(root: Path) -> list[str]:
    """List the ids of the learnings that have a folder."""
    if not root.is_dir():
        return []
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir())


def measure_recordings(root: Path) -> int:
    """Sum the bytes of all recorded frames."""
    total = 0
    for file in root.glob(f"*/recording/*/{FRAMES}"):
        with suppress(OSError):  # it was deleted meanwhile
            total += file.stat().st_size
    return total
