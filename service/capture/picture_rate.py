"""Decides how many pictures a camera's process makes: a few a second, or one for every frame while
the worker asks for that by SIGUSR1. Pictures of all frames would cost many cameras together a tenth
of their machine.
"""

from __future__ import annotations

import signal
import threading
import time

LASTS_S = 3.0
"""Every frame gets a picture for so long after the worker's last request."""
SIGNAL = signal.SIGUSR1


class Closely:
    """Listens in a thread of its own: a signal would break off what FFmpeg waits for."""

    def __init__(self) -> None:
        self._until = float("-inf")

    def listen(self) -> None:
        """Start. The main thread must call it, before other threads start."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
        threading.Thread(target=self._listen, name="closely", daemon=True).start()

    def __call__(self) -> bool:
        """Return whether the worker recently asked for more pictures."""
        return time.monotonic() < self._until

    def _listen(self) -> None:
        while True:
            signal.sigwait({SIGNAL})
            self._until = time.monotonic() + LASTS_S
