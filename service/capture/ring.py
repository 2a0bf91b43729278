"""Decoded frames that wait for inference: bounded, the oldest goes first, and is counted."""

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
            gone = self._frames.popleft()
            self.dropped += 1
            first = self._frames[0]
            # What a dropped frame said of the break before it holds for its successor too.
            if gone.cut and not first.cut:
                self._frames[0] = replace(first, cut=True)

    def pop(self) -> CapturedFrame | None:
        """The oldest frame, or None."""
        with self._lock:
            return self._frames.popleft() if self._frames else None

    def __len__(self) -> int:
        return len(self._frames)
