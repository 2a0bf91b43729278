"""A standing memory as numbers and bytes, for the next worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.standing.appearance import CELLS, FEATURES
from model.standing.memory import SLOTS, StandingMemory

_CELLS = CELLS * CELLS
_SIZES = (SLOTS * FEATURES * _CELLS, SLOTS * _CELLS, SLOTS * _CELLS, _CELLS)
"""Values of the appearances, of how long they were seen and have stood, and of the noise."""
MEMORY_BYTES = 4 * sum(_SIZES)


@dataclass(frozen=True, slots=True)
class MemoryDump:
    """A standing memory, ready to be saved."""

    numbers: dict[str, float]
    arrays: bytes
    """Of length `MEMORY_BYTES`."""


def dump_memory(memory: StandingMemory) -> MemoryDump | None:
    """Pack all but the memory's short past; None: it is empty."""
    if memory.is_empty:
        return None
    arrays = (memory.slots, memory.seen_s, memory.stood_s, memory.noise)
    return MemoryDump(
        {"watched_s": memory.watched_s, "settling_s": memory.settling_s},
        b"".join(each.astype("<f4").tobytes() for each in arrays),
    )


def restore_memory(memory: StandingMemory, numbers: Mapping[str, float], arrays: bytes) -> None:
    """Take over what was dumped; the next frame is one after a cut.

    Raises: ValueError: wrong size, a number is missing, or one isn't a time or not finite; the
        memory is as it was.
    """
    try:
        watched_s, settling_s = float(numbers["watched_s"]), float(numbers["settling_s"])
    except KeyError as missing:
        raise ValueError(f"a saved standing memory lacks {missing}") from None
    if len(arrays) != MEMORY_BYTES:
        raise ValueError(f"a saved standing memory of {len(arrays)} bytes")
    values = np.frombuffer(arrays, "<f4").astype(np.float32)
    parts: list[NDArray[np.float32]] = np.split(values, np.cumsum(_SIZES)[:-1])
    slots, *times = parts
    is_time = all(each.min() >= 0.0 for each in times) and min(watched_s, settling_s) >= 0.0
    if not (is_time and np.isfinite([*values, watched_s, settling_s]).all()):
        raise ValueError("a saved standing memory's numbers are no times, or not finite")
    memory.cut()
    memory.slots = slots.reshape(memory.slots.shape).copy()
    memory.seen_s, memory.stood_s = (each.reshape(memory.seen_s.shape).copy() for each in times[:2])
    memory.noise = times[2].reshape(memory.noise.shape).copy()
    memory.watched_s, memory.settling_s = watched_s, settling_s
