"""Query parameters that nothing takes are refused: a slip of the pen must not go unseen."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.api.errors import MAX_FIELDS, Refused, wrong_field


def refuse_unknown_parameters(request: Request) -> None:
    """A dependency of every route. Raises: Refused: 422, naming each."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not request.query_params:
        return
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
