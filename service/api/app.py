"""The front end as one ASGI application: its parts are made at start-up and closed at shutdown."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

import structlog
from fastapi import Depends, FastAPI, Security
from fastapi.staticfiles import StaticFiles
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from model.stages import ThreadClock
from service.alert.deliverer import Deliverer
from service.alert.mqtt.broker_updates import BrokerUpdates
from service.alert.senders import close_senders, make_brokers, make_senders
from service.alert.test_messages import Trials
from service.api.auth import AccessGate, api_key, bearer
from service.api.context import Context
from service.api.error_answers import install_handlers
from service.api.middleware import BodyLimit, HeadAsGet, RequestCount
from service.api.routes import (
    event_media_routes,
    event_routes,
    frame_routes,
    health_routes,
    learning_routes,
    model_routes,
    normal_clip_routes,
    receiver_routes,
    score_routes,
    stream_routes,
)
from service.api.schemas.error_schemas import ErrorOut
from service.api.slow_work import SlowWork
from service.api.unknown_input import refuse_unknown_input
from service.background_threads import BackgroundThreads
from service.bus.connection import check_url, connect
from service.bus.registry import Registry
from service.bus.scores import Scores
from service.bus.uploads import Uploads
from service.errors import BadInput
from service.learn_keeper.learning_keeper import LearningKeeper
from service.media.media_collector import MediaCollector
from service.media.media_retention import MediaRetention
from service.media.normal_clips import FOLDER as NORMAL_FOLDER
from service.media.normal_clips import NormalClipFolder
from service.media.normal_keeper import NormalKeeper
from service.media.shelf import FOLDER, Shelf
from service.messages import StreamStatus, WorkerStatus
from service.metrics import FrontEndCollector, Metrics, StreamCollector
from service.page import STATIC
from service.record.recorder import Recorder
from service.settings import Settings
from service.store.database import Database
from service.store.tables import StreamRow

log = structlog.stdlib.get_logger(__name__)

STOP_TIMEOUT_S = 5.0
LONGEST_PAUSE_S = 15.0
"""Before a part that failed is started again."""
PROBES = 8
DECODERS = 2
"""How many sources are looked at, and videos decoded, at once."""
DESCRIPTION = (
    "Watches fixed cameras and says when something happens that does not normally happen there. "
    "Times are ISO 8601 in UTC; errors have one form, with a code, a message, and the fields."
)
ERRORS: dict[int | str, dict[str, object]] = {
    status: {"model": ErrorOut, "description": text}
    for status, text in (
        (400, "The request is no valid HTTP, or broke off."),
        (401, "An API key is needed."),
        (403, "Without an API key: it came through a proxy, or from a page of another origin."),
        (413, "The body is too large."),
        (421, "Without an API key: it names another host than this machine."),
        (422, "A value can't be used; the answer names it."),
        (429, "Too much waits, or too many API keys were wrong; Retry-After says when to retry."),
        (503, "A part that is needed does not answer now."),
    )
}
NOT_FOUND: dict[int | str, dict[str, object]] = {
    404: {"model": ErrorOut, "description": "There is no such thing."}
}
CONFLICT: dict[int | str, dict[str, object]] = {
    409: {"model": ErrorOut, "description": "What is there now doesn't allow it."}
}


def create_app(settings: Settings) -> FastAPI:
    """Create the application. Nothing is opened before its lifespan begins.

    Raises: BadInput: `redis_url` isn't set, or is no such URL.
    """
    if settings.redis_url is None:
        raise BadInput("REDIS_URL", None, "must be set for the front end")
    metrics = Metrics()
    redis_url = settings.redis_url
    check_url(redis_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        context = await run_in_threadpool(_open, settings, redis_url, metrics)
        app.state.context = context
        collector = StreamCollector(
            lambda: _read_statuses(context),
            lambda: _read_workers(context),
            lambda: _count_backlog(context),
        )
        metrics.registry.register(collector)
        clocks: dict[str, ThreadClock] = {}
        front_end = FrontEndCollector(
            lambda: {name: c.seconds for name, c in clocks.copy().items()}
        )
        metrics.registry.register(front_end)
        stop = threading.Event()
        background = BackgroundThreads(stop, longest_pause_s=LONGEST_PAUSE_S)
        for name, run in _make_parts(context).items():
            background.start(name, run, partial(_measure_thread, clocks, name))
        try:
            yield
        finally:
            stop.set()
            for name in await run_in_threadpool(background.join, STOP_TIMEOUT_S):
                log.warning("a thread did not stop in time", thread=name)
            metrics.registry.unregister(collector)
            metrics.registry.unregister(front_end)
            close_senders(context.senders)
            context.redis.close()
            context.database.close()

    app = FastAPI(
        title="normwatch",
        version=version("normwatch"),
        description=DESCRIPTION,
        lifespan=lifespan,
        # Their pages load from another host; the document itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        # A redirect would go to the Host that the request claims.
        redirect_slashes=False,
    )
    app.state.metrics = metrics
    install_handlers(app)
    _add_routes(app)
    # The one that is added last sees a request first.
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, settings=settings, metrics=metrics)
    app.add_middleware(AccessGate, settings=settings)
    app.add_middleware(RequestCount, metrics=metrics)
    return app


def _add_routes(app: FastAPI) -> None:
    app.include_router(health_routes.router, responses={503: ERRORS[503]})
    protected = [Security(bearer), Security(api_key), Depends(refuse_unknown_input)]
    for router in (
        stream_routes.router,
        learning_routes.router,
        frame_routes.router,
        score_routes.router,
        event_routes.router,
        event_media_routes.router,
        normal_clip_routes.router,
        receiver_routes.router,
    ):
        app.include_router(router, dependencies=protected, responses=ERRORS | NOT_FOUND | CONFLICT)
    for router in (model_routes.router, health_routes.metrics_router):
        app.include_router(router, dependencies=protected, responses=ERRORS)

    @app.get("/", include_in_schema=False)
    def read_page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/static", StaticFiles(directory=STATIC), name="static")


def _open(settings: Settings, redis_url: str, metrics: Metrics) -> Context:
    database = Database(settings.database)
    database.migrate()
    redis = connect(redis_url)
    brokers = make_brokers(settings)
    senders = make_senders(settings, brokers)
    shelf = Shelf(settings.data_dir / FOLDER, database)
    folder = NormalClipFolder(settings.data_dir / NORMAL_FOLDER)
    return Context(
        settings=settings,
        database=database,
        redis=redis,
        registry=Registry(redis),
        uploads=Uploads(redis),
        metrics=metrics,
        shelf=shelf,
        normal_keeper=NormalKeeper(database, shelf, folder, settings, metrics),
        senders=senders,
        brokers=brokers,
        trials=Trials(senders),
        probes=SlowWork("the number of sources looked at", at_once=PROBES, waiting=4 * PROBES),
        decoders=SlowWork("the number of videos decoded", at_once=DECODERS, waiting=4 * DECODERS),
    )


def _measure_thread(clocks: dict[str, ThreadClock], name: str) -> None:
    clocks[name] = ThreadClock()


def _make_parts(context: Context) -> dict[str, Callable[[threading.Event], None]]:
    """Make the parts that run in threads of their own, until the event that each gets is set."""
    settings, metrics = context.settings, context.metrics
    normal_keeper = context.normal_keeper
    keeper = MediaCollector(
        context.redis, context.shelf, settings, metrics, on_clip=normal_keeper.notice
    )
    retention = MediaRetention(context.database, context.shelf, settings, metrics)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    recorder = Recorder(
        context.database,
        context.redis,
        settings,
        metrics,
        owner=owner,
        on_recorded=keeper.follow,
    )
    learning_keeper = LearningKeeper(
        context.database, context.redis, settings, metrics, owner=owner
    )
    return {
        "recorder": recorder.run,
        "learnings": learning_keeper.run,
        "keeper": keeper.run,
        "retention": retention.run,
        "normal footage": normal_keeper.run,
        "deliverer": Deliverer(context.database, settings, metrics, context.senders).run,
        "brokers": BrokerUpdates(context.database, metrics, context.brokers).run,
    }


def _read_statuses(context: Context) -> Mapping[str, StreamStatus]:
    """Return statuses for the metrics, which go on without the parts that are away."""
    try:
        return context.registry.statuses(_list_stream_ids(context))
    except RedisError:
        return {}


def _list_stream_ids(context: Context) -> Sequence[str]:
    """Return the ids in the database, or while it is away those in Redis. Raises: RedisError."""
    try:
        with context.database.read() as session:
            return session.scalars(select(StreamRow.id)).all()
    except SQLAlchemyError:
        return list(context.registry.streams())


def _count_backlog(context: Context) -> int | None:
    try:
        scores = Scores(context.redis, context.settings.max_score_backlog)
        return scores.count_waiting(_list_stream_ids(context))
    except RedisError:
        return None


def _read_workers(context: Context) -> Sequence[WorkerStatus]:
    try:
        return context.registry.workers(time.time())
    except RedisError:
        return []
