"""Clips of frames that are fitted to a network, for training and evaluation.

Frames are decoded and fitted once, into one array: a file mapped into memory, so that memory stays
bounded. A clip is a run of frames that follow each other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from model.footage.footage_reader import FootageReader, Losses
from model.footage.footage_search import Source
from model.footage.source_pictures import Fitter
from model.frames import Frame, FrameShape


@dataclass(frozen=True, slots=True)
class Clip:
    """Consecutive frames of one camera: uint8, (T, height, width) or (T, height, width, 3)."""

    name: str
    frames: NDArray[np.uint8]

    def __len__(self) -> int:
        return int(self.frames.shape[0])


@dataclass(frozen=True, slots=True)
class AddedFrames:
    """The frames that a store read from a source."""

    frames: int
    runs: int
    """Runs of frames that follow each other: a gap or a restart ends one."""
    seconds: float
    """Seconds from the first frame to the last."""
    losses: Losses

    def __str__(self) -> str:
        """Return a phrase, such as "58 frames, 5.9 s, in 2 runs (2 frames lost: damaged)"."""
        text = f"{self.frames} frame{'' if self.frames == 1 else 's'}, {self.seconds:.1f} s"
        if self.runs > 1:
            text += f", in {self.runs} runs"
        return f"{text} ({self.losses})" if self.losses else text


class FrameStore:
    """Clips of fitted frames, held in one file, mapped into memory; see `open_frame_store`."""

    def __init__(self, shape: FrameShape, file: IO[bytes]) -> None:
        self.shape = shape
        self._file = file
        self._lengths: list[tuple[str, int]] = []

    def add(self, reading: FootageReader, *, whole: bool = False) -> AddedFrames:
        """Read a source as clips of its name, one for each run.

        Args:
            whole: make one clip of all runs, for footage whose frames are labelled by number.
        Raises: FootageError: it can't be read.
        """
        fitter = Fitter(self.shape)
        runs = count = 0
        first_s = last_s = 0.0
        for each in reading:
            if not each.continues:
                runs += 1
            if not count:
                first_s = each.time_s
            last_s = each.time_s
            self.append(
                reading.source.name,
                fitter.fit(each.picture),
                continues=count > 0 and (whole or each.continues),
            )
            count += 1
        return AddedFrames(count, runs, last_s - first_s, reading.losses)

    def append(self, name: str, frame: Frame, *, continues: bool) -> None:
        """Add one frame to the last clip, or as the first frame of a new one."""
        self._file.write(frame.tobytes())
        if continues and self._lengths:
            name, length = self._lengths.pop()
            self._lengths.append((name, length + 1))
        else:
            self._lengths.append((name, 1))

    def clips(self) -> list[Clip]:
        """Return all clips, in the order in which they were added."""
        self._file.flush()
        total = sum(length for _, length in self._lengths)
        if not total:
            return []
        frames: NDArray[np.uint8] = np.memmap(
            self._file, dtype=np.uint8, mode="r", shape=(total, *self.shape.array_shape)
        )
        clips: list[Clip] = []
        start = 0
        for name, length in self._lengths:
            clips.append(Clip(name, frames[start : start + length]))
            start += length
        return clips


@contextmanager
def open_frame_store(shape: FrameShape, folder: Path | None = None) -> Iterator[FrameStore]:
    """Open a store in an unnamed temporary file. Its clips outlive it: their map keeps the file."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield FrameStore(shape, file)


def read_clips(
    sources: Iterable[Source], shape: FrameShape, fps: float | None = None, *, whole: bool = False
) -> list[Clip]:
    """Read recordings as fitted clips. See `FootageReader` and `FrameStore.add` for the arguments.

    Raises: FootageError: one of them can't be read.
    """
    with open_frame_store(shape) as store:
        for source in sources:
            store.add(FootageReader(source, fps=fps), whole=whole)
        return store.clips()
