"""Health and metrics."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from service.api.context import Context, Shared
from service.api.error_answers import RequestRefused, make_field_error
from service.api.schemas.error_schemas import FieldError
from service.api.schemas.health_schemas import AliveOut, ReadyOut

log = structlog.get_logger(__name__)
router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Whether the process answers")
def check_alive() -> AliveOut:
    """It needs no key, and depends on no other part."""
    return AliveOut()


@router.get("/readyz", summary="Whether everything that is needed answers")
def check_ready(context: Shared) -> ReadyOut:
    """It needs no key. 503 names the part that fails."""
    failures = [failure for failure in (_check_database(context), _check_redis(context)) if failure]
    if failures:
        message = "; ".join(f"{failure.field} {failure.reason}" for failure in failures)
        raise RequestRefused(503, message, failures)
    return ReadyOut()


def _check_database(context: Context) -> FieldError | None:
    try:
        with context.database.read() as session:
            # The table is the migrations' own: it is there once they have run.
            session.execute(text("SELECT version_num FROM alembic_version")).one()
    except SQLAlchemyError as error:
        log.warning("not ready: the database", error=type(error).__name__)
        return make_field_error("database", None, "does not answer, or lacks its tables")
    return None


def _check_redis(context: Context) -> FieldError | None:
    try:
        context.redis.ping()
    except RedisError as error:
        log.warning("not ready: Redis", error=type(error).__name__)
        return make_field_error("redis", None, "does not answer")
    return None


@metrics_router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text."}},
)
def read_metrics(context: Shared) -> Response:
    """The front end's own figures, and those that workers report."""
    return Response(generate_latest(context.metrics.registry), media_type=CONTENT_TYPE_LATEST)
