"""The parts that every route works with: made once by `create_app`'s lifespan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from redis import Redis

from service.alert.attempts import Senders
from service.alert.mqtt.brokers import Brokers
from service.alert.test_messages import Trials
from service.api.slow_work import SlowWork
from service.bus.registry import Registry
from service.bus.uploads import Uploads
from service.media.normal_keeper import NormalKeeper
from service.media.shelf import Shelf
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that are shared by all requests; each is safe to use from many threads."""

    settings: Settings
    database: Database
    redis: Redis
    registry: Registry
    uploads: Uploads
    metrics: Metrics
    shelf: Shelf
    normal_keeper: NormalKeeper
    senders: Senders
    brokers: Brokers
    trials: Trials
    probes: SlowWork
    """Looks at sources, each of which may take seconds."""
    decoders: SlowWork
    """Decodes uploaded videos."""


def _get_context(request: Request) -> Context:
    context = request.app.state.context
    if not isinstance(context, Context):
        raise TypeError(f"the application has no context, but {context!r}")
    return context


Shared = Annotated[Context, Depends(_get_context)]
