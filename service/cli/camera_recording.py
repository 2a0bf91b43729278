"""Captures frames of live cameras as a stream does, and records them for training."""

from __future__ import annotations

import fcntl
import hashlib
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

from model.footage.clips import Clip
from model.frames import FrameShape
from service.capture.camera_capture import CameraCapture, CaptureState
from service.capture.capture_messages import CapturedFrame, CaptureJob
from service.cli.input_footage import SourceInfo
from service.errors import BadInput, SourceError

if TYPE_CHECKING:
    from model.footage.footage_search import Source

RING_FRAMES = 500
WAIT_S = 0.25
OUTAGE_S = 60.0
"""A command goes on without a camera that is away for longer."""


def capture_frames(
    source: Source,
    shape: FrameShape,
    fps: float | None,
    stop: threading.Event,
    *,
    outage_s: float = OUTAGE_S,
    was_read: bool = False,
) -> Iterator[CapturedFrame]:
    """Yield a camera's frames as they arrive, over reconnections, until `stop` is set.

    Args: was_read: the camera gave frames before, so that an error may be an outage.
    Raises: SourceError: no frame has come for `outage_s`, or it can't be read.
    """
    came = threading.Event()
    job = CaptureJob(str(source.location), shape, fps)
    capture = CameraCapture(job, ring_frames=RING_FRAMES, on_frame=came.set)
    capture.start()
    try:
        latest = time.monotonic()
        while not stop.is_set():
            came.clear()
            status = capture.status  # before the ring is emptied: the last frames come first
            while (frame := capture.pop()) is not None:
                latest, was_read = time.monotonic(), True
                yield frame
            if status.state is CaptureState.ENDED:
                return
            is_hopeless = status.state is CaptureState.FAILED and not was_read
            if is_hopeless or time.monotonic() - latest > outage_s:
                raise SourceError(status.reason or f"no picture for {outage_s:g} s")
            came.wait(WAIT_S)
    finally:
        capture.close()


class TrainingRecording:
    """Folder of the frames that a training run recorded, until it is done: a subfolder a camera.

    A run that was interrupted or too short goes on with these frames.
    """

    def __init__(self, folder: Path) -> None:
        """Args: folder: created when a camera is first recorded."""
        self.folder = folder
        self._salt_file = folder / "salt"
        known = self._salt_file.exists()
        self._salt = self._salt_file.read_bytes() if known else secrets.token_bytes(16)

    def open_camera(self, source: Source) -> CameraRecording:
        """Open a camera's part, named by a salted digest of its URL."""
        location = str(source.location).encode(errors="surrogateescape")
        digest = hashlib.blake2b(location, key=self._salt)
        return CameraRecording(self.folder / digest.hexdigest()[:16], source)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out. Raises: BadInput: one records there now."""
        self.folder.mkdir(parents=True, exist_ok=True)
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


class _RecordedCamera(BaseModel):
    """What is kept about the camera of a recording."""

    name: str
    info: SourceInfo
    form: _FrameForm


class CameraRecording:
    """One camera's recorded frames. A killed run loses the last frame at most."""

    def __init__(self, folder: Path, source: Source) -> None:
        """Open the recording, if there is one. Raises: BadInput: it can't be read."""
        self.folder = folder
        self.source = source
        self.info: SourceInfo | None = None
        """What `examine_source` found of the camera; kept with its recording."""
        self._frames, self._index = folder / "frames.bin", folder / "index.jsonl"
        self._about = folder / "camera.json"
        self._form: _FrameForm | None = None
        self._entries: list[_FrameEntry] = []
        if not self._about.exists():
            return
        try:
            about = _RecordedCamera.model_validate_json(self._about.read_bytes())
            self._form, self.info = about.form, about.info
            self._entries = self._read_entries(about.form.shape)
        except (OSError, ValueError):
            raise BadInput(
                "--out", str(folder), "is a recording that can't be read: delete it"
            ) from None

    def begin(self, shape: FrameShape, fps: float | None) -> None:
        """Prepare to record frames of this form. The camera's `info` must be known.

        Raises: BadInput: there are frames of another form.
        """
        if self.info is None:
            raise RuntimeError("a camera is examined before its recording begins")
        needed = _FrameForm(
            height=shape.height, width=shape.width, channels=shape.channels, fps=fps
        )
        if self._form is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            about = _RecordedCamera(name=self.source.name, info=self.info, form=needed)
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
    def recorded_until(self) -> datetime:
        """Time at which the newest frame was captured, in local time."""
        return datetime.fromtimestamp(self._entries[-1].captured_at).astimezone()

    def record(self, limit: int, stop: threading.Event, outage_s: float) -> Iterator[int]:
        """Record until there are `limit` frames; yields the count after each.

        Raises: SourceError: the camera went away. The recorded frames are kept.
        """
        if self.count >= limit or self._form is None:
            return
        shape, fps = self._form.shape, self._form.fps
        captured = capture_frames(
            self.source, shape, fps, stop, outage_s=outage_s, was_read=self.count > 0
        )
        with self._frames.open("ab") as frames, self._index.open("a", encoding="utf-8") as index:
            for frame in captured:
                entry = _FrameEntry(captured_at=frame.captured_at, continues=not frame.cut)
                frames.write(frame.pixels.tobytes())
                frames.flush()
                print(entry.model_dump_json(), file=index, flush=True)
                self._entries.append(entry)
                yield self.count
                if self.count >= limit:
                    return

    def compute_frame_rate(self) -> float | None:
        """Compute the frames a second from their times; else take what the camera declared."""
        gaps = [
            later.captured_at - earlier.captured_at
            for earlier, later in pairwise(self._entries)
            if later.continues
        ]
        if gaps:
            return round(1.0 / float(np.mean(gaps)), 2)
        return None if self.info is None else self.info.fps

    def read_clips(self) -> list[Clip]:
        """Return the recorded runs of frames, mapped from the disk."""
        if not self._entries or self._form is None:
            return []
        frames: np.memmap[tuple[int, ...], np.dtype[np.uint8]] = np.memmap(
            self._frames, np.uint8, "r", shape=(self.count, *self._form.shape.array_shape)
        )
        starts = [i for i, entry in enumerate(self._entries) if not entry.continues or i == 0]
        ends = [*starts[1:], self.count]
        return [
            Clip(self.source.name, frames[start:end])
            for start, end in zip(starts, ends, strict=True)
        ]

    def _read_entries(self, shape: FrameShape) -> list[_FrameEntry]:
        """Read the complete entries; cut off what a killed run left incomplete."""
        if not self._index.exists() or not self._frames.exists():
            return []
        frame_bytes = int(np.prod(shape.array_shape))
        lines = self._index.read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        count = min(len(whole), self._frames.stat().st_size // frame_bytes)
        entries = [_FrameEntry.model_validate_json(line) for line in whole[:count]]

        for file, size in (
            (self._frames, count * frame_bytes),
            (self._index, sum(map(len, whole[:count]))),
        ):
            if file.stat().st_size != size:
                with file.open("r+b") as opened:
                    opened.truncate(size)
        return entries
