"""The networks that cameras must be in, for processes that have no settings: the capture's own."""

from __future__ import annotations

import os
from functools import cache
from ipaddress import ip_network

from model.footage.source_addresses import Network

VARIABLE = "NORMWATCH_SOURCE_NETWORKS"


@cache
def read_source_networks() -> tuple[Network, ...]:
    """Return `settings.source_networks`. Raises: ValueError: one of them is no network."""
    text = os.environ.get(VARIABLE, "")
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
