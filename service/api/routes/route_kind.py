"""The kind of receiver that a route is for, by its path."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.alert.attempts import ReceiverKind


def find_prefix(kind: ReceiverKind | None) -> str:
    """Return the path of all receivers (None), or of webhooks."""
    return "/receivers" if kind is None else "/webhooks"


def _find_route_kind(request: Request) -> ReceiverKind | None:
    is_for_webhooks = request.url.path.startswith(f"{find_prefix(ReceiverKind.WEBHOOK)}")
    return ReceiverKind.WEBHOOK if is_for_webhooks else None


RouteKind = Annotated[ReceiverKind | None, Depends(_find_route_kind)]
"""None: of any kind."""
