"""Threads that run next to the requests: when one fails, it is started again after a pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from model.stages import ThreadClock

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
STEADY_S = 60.0
"""Seconds after which a run counts as steady: the pause after it is the first again."""


class BackgroundThreads:
    """Runs functions, each in a thread of its own, until the stop event that they get is set."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._clocks: dict[str, ThreadClock] = {}

    def start(self, name: str, run: Callable[[threading.Event], None]) -> None:
        """Run a function until it returns after the stop event; an exception starts it again."""
        thread = threading.Thread(target=self._keep, args=(name, run), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def measure_cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds of each thread so far, by name. Any thread may call this."""
        return {name: clock.seconds for name, clock in self._clocks.copy().items()}

    def stop(self, timeout_s: float) -> None:
        """Set the stop event, and wait up to this long for all threads together."""
        self._stop.set()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.warning("a thread did not stop in time", thread=thread.name)

    def _keep(self, name: str, run: Callable[[threading.Event], None]) -> None:
        self._clocks[name] = ThreadClock()
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
