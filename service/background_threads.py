"""Threads that run next to the main one: when one fails, it is started again after a pause."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from service.timers import Deadline, compute_backoff_s

log = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE_S = 0.5
STEADY_S = 60.0
"""Seconds after which a run counts as steady: the pause after it is the first again."""


class BackgroundThreads:
    """Runs functions, each in a thread of its own, until the stop event is set."""

    def __init__(self, stop: threading.Event, *, longest_pause_s: float) -> None:
        self._stop = stop
        self._longest_pause_s = longest_pause_s
        self._threads: list[threading.Thread] = []

    def start(
        self, name: str, run: Callable[[threading.Event], object], on_start: Callable[[], object]
    ) -> None:
        """Run a function until it returns after the stop event; an exception starts it again.

        Args: on_start: called first in the new thread.
        """
        thread = threading.Thread(
            target=self._keep, args=(name, run, on_start), name=name, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def join(self, timeout_s: float) -> list[str]:
        """Wait up to this long for all threads together. Returns the names of those that go on."""
        deadline = Deadline(timeout_s)
        for thread in self._threads:
            thread.join(deadline.left_s)
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _keep(
        self, name: str, run: Callable[[threading.Event], object], on_start: Callable[[], object]
    ) -> None:
        on_start()
        runs = 0
        while not self._stop.is_set():
            steady = Deadline(STEADY_S)
            try:
                run(self._stop)
            except Exception:
                log.exception("a thread failed; it is started again", thread=name)
            runs = 1 if steady.is_over else runs + 1
            self._stop.wait(
                compute_backoff_s(runs, first_s=FIRST_PAUSE_S, longest_s=self._longest_pause_s)
            )
