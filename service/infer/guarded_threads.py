"""The threads that work for a worker next to its own: started again where they fail."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from model.stages import Stage, StageTimes
from service.timers import Deadline

log = structlog.stdlib.get_logger(__name__)

RESTART_S = 1.0


class GuardedThreads:
    """Runs functions in threads of their own until `stop` is set."""

    def __init__(self, stop: threading.Event, times: StageTimes) -> None:
        self._stop = stop
        self._times = times
        self._threads: list[threading.Thread] = []

    @property
    def have_ended(self) -> bool:
        """Return whether none of the threads runs any more."""
        return not any(thread.is_alive() for thread in self._threads)

    def start(self, name: str, stage: Stage, target: Callable[[], None]) -> None:
        """Run `target` in a new thread, whose CPU time counts for `stage`."""
        thread = threading.Thread(
            target=self._run, args=(name, stage, target), name=name, daemon=True
        )
        thread.start()
        self._threads.append(thread)

    def join(self, timeout_s: float) -> None:
        """Wait for the threads to end, but no longer than that in all."""
        deadline = Deadline(timeout_s)
        for thread in self._threads:
            thread.join(deadline.left_s)

    def _run(self, name: str, stage: Stage, target: Callable[[], None]) -> None:
        self._times.follow(stage)
        while not self._stop.is_set():
            try:
                target()
            except Exception:
                log.exception("a thread of the worker failed; it is started again", thread=name)
                self._stop.wait(RESTART_S)
