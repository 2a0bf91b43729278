"""Refuses parameters and bodies that a route doesn't take, so that typos are noticed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.api.error_answers import MAX_FIELDS, RequestRefused, make_field_error, refuse_field

EMPTY_BODIES = (b"", b"{}", b"null")
"""What clients send that have no body to send."""


async def refuse_unknown_input(request: Request) -> None:
    """Check a request, as a dependency of every route. Raises: RequestRefused: 422, naming each."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    if request.query_params:
        _check_parameters(request, route)
        _check_repeats(request, route)
    if route.body_field is None and "requestBody" not in (route.openapi_extra or {}):
        body = await request.body()
        if body.strip() not in EMPTY_BODIES:
            raise refuse_field(422, "body", "must be left out: this request has none")


def _check_parameters(request: Request, route: APIRoute) -> None:
    known = sorted({*_list_names(route.dependant), *_list_described(route)})
    taken = f"takes {', '.join(known)}" if known else "takes none"
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        reason = f"is no query parameter here: this request {taken}"
        fields = [
            make_field_error(name, request.query_params[name], reason)
            for name in unknown[:MAX_FIELDS]
        ]
        raise RequestRefused(422, "; ".join(f"{field.field}: {reason}" for field in fields), fields)


def _check_repeats(request: Request, route: APIRoute) -> None:
    lists = {*_list_names(route.dependant, lists_only=True), *_list_described(route, "array")}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if len(values) > 1 and name not in lists:
            raise refuse_field(422, name, "is given more than once", values)


def _list_described(route: APIRoute, kind: str | None = None) -> Iterator[str]:
    """Yield the parameters that a route reads by itself, and describes; those of one type."""
    for parameter in (route.openapi_extra or {}).get("parameters", ()):
        if parameter["in"] == "query" and kind in (None, parameter["schema"].get("type")):
            yield str(parameter["name"])


def _list_names(dependant: Dependant, *, lists_only: bool = False) -> Iterator[str]:
    for parameter in dependant.query_params:
        if not lists_only or _is_list(parameter.field_info.annotation):
            yield str(parameter.alias)
    for inner in dependant.dependencies:
        yield from _list_names(inner, lists_only=lists_only)


def _is_list(annotation: object) -> bool:
    return any(
        get_origin(each) in (list, set, tuple) for each in (annotation, *get_args(annotation))
    )
