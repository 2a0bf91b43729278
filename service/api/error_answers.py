"""Answers every error in one JSON form: what the code raises, and the handlers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import OutOfMemoryError, RedisError
from sqlalchemy.exc import SQLAlchemyError, StatementError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from service.api.redaction import redact_value
from service.api.schemas.error_schemas import ErrorDetail, ErrorOut, FieldError
from service.characters import escape_controls
from service.errors import BacklogFull, BadInput, NormwatchError, NotFound, Unavailable
from service.logs import hide_secrets

log = structlog.get_logger(__name__)

CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    421: "misdirected",
    422: "invalid",
    429: "backlog_full",
    503: "unavailable",
}
MAX_FIELDS = 20
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class RequestRefused(NormwatchError):
    """A request can't be done: holds the status to answer with, and what is wrong."""

    def __init__(self, status: int, message: str, fields: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.fields = list(fields)


def answer_error(
    status: int,
    message: str,
    fields: Iterable[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    detail = ErrorDetail(
        code=CODES.get(status, "internal" if status >= 500 else "bad_request"),
        message=escape_controls(hide_secrets(message)),
        fields=list(fields),
    )
    return JSONResponse(ErrorOut(error=detail).model_dump(mode="json"), status, headers)


def make_field_error(field: str, value: object, reason: str) -> FieldError:
    """Describe what is wrong with a field; the value is shortened and without credentials."""
    return FieldError(
        field=escape_controls(field)[:100],
        value=redact_value(field, value),
        reason=escape_controls(hide_secrets(reason)),
    )


def refuse_field(status: int, field: str, reason: str, value: object = None) -> RequestRefused:
    return RequestRefused(status, f"{field}: {reason}", [make_field_error(field, value, reason)])


def install_handlers(app: FastAPI) -> None:

    @app.exception_handler(RequestValidationError)
    def _answer_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        fields = [_convert_pydantic(item) for item in error.errors()[:MAX_FIELDS]]
        return answer_error(422, _summarise(fields), fields)

    @app.exception_handler(NormwatchError)
    def _answer_own(_: Request, error: NormwatchError) -> JSONResponse:
        return _answer_from_own(error)

    @app.exception_handler(HTTPException)
    def _answer_http(request: Request, error: HTTPException) -> JSONResponse:
        message = str(error.detail)
        if error.status_code == 404:
            message = f"there is nothing at {request.url.path[:200]}"
        elif error.status_code == 405:
            allowed = ", ".join(_list_allowed_methods(request))
            message = f"{request.method} is not allowed here; allowed: {allowed}"
            return answer_error(405, message, headers={"Allow": allowed})
        return answer_error(error.status_code, message, headers=error.headers)

    @app.exception_handler(RedisError)
    def _answer_redis(_: Request, error: RedisError) -> JSONResponse:
        if isinstance(error, OutOfMemoryError):
            log.warning("Redis has no room", error=str(error))
            return _answer_from_own(Unavailable("Redis", problem="has no room for more now"))
        log.warning("Redis does not answer", error=str(error))
        return _answer_from_own(Unavailable("Redis"))

    @app.exception_handler(SQLAlchemyError)
    def _answer_database(request: Request, error: SQLAlchemyError) -> JSONResponse:
        # A StatementError's text holds the statement's parameters, and so a source's password.
        cause = error.orig if isinstance(error, StatementError) else error
        log.error("the database failed", path=request.url.path, error=str(cause))
        return _answer_from_own(Unavailable("the database"))

    @app.exception_handler(ClientDisconnect)
    def _answer_disconnect(_: Request, __: ClientDisconnect) -> JSONResponse:
        return answer_error(400, "the client closed the connection before its request was complete")

    @app.exception_handler(Exception)
    def _answer_fault(_: Request, __: Exception) -> JSONResponse:
        return answer_error(500, "something went wrong inside normwatch; its log says what")


def _list_allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes at the path: the framework names the first one's only."""

    def has_route(method: str) -> bool:
        # HEAD is answered wherever GET is.
        scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in METHODS if has_route(method)]


def _answer_from_own(error: NormwatchError) -> JSONResponse:
    match error:
        case RequestRefused():
            return answer_error(error.status, error.message, error.fields)
        case BadInput():
            field = make_field_error(error.field, error.value, error.reason)
            return answer_error(422, _summarise([field]), [field])
        case NotFound():
            return answer_error(
                404, f"no {error.kind} with id {redact_value(error.kind, error.ident)!r}"
            )
        case BacklogFull() | Unavailable():
            status = 429 if isinstance(error, BacklogFull) else 503
            return answer_error(
                status, str(error), headers={"Retry-After": str(error.retry_after_s)}
            )
        case _:
            return answer_error(422, str(error))


def _summarise(fields: Sequence[FieldError]) -> str:
    return "; ".join(f"{field.field}: {field.reason}" for field in fields) or "not valid"


def _convert_pydantic(item: Mapping[str, object]) -> FieldError:
    location = item.get("loc")
    parts = list(location) if isinstance(location, tuple) else []
    reason = str(item.get("msg", "is not valid"))
    if item.get("type") == "json_invalid":
        context = item.get("ctx")
        detail = f": {context['error']}" if isinstance(context, dict) and "error" in context else ""
        return make_field_error("body", None, f"is not valid JSON{detail}")
    name = str(parts[0]) if parts else "body"
    for part in parts[1:]:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            name = str(part) if name in ("body", "query", "path", "header") else f"{name}.{part}"
    return make_field_error(name, item.get("input"), reason.removeprefix("Value error, "))
