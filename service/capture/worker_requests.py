"""What the worker asks of a camera's process while it runs, by signals: pictures of all frames
while something is unusual, and to save time while there are more frames than can be scored.
"""

from __future__ import annotations

import signal
import threading
import time

LOOK_CLOSELY = signal.SIGUSR1
"""Every frame gets a picture: of all cameras, that would cost a tenth of the machine."""
SAVE_TIME = signal.SIGUSR2
"""Frames are read in bursts, and few get a picture."""
LASTS_S = 3.0
"""A request holds for so long."""


class WorkerRequests:
    """Listens in a thread of its own: a signal would break off what FFmpeg waits for."""

    def __init__(self) -> None:
        self._until = {LOOK_CLOSELY: float("-inf"), SAVE_TIME: float("-inf")}

    def listen(self) -> None:
        """Start. The main thread must call it, before other threads start."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._until)
        threading.Thread(target=self._listen, name="requests", daemon=True).start()

    @property
    def looks_closely(self) -> bool:
        """Return whether the worker recently asked for pictures of all frames."""
        return time.monotonic() < self._until[LOOK_CLOSELY]

    @property
    def saves_time(self) -> bool:
        """Return whether the worker recently lacked time."""
        return time.monotonic() < self._until[SAVE_TIME]

    def _listen(self) -> None:
        while True:
            self._until[signal.Signals(signal.sigwait(self._until))] = time.monotonic() + LASTS_S
