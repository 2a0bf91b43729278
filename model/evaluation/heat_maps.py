"""Keeps the heat maps of a whole test set on disk: those of 20,000 frames would fill the memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray


class HeatMaps:
    """Maps in order, clip by clip, as half floats in one file; see `open_heat_maps`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._shape: tuple[int, int] | None = None
        self._lengths: list[int] = []
        self._without = 0

    def begin_clip(self) -> None:
        """Begin a new clip, to which the maps that follow belong."""
        self._lengths.append(0)

    def add(self, heat: NDArray[np.float32] | None) -> None:
        """Append the next frame's map, (rows, columns), >= 0; None (no score yet) is kept as zeros.

        Raises: ValueError: no clip has begun, or the map is of another shape than the first.
        """
        if not self._lengths:
            raise ValueError("a heat map belongs to a clip: begin one first")
        self._lengths[-1] += 1
        if heat is None and self._shape is None:
            self._without += 1
            return
        if heat is not None and self._shape is None:
            self._shape = (heat.shape[0], heat.shape[1])
            for _ in range(self._without):
                self._write(np.zeros(self._shape, np.float32))
        if heat is not None and heat.shape != self._shape:
            raise ValueError(f"heat maps must all be {self._shape}, got {heat.shape}")
        self._write(np.zeros(self._shape or (0, 0), np.float32) if heat is None else heat)

    def _write(self, heat: NDArray[np.float32]) -> None:
        most = float(np.finfo(np.float16).max)
        self._file.write(np.minimum(heat, most).astype(np.float16).tobytes())

    def clips(self) -> list[NDArray[np.float16]]:
        """Return one array (frames, rows, columns) a clip, mapped from the file.

        Raises: ValueError: no frame had a map.
        """
        if self._shape is None:
            raise ValueError("no frame has a heat map")
        self._file.flush()
        maps = np.memmap(
            self._file, dtype=np.float16, mode="r", shape=(sum(self._lengths), *self._shape)
        )
        ends = np.cumsum(self._lengths)
        return [maps[end - length : end] for end, length in zip(ends, self._lengths, strict=True)]


@contextmanager
def open_heat_maps(folder: Path | None = None) -> Iterator[HeatMaps]:
    """Open an unnamed temporary file for maps; the arrays that `clips` returned outlive it."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield HeatMaps(file)
