"""Every error as one JSON form: what the code raises, and the handlers that answer with it."""

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

from service.api.schemas.errors import ErrorDetail, ErrorOut, FieldError
from service.api.shown import printable, shown
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


class Refused(NormwatchError):
    """A request that can't be done, with the status to answer and what is wrong with it."""

    def __init__(self, status: int, message: str, fields: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.fields = list(fields)


def answer(
    status: int,
    message: str,
    fields: Iterable[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An error response."""
    detail = ErrorDetail(
        code=CODES.get(status, "internal" if status >= 500 else "bad_request"),
        message=printable(hide_secrets(message)),
        fields=list(fields),
    )
    return JSONResponse(ErrorOut(error=detail).model_dump(mode="json"), status, headers)


def wrong_field(field: str, value: object, reason: str) -> FieldError:
    """A field error whose value is fit to be shown."""
    return FieldError(
        field=printable(field)[:100],
        value=shown(field, value),
        reason=printable(hide_secrets(reason)),
    )


def field_refused(status: int, field: str, reason: str, value: object = None) -> Refused:
    """A refusal for the sake of one field."""
    return Refused(status, f"{field}: {reason}", [wrong_field(field, value, reason)])


def install(app: FastAPI) -> None:
    """Register the handlers."""

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        fields = [_from_pydantic(item) for item in error.errors()[:MAX_FIELDS]]
        return answer(422, _summary(fields), fields)

    @app.exception_handler(NormwatchError)
    def _own(_: Request, error: NormwatchError) -> JSONResponse:
        return _from_own(error)

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        message = str(error.detail)
        if error.status_code == 404:
            message = f"there is nothing at {request.url.path[:200]}"
        elif error.status_code == 405:
            allowed = ", ".join(_allowed_methods(request))
            message = f"{request.method} is not allowed here; allowed: {allowed}"
            return answer(405, message, headers={"Allow": allowed})
        return answer(error.status_code, message, headers=error.headers)

    @app.exception_handler(RedisError)
    def _redis(_: Request, error: RedisError) -> JSONResponse:
        if isinstance(error, OutOfMemoryError):
            log.warning("Redis has no room", error=str(error))
            return _from_own(Unavailable("Redis", problem="has no room for more now"))
        log.warning("Redis does not answer", error=str(error))
        return _from_own(Unavailable("Redis"))

    @app.exception_handler(SQLAlchemyError)
    def _database(request: Request, error: SQLAlchemyError) -> JSONResponse:
        # A StatementError's text holds the statement's parameters, and so a source's password.
        cause = error.orig if isinstance(error, StatementError) else error
        log.error("the database failed", path=request.url.path, error=str(cause))
        return _from_own(Unavailable("the database"))

    @app.exception_handler(ClientDisconnect)
    def _gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return answer(400, "the client closed the connection before its request was complete")

    @app.exception_handler(Exception)
    def _unexpected(_: Request, __: Exception) -> JSONResponse:
        return answer(500, "something went wrong inside normwatch; its log says what")


def _allowed_methods(request: Request) -> list[str]:
    """Of all routes at the path: the framework names those of the first one only."""
    return [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


def _from_own(error: NormwatchError) -> JSONResponse:
    match error:
        case Refused():
            return answer(error.status, error.message, error.fields)
        case BadInput():
            field = wrong_field(error.field, error.value, error.reason)
            return answer(422, _summary([field]), [field])
        case NotFound():
            return answer(404, f"no {error.kind} with id {shown(error.kind, error.ident)!r}")
        case BacklogFull() | Unavailable():
            status = 429 if isinstance(error, BacklogFull) else 503
            return answer(status, str(error), headers={"Retry-After": str(error.retry_after_s)})
        case _:
            return answer(422, str(error))


def _summary(fields: Sequence[FieldError]) -> str:
    return "; ".join(f"{field.field}: {field.reason}" for field in fields) or "not valid"


def _from_pydantic(item: Mapping[str, object]) -> FieldError:
    location = item.get("loc")
    parts = list(location) if isinstance(location, tuple) else []
    reason = str(item.get("msg", "is not valid"))
    if item.get("type") == "json_invalid":
        context = item.get("ctx")
        detail = f": {context['error']}" if isinstance(context, dict) and "error" in context else ""
        return wrong_field("body", None, f"is not valid JSON{detail}")
    name = str(parts[0]) if parts else "body"
    for part in parts[1:]:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            name = str(part) if name in ("body", "query", "path", "header") else f"{name}.{part}"
    return wrong_field(name, item.get("input"), reason.removeprefix("Value error, "))
