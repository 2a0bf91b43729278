"""Keeps the recordings of all learnings within a limit, and leaves room on the disk."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from service.learn.learning_folder import measure_recordings
from service.timers import Timer

MEASURE_EVERY_S = 2.0
LEAST_FREE_BYTES = 512 * 1024**2
"""So much of the disk stays free, for the database and others."""


class RecordingSpace:
    """Says how many bytes may still be recorded. Any thread may ask."""

    def __init__(self, root: Path, limit: int) -> None:
        """Args: limit: bytes of the recordings of all learnings."""
        self._root = root
        self.limit = limit
        self._timer = Timer(MEASURE_EVERY_S)
        self._lock = threading.Lock()
        self._left = 0

    def measure_left(self) -> int:
        """Return the bytes that are left, as of a moment ago; 0 or less: recording must stop."""
        with self._lock:
            if self._timer.restart_if_due():
                recorded = measure_recordings(self._root)
                free = shutil.disk_usage(self._root).free - LEAST_FREE_BYTES
                self._left = min(self.limit - recorded, free)
            return self._left
