"""Copies the routes of receivers for `/webhooks`, with texts that speak of webhooks only."""

from __future__ import annotations

import re

from fastapi import APIRouter
from fastapi.routing import APIRoute

_SUMMARIES = {
    "list_receivers": "List all webhooks",
    "rotate_secret": "Change a webhook's secret",
}
"""By the name of the route's function, as the descriptions are."""
_DESCRIPTIONS = {
    "create_receiver": "Messages are signed as Standard Webhooks defines it. This answer shows the "
    "secret, and no later one does. Brokers and other services are refused here: register them "
    "under `/receivers`.",
    "list_receivers": "The oldest first, without their secrets. `/receivers` lists other kinds, "
    "too.",
    "rotate_secret": "Messages are signed with the new secret from now on, and for `old_valid_s` "
    "with the old one too, so that the webhook may change over at any time in between. A secret "
    "before the old one becomes invalid at once.",
}


def copy_for_webhooks(*routers: APIRouter) -> APIRouter:
    """Copy the routes that stand in the routers themselves, speaking of webhooks."""
    copies = APIRouter()
    for route in (each for router in routers for each in router.routes):
        if isinstance(route, APIRoute):
            copies.add_api_route(
                route.path,
                route.endpoint,
                methods=sorted(route.methods or ()),
                status_code=route.status_code,
                summary=_SUMMARIES.get(route.name) or _speak_of_webhooks(route.summary or ""),
                description=_DESCRIPTIONS.get(route.name) or _speak_of_webhooks(route.description),
            )
    return copies


def _speak_of_webhooks(text: str) -> str:
    return re.sub(r"\b(a|the) receiver\b", r"\1 webhook", text)
