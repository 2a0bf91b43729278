"""Decoded frames that wait for inference: bounded, the oldest goes first, and is counted; what
follows is cut off from it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

from service.capture.wire import CapturedFrame


class Ring:
    """A bounded queue between a camera's reader thread and the worker."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._frames: deque[CapturedFrame] = deque()
        self._lock = threading.Lock()
        self.dropped = 0

    def push(self, frame: CapturedFrame) -> None:
        """Add the newest frame; makes room by dropping the oldest."""
        with self._lock:
            self._frames.append(frame)
            if len(self._frames) <= self._capacity:
                return
            self._frames.popleft()
            self.dropped += 1
            # Frames that aren't evenly spaced tell nothing of each other.
            self._frames[0] = replace(self._frames[0], cut=True)

    def pop(self) -> CapturedFrame | None:
        """The oldest frame, or None."""
        with self._lock:
            return self._frames.popleft() if self._frames else None

    def pop_stale(self, before: float) -> list[CapturedFrame]:
        """Those captured before a time, the oldest first; the newest frame always stays."""
        stale: list[CapturedFrame] = []
        with self._lock:
            while len(self._frames) > 1 and self._frames[0].captured_at < before:
                stale.append(self._frames.popleft())
        return stale

    def __len__(self) -> int:
        return len(self._frames)
