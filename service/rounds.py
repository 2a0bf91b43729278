"""Runs rounds of work until they are stopped, even if a round fails."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from service.errors import NormwatchError
from service.timers import compute_backoff_s, spread

log = structlog.stdlib.get_logger(__name__)

MAX_BACKOFF_S = 5.0
AWAY = (RedisError, OperationalError, InterfaceError, NoConnection, NormwatchError)
"""What a round raises while Redis or the database is away, or when another process was quicker."""


def run_rounds(
    work: Callable[[], bool],
    stop: threading.Event,
    *,
    name: str,
    every_s: float,
    on_failure: Callable[[], object],
) -> None:
    """Call `work` until `stop` is set; it returns True when there is more to do at once.

    A failed round is logged, reported to `on_failure`, and followed by a longer pause, up to a few
    seconds.
    """
    failures = 0
    while not stop.is_set():
        try:
            pause_s = 0.0 if work() else every_s
            failures = 0
        except Exception as error:
            failures += 1
            on_failure()
            pause_s = _backoff_s(failures, every_s)
            # An outage is expected, and repeats: its traceback says nothing new.
            log.error(
                "a round failed; it will be tried again",
                work=name,
                error=_describe(error),
                pause_s=round(pause_s, 2),
                exc_info=not isinstance(error, AWAY),
            )
        stop.wait(pause_s)


def _backoff_s(failures: int, every_s: float) -> float:
    pause_s = compute_backoff_s(failures, first_s=2.0 * every_s, longest_s=MAX_BACKOFF_S)
    return spread(pause_s, 0.5, 1.0)


def _describe(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(error).__name__}: {cause}"
