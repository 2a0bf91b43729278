"""Checks who can reach the service: where it listens, and under which names it answers."""

from __future__ import annotations

import ipaddress

from service.errors import BadInput
from service.settings import Settings


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine and nothing else."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def check_exposure(settings: Settings) -> None:
    """Raises: BadInput: others could reach the service, and no API key is set."""
    published = settings.published_host
    host = settings.host if published is None else published
    if not settings.api_keys and not is_loopback(host):
        raise BadInput(
            "--host" if published is None else "NORMWATCH_PUBLISHED_HOST",
            host,
            "others can reach this address, so it needs an API key: set NORMWATCH_API_KEYS",
        )


def parse_host_name(header: str) -> str:
    """Return the name in a Host header or in an origin's authority, without its port."""
    if header.startswith("["):
        return header.partition("]")[0][1:]
    return header.partition(":")[0]
