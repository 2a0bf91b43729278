"""One thread reads the pipes of all cameras' processes.

A thread for each camera would wait for the interpreter's lock whenever its camera sends, and take
it from the thread that scores.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable

import structlog

from model.stages import ThreadClock

log = structlog.stdlib.get_logger(__name__)

WAIT_S = 1.0


class PipeReader:
    """Calls the pipe's callback when there is something in it. Any thread may call it."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._waiting: dict[int, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._calling = threading.RLock()
        """Held while callbacks run, so that none runs once its pipe was removed."""
        self._thread: threading.Thread | None = None
        self._clock: ThreadClock | None = None

    @property
    def cpu_s(self) -> float:
        """CPU seconds that the reader's thread has spent so far."""
        clock = self._clock
        return 0.0 if clock is None else clock.seconds

    def add(self, pipe: int, on_readable: Callable[[], None]) -> None:
        """Have the callback called, by the reader's thread, while the pipe has data or has ended.

        It must not block, and is called again until the pipe is removed.
        """
        with self._lock:
            self._waiting[pipe] = on_readable
            self._poll.register(pipe, select.EPOLLIN)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pipes", daemon=True)
                self._thread.start()

    def remove(self, pipe: int) -> None:
        """Forget a pipe, if it is known. Its callback isn't running any more, and never will."""
        with self._calling, self._lock:
            if self._waiting.pop(pipe, None) is not None:
                self._poll.unregister(pipe)

    def _run(self) -> None:
        self._clock = ThreadClock()
        while True:
            for pipe, _ in self._poll.poll(WAIT_S):
                with self._calling:
                    callback = self._waiting.get(pipe)
                    if callback is None:
                        continue
                    try:
                        callback()
                    except Exception:
                        log.exception("reading a capture process failed; it is read no more")
                        self.remove(pipe)


_READER = PipeReader()


def shared_reader() -> PipeReader:
    """The one that all cameras of this process share."""
    return _READER
