"""Logs failures to write files, at most once a minute: a full disk fails for every file."""

from __future__ import annotations

import structlog

from service.timers import Timer

log = structlog.stdlib.get_logger(__name__)

EVERY_S = 60.0


class FailureLog:
    """Logs one kind of failure."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._timer = Timer(EVERY_S)

    def add(self, stream_id: str, event_id: str, error: Exception) -> None:
        """Log an error about an event, unless another one was logged recently."""
        if self._timer.restart_if_due():
            text = f"{type(error).__name__}: {error}"
            log.error(self._message, stream=stream_id, event_id=event_id, error=text)
