"""Threads that run beside the requests: started again, after a pause, when they fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
STEADY_S = 60.0
"""A run that lasted this long may fail again without being punished for earlier failures."""


class Background:
    """Runs functions of a stop event, each in a thread of its own, until it is stopped."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, name: str, run: Callable[[threading.Event], None]) -> None:
        """Run it until it returns after the stop event; an exception starts it again."""
        thread = threading.Thread(target=self._keep, args=(name, run), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, timeout_s: float) -> None:
        """Set the stop event and wait for the threads, all of them together this long."""
        self._stop.set()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.warning("a thread did not stop in time", thread=thread.name)

    def _keep(self, name: str, run: Callable[[threading.Event], None]) -> None:
        pause = FIRST_PAUSE_S
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                run(self._stop)
            except Exception:
                log.exception("a thread failed; it is started again", thread=name)
            if time.monotonic() - started > STEADY_S:
                pause = FIRST_PAUSE_S
            self._stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
