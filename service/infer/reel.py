"""The pictures of a camera's last seconds, with their scores, for the clips of events."""

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
"""Seconds that are kept in addition: until an event's start is known here, some pass."""
MAX_BYTES = 5 * 1024 * 1024
"""The most that one camera's pictures take."""


@dataclass(frozen=True, slots=True)
class ReelPicture:
    """A picture that was kept."""

    frame: int
    captured_at: float
    jpeg: bytes
    score: float | None = None
    heat: NDArray[np.float32] | None = None


class Reel:
    """A bounded ring of pictures in rising order of frames. Any thread may use it."""

    def __init__(self, *, before_s: float, fps: float, max_bytes: int = MAX_BYTES) -> None:
        """
        Args:
            before_s: seconds to be kept, in addition to `SLACK_S`.
            fps: pictures a second; 0: none.
        """
        self._most = math.ceil((before_s + SLACK_S) * fps)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: deque[ReelPicture] = deque()
        self._bytes = 0

    def add(self, picture: ReelPicture) -> None:
        """Keep a picture; the oldest ones make room."""
        if not self._most or len(picture.jpeg) > self._max_bytes:
            return
        with self._lock:
            self._kept.append(picture)
            self._bytes += len(picture.jpeg)
            while len(self._kept) > self._most or self._bytes > self._max_bytes:
                self._bytes -= len(self._kept.popleft().jpeg)

    @property
    def held_bytes(self) -> int:
        return self._bytes

    def select_clip(self, first_frame: int, before_s: float, after_frame: int) -> list[ReelPicture]:
        """Select the pictures above `after_frame` from so many seconds before `first_frame` on.

        Times are those of the captures: where they don't rise towards the frame (uploads have any),
        what is before it isn't known to belong to it.
        """
        with self._lock:
            kept = list(self._kept)
        since = [each for each in kept if each.frame >= first_frame]
        earlier = [each for each in reversed(kept) if each.frame < first_frame]
        nearest = since or earlier[:1]
        if not nearest:
            return []
        start_s = nearest[0].captured_at
        before = takewhile(
            lambda each: 0.0 <= start_s - each.captured_at <= before_s, _take_falling(earlier)
        )
        chosen = [*reversed(list(before)), *since]
        return [each for each in chosen if each.frame > after_frame]

    def find_peak(self, first_frame: int, above: float | None) -> ReelPicture | None:
        """Find the picture with the highest score since `first_frame`, if it is above a score."""
        least = -math.inf if above is None else above
        best: ReelPicture | None = None
        with self._lock:
            kept = list(self._kept)
        for each in kept:
            if each.frame >= first_frame and each.score is not None and each.score > least:
                least, best = each.score, each
        return best


def _take_falling(kept: Iterable[ReelPicture]) -> Iterable[ReelPicture]:
    """Yield pictures as long as their times fall."""
    last_s = math.inf
    for each in kept:
        if each.captured_at > last_s:
            return
        last_s = each.captured_at
        yield each
