"""Keeps recorded frames on disk while footage is collected. A killed run loses one at most."""

from __future__ import annotations

import fcntl
import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

from model.footage.clips import Clip
from model.frames import Frame, FrameShape
from service.errors import BadInput
from service.learn.learning_folder import FRAMES
from service.learn.source_info import SourceInfo

if TYPE_CHECKING:
    from model.footage.footage_search import Source

AppendFrame = Callable[[Frame, float, bool], None]
"""Takes a frame, its time in seconds, and whether it follows the one before it."""


class TrainingRecording:
    """Folder of the frames that a training run recorded, until it is done: a subfolder a source.

    A run that was interrupted or too short goes on with these frames.
    """

    def __init__(self, folder: Path) -> None:
        """Args: folder: created when a source is first recorded."""
        self.folder = folder
        self._salt_file = folder / "salt"
        known = self._salt_file.exists()
        self._salt = self._salt_file.read_bytes() if known else secrets.token_bytes(16)

    def open_source(self, source: Source) -> FrameRecording:
        """Open a source's part, named by a salted digest of its URL."""
        location = str(source.location).encode(errors="surrogateescape")
        digest = hashlib.blake2b(location, key=self._salt)
        return FrameRecording(self.folder / digest.hexdigest()[:16], source)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out. Raises: BadInput: one records there now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._salt_file.exists():
            self._salt_file.write_bytes(self._salt)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput("--out", str(self.folder), "another run records there") from None
            yield

    def delete(self) -> None:
        """Remove the folder, if it is there."""
        shutil.rmtree(self.folder, ignore_errors=True)


class _FrameEntry(BaseModel):
    """Index entry of a recorded frame."""

    captured_at: float
    continues: bool


class _FrameForm(BaseModel):
    """Size and rate of all recorded frames."""

    height: int
    width: int
    channels: int
    fps: float | None

    @property
    def shape(self) -> FrameShape:
        """The frames' shape."""
        return FrameShape(self.height, self.width, self.channels)


class _RecordedSource(BaseModel):
    """What is kept about the source of a recording."""

    name: str
    info: SourceInfo
    form: _FrameForm


class FrameRecording:
    """One source's recorded frames. Reading them is safe while another process adds to them."""

    def __init__(self, folder: Path, source: Source) -> None:
        """Open the recording, if there is one. Raises: BadInput: it can't be read."""
        self.folder = folder
        self.source = source
        self.info: SourceInfo | None = None
        """What is known of the source; kept with its recording."""
        self.recorded_s = 0.0
        """Seconds of footage, without the gaps in it."""
        self._frames, self._index = folder / FRAMES, folder / "index.jsonl"
        self._about = folder / "camera.json"
        self._form: _FrameForm | None = None
        self._entries: list[_FrameEntry] = []
        if not self._about.exists():
            return
        try:
            about = _RecordedSource.model_validate_json(self._about.read_bytes())
            self._form, self.info = about.form, about.info
            for entry in self._read_entries(about.form.shape):
                self._add_entry(entry)
        except (OSError, ValueError):
            raise BadInput(
                "--out", str(folder), "is a recording that can't be read: delete it"
            ) from None

    def begin(self, shape: FrameShape, fps: float | None) -> None:
        """Prepare to record frames of this form. The source's `info` must be known.

        Raises: BadInput: there are frames of another form.
        """
        if self.info is None:
            raise RuntimeError("a source is examined before its recording begins")
        needed = _FrameForm(
            height=shape.height, width=shape.width, channels=shape.channels, fps=fps
        )
        if self._form is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            about = _RecordedSource(name=self.source.name, info=self.info, form=needed)
            part = self._about.with_suffix(".part")
            part.write_text(about.model_dump_json(), encoding="utf-8")
            part.replace(self._about)
            self._form = needed
        elif needed != self._form:
            differs = ", ".join(
                f"{name} {was} and not {value}"
                for (name, was), (_, value) in zip(self._form, needed, strict=True)
                if was != value
            )
            raise BadInput(
                "--out",
                str(self.folder),
                f"holds a recording with {differs}: ask for the same again, or delete it",
            )

    @property
    def count(self) -> int:
        """Number of recorded frames."""
        return len(self._entries)

    @property
    def shape(self) -> FrameShape:
        """Shape of the frames. Raises: RuntimeError: no recording has begun."""
        return self._begun_form.shape

    @property
    def fps(self) -> float | None:
        """Most frames a second that are recorded; None: all. Raises: RuntimeError, as `shape`."""
        return self._begun_form.fps

    @property
    def recorded_until(self) -> datetime:
        """Time at which the newest frame was captured, in local time."""
        return datetime.fromtimestamp(self._entries[-1].captured_at).astimezone()

    @contextmanager
    def open_to_append(self) -> Iterator[AppendFrame]:
        """Open the files, and give the function that adds a frame to them.

        What a killed run left incomplete is cut off first.
        """
        frame_bytes = int(np.prod(self.shape.array_shape))
        with self._frames.open("ab") as frames, self._index.open("ab") as index:
            frames.truncate(self.count * frame_bytes)
            index.truncate(sum(map(len, self._read_lines()[: self.count])))

            def append(frame: Frame, captured_at: float, continues: bool) -> None:
                entry = _FrameEntry(captured_at=captured_at, continues=continues)
                frames.write(frame.tobytes())
                frames.flush()
                index.write(entry.model_dump_json().encode() + b"\n")
                index.flush()
                self._add_entry(entry)

            yield append

    def compute_frame_rate(self) -> float | None:
        """Compute the frames a second from their times; else take what the source declared."""
        gaps = [
            later.captured_at - earlier.captured_at
            for earlier, later in pairwise(self._entries)
            if later.continues
        ]
        if gaps:
            return round(1.0 / float(np.mean(gaps)), 2)
        return None if self.info is None else self.info.fps

    def read_clips(self, limit: int | None = None) -> list[Clip]:
        """Return the recorded runs of frames, mapped from the disk; at most `limit` frames."""
        count = self.count if limit is None else min(limit, self.count)
        if not count:
            return []
        frames: np.memmap[tuple[int, ...], np.dtype[np.uint8]] = np.memmap(
            self._frames, np.uint8, "r", shape=(count, *self.shape.array_shape)
        )
        entries = self._entries[:count]
        starts = [i for i, entry in enumerate(entries) if not entry.continues or i == 0]
        ends = [*starts[1:], count]
        return [
            Clip(self.source.name, frames[start:end])
            for start, end in zip(starts, ends, strict=True)
        ]

    @property
    def _begun_form(self) -> _FrameForm:
        if self._form is None:
            raise RuntimeError("no recording has begun")
        return self._form

    def _add_entry(self, entry: _FrameEntry) -> None:
        if entry.continues and self._entries:
            self.recorded_s += max(0.0, entry.captured_at - self._entries[-1].captured_at)
        self._entries.append(entry)

    def _read_entries(self, shape: FrameShape) -> list[_FrameEntry]:
        """Read the entries whose frames are complete."""
        lines = self._read_lines()
        if not lines or not self._frames.exists():
            return []
        count = min(len(lines), self._frames.stat().st_size // int(np.prod(shape.array_shape)))
        return [_FrameEntry.model_validate_json(line) for line in lines[:count]]

    def _read_lines(self) -> list[bytes]:
        """Read the complete lines of the index."""
        if not self._index.exists():
            return []
        lines = self._index.read_bytes().splitlines(keepends=True)
        return [line for line in lines if line.endswith(b"\n")]
