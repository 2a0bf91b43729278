"""A bounded queue of decoded frames that wait for inference. When it is full, the oldest frame is
dropped and counted, and the next one is marked as a cut."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from service.capture.capture_messages import CapturedFrame


class Ring:
    """A bounded queue between the thread that reads the cameras and the worker."""

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
        with self._lock:
            return self._frames.popleft() if self._frames else None

    def pop_if(self, accepts: Callable[[CapturedFrame], bool]) -> CapturedFrame | None:
        """The oldest frame, if there is one and the callback accepts it."""
        with self._lock:
            if self._frames and accepts(self._frames[0]):
                return self._frames.popleft()
        return None

    def pop_stale(self, before: float) -> list[CapturedFrame]:
        """Those captured before a time, the oldest first; the newest frame always stays."""
        stale: list[CapturedFrame] = []
        with self._lock:
            while len(self._frames) > 1 and self._frames[0].captured_at < before:
                stale.append(self._frames.popleft())
        return stale

    def __len__(self) -> int:
        return len(self._frames)
