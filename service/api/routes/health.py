"""Health, and metrics."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service.api.context import Context, Shared
from service.api.errors import Refused, wrong_field
from service.api.schemas.errors import FieldError
from service.api.schemas.health import AliveOut, ReadyOut

log = structlog.get_logger(__name__)
router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Whether the process answers")
def alive() -> AliveOut:
    """Needs no key, and asks nothing else."""
    return AliveOut()


@router.get("/readyz", summary="Whether everything that is needed answers")
def ready(context: Shared) -> ReadyOut:
    """Needs no key. 503 names the part that fails."""
    failures = [failure for failure in (_database(context), _redis(context)) if failure]
    if failures:
        message = "; ".join(f"{failure.field} {failure.reason}" for failure in failures)
        raise Refused(503, message, failures)
    return ReadyOut()


def _database(context: Context) -> FieldError | None:
    try:
        with context.database.read() as session:
            # The table is the migrations' own: it is there once they have run.
            session.execute(text("SELECT version_num FROM alembic_version")).one()
    except SQLAlchemyError as error:
        log.warning("not ready: the database", error=type(error).__name__)
        return wrong_field("database", None, "does not answer, or lacks its tables")
    return None


def _redis(context: Context) -> FieldError | None:
    try:
        context.redis.ping()
    except RedisError as error:
        log.warning("not ready: Redis", error=type(error).__name__)
        return wrong_field("redis", None, "does not answer")
    return None


@metrics_router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text."}},
)
def metrics(context: Shared) -> Response:
    """The front end's own, and what workers tell of their streams and of themselves."""
    return Response(generate_latest(context.metrics.registry), media_type=CONTENT_TYPE_LATEST)
