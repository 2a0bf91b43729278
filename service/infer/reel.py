"""The pictures of a camera's last seconds, with their scores: what can be shown of an event."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

SLACK_S = 8.0
"""Beyond what is wanted before an event: until its start is known here, some seconds pass."""
MAX_BYTES = 5 * 1024 * 1024
"""Of one camera."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture that was kept."""

    frame: int
    captured_at: float
    jpeg: bytes
    score: float | None = None
    heat: NDArray[np.float32] | None = None


class Reel:
    """A bounded ring of pictures in rising order of frames. Any thread may use it."""

    def __init__(self, *, before_s: float, fps: float, max_bytes: int = MAX_BYTES) -> None:
        """Args: before_s: seconds to be kept, beside `SLACK_S`. fps: pictures a second; 0: none."""
        self._most = math.ceil((before_s + SLACK_S) * fps)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: deque[Taken] = deque()
        self._bytes = 0

    def add(self, taken: Taken) -> None:
        """Keep a picture; the oldest ones make room."""
        if not self._most or len(taken.jpeg) > self._max_bytes:
            return
        with self._lock:
            self._kept.append(taken)
            self._bytes += len(taken.jpeg)
            while len(self._kept) > self._most or self._bytes > self._max_bytes:
                self._bytes -= len(self._kept.popleft().jpeg)

    @property
    def held_bytes(self) -> int:
        """Of all pictures that are kept."""
        return self._bytes

    def footage(self, first_frame: int, before_s: float, after_frame: int) -> list[Taken]:
        """The pictures above `after_frame` from so many seconds before `first_frame` on.

        Times are those of the captures: where they don't rise towards the frame (uploads have any),
        what is before it isn't known to belong to it.
        """
        with self._lock:
            kept = list(self._kept)
        since = [taken for taken in kept if taken.frame >= first_frame]
        earlier = [taken for taken in reversed(kept) if taken.frame < first_frame]
        nearest = since or earlier[:1]
        if not nearest:
            return []
        start_s = nearest[0].captured_at
        before = takewhile(
            lambda taken: 0.0 <= start_s - taken.captured_at <= before_s, _falling(earlier)
        )
        chosen = [*reversed(list(before)), *since]
        return [taken for taken in chosen if taken.frame > after_frame]

    def peak(self, first_frame: int, above: float | None) -> Taken | None:
        """The picture with the highest score since `first_frame`, where it is above a score."""
        least = -math.inf if above is None else above
        best: Taken | None = None
        with self._lock:
            kept = list(self._kept)
        for taken in kept:
            if taken.frame >= first_frame and taken.score is not None and taken.score > least:
                least, best = taken.score, taken
        return best


def _falling(kept: Iterable[Taken]) -> Iterable[Taken]:
    """As long as times fall."""
    last_s = math.inf
    for taken in kept:
        if taken.captured_at > last_s:
            return
        last_s = taken.captured_at
        yield taken
