"""A front end's path from score to delivery in a process that kills itself at a named step."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import Any

from service.alert import claims
from service.alert.deliverer import Deliverer
from service.alert.senders import make_senders
from service.alert.webhook.posting import Poster
from service.bus.connection import connect
from service.bus.scores import Scores
from service.metrics import Metrics
from service.record import recorder
from service.record.recorder import Recorder
from service.settings import Settings
from service.store.database import Database

OWNER = "front"


class Step(StrEnum):
    """Where it dies."""

    READ = "the scores are read"
    STORED = "scores, event and messages are written, and not committed"
    COMMITTED = "they are committed, and not acknowledged to Redis"
    ACKNOWLEDGED = "they are acknowledged"
    CLAIMING = "a message is claimed, and not committed"
    CLAIMED = "it is claimed, and not sent"
    SENT = "it is sent, and not answered"
    """Here it is the receiver that has it killed."""
    ANSWERED = "it is answered, and not settled"
    SETTLING = "it is settled, and not committed"
    SETTLED = "it is settled and committed"


def settings() -> Settings:
    """Those of the child and of the front end that comes after it."""
    return Settings(event_start_s=0.2, event_quiet_s=0.2, allow_private_receivers=True)


def record_and_deliver(
    database: Database, redis_url: str, clock: Callable[[], float] = time.time
) -> None:
    """All that a front end does with what waits now."""
    redis = connect(redis_url)
    try:
        Recorder(database, redis, settings(), Metrics(), owner=OWNER).step()
        Deliverer(database, settings(), Metrics(), make_senders(settings()), clock=clock).step()
    finally:
        redis.close()


def run(step: Step, database_url: str, redis_url: str) -> None:
    """Do so, and die at the step. The process's work is real up to there."""
    match step:
        case Step.READ:
            _die_after(Scores, "read")
        case Step.STORED:
            _die_after(recorder, "store_updates")
        case Step.COMMITTED:
            _die_before(Scores, "acknowledge")
        case Step.ACKNOWLEDGED:
            _die_after(Scores, "acknowledge")
        case Step.CLAIMING:
            _die_after(claims, "claim")
        case Step.CLAIMED:
            _die_before(Poster, "post")
        case Step.SENT:
            pass
        case Step.ANSWERED:
            _die_after(Poster, "post")
        case Step.SETTLING:
            _die_after(claims, "settle_delivery")
        case Step.SETTLED:
            _die_before(Deliverer, "_count")
    record_and_deliver(Database(database_url), redis_url)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_before(owner: Any, name: str) -> None:
    setattr(owner, name, lambda *_, **__: _die())


def _die_after(owner: Any, name: str) -> None:
    real = getattr(owner, name)

    @wraps(real)
    def dies(*values: object, **named: object) -> None:
        real(*values, **named)
        _die()

    setattr(owner, name, dies)
