"""What nothing takes, of queries and bodies, is refused: a slip of the pen must not go unseen."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.api.errors import MAX_FIELDS, Refused, field_refused, wrong_field

EMPTY_BODIES = (b"", b"{}", b"null")
"""What clients send that have nothing to say."""


async def refuse_what_nothing_takes(request: Request) -> None:
    """A dependency of every route. Raises: Refused: 422, naming each."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    if request.query_params:
        _check_parameters(request, route)
    if route.body_field is None and "requestBody" not in (route.openapi_extra or {}):
        body = await request.body()
        if body.strip() not in EMPTY_BODIES:
            raise field_refused(422, "body", "is not taken: this request has none")


def _check_parameters(request: Request, route: APIRoute) -> None:
    known = sorted({*_names(route.dependant), *_described(route)})
    taken = f"takes {', '.join(known)}" if known else "takes none"
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        reason = f"is no query parameter here: this request {taken}"
        fields = [
            wrong_field(name, request.query_params[name], reason) for name in unknown[:MAX_FIELDS]
        ]
        raise Refused(422, "; ".join(f"{field.field}: {reason}" for field in fields), fields)


def _described(route: APIRoute) -> Iterator[str]:
    """Those that a route reads by itself, and describes."""
    for parameter in (route.openapi_extra or {}).get("parameters", ()):
        if parameter["in"] == "query":
            yield str(parameter["name"])


def _names(dependant: Dependant) -> Iterator[str]:
    yield from (str(parameter.alias) for parameter in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _names(inner)
