"""Whether a camera's process makes a picture of every frame, or of a few a second only.

Pictures of all frames would cost many cameras together a tenth of their machine. So a process makes
few of them, until the worker sees something unusual, and says so by SIGUSR1.
"""

from __future__ import annotations

import signal
import threading
import time

LASTS_S = 3.0
"""After the worker last said so."""
SIGNAL = signal.SIGUSR1


class Closely:
    """Listens in a thread of its own: a signal would break off what FFmpeg waits for."""

    def __init__(self) -> None:
        self._until = float("-inf")

    def listen(self) -> None:
        """From now on. For a process's main thread, before there are others."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
        threading.Thread(target=self._listen, name="closely", daemon=True).start()

    def __call__(self) -> bool:
        """Whether to look closely now."""
        return time.monotonic() < self._until

    def _listen(self) -> None:
        while True:
            signal.sigwait({SIGNAL})
            self._until = time.monotonic() + LASTS_S
