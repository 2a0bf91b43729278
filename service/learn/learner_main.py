"""One learner as a process: signals and exit status."""

from __future__ import annotations

import threading

import structlog

from service.bus.connection import connect
from service.errors import BadInput
from service.learn.learner import Learner
from service.settings import Settings
from service.signals import stop_on_signals

log = structlog.stdlib.get_logger(__name__)


def run_learner(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status. Logging is the caller's business.

    Raises: BadInput: there is no Redis URL.
    """
    if settings.redis_url is None:
        raise BadInput("REDIS_URL", None, "must be set for a learner that runs alone")
    redis = connect(settings.redis_url)
    stop = threading.Event()
    with stop_on_signals(stop):
        try:
            Learner(settings, redis).run(stop)
        except Exception:
            log.exception("the learner failed")
            return 1
    return 0
