"""Logs frames that can't be scored, and ends the worker where no frame can be any more."""

from __future__ import annotations

import structlog

from service.timers import Timer

log = structlog.stdlib.get_logger(__name__)

MAX_FAULTS = 200
"""Frames in a row that fail, of any camera, before the process ends; it is then started again."""
LOG_EVERY_S = 10.0


class FaultLimit:
    """Counts the frames in a row that couldn't be scored."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._log_timer = Timer(LOG_EVERY_S)

    def reset(self) -> None:
        """Note that a frame was scored."""
        self._in_a_row = 0

    def add(self, stream_id: str, frame: int, error: Exception) -> None:
        """Count a frame that couldn't be scored. Raises: RuntimeError: there were too many."""
        self._in_a_row += 1
        if self._log_timer.restart_if_due():
            log.error(
                "a frame can't be scored; it is dropped",
                stream=stream_id,
                frame=frame,
                exc_info=error,
            )
        if self._in_a_row >= MAX_FAULTS:
            raise RuntimeError(f"{self._in_a_row} frames in a row can't be scored") from error
