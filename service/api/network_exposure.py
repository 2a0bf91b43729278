"""Checks who can reach the service: where it listens, and under which names it answers."""

from __future__ import annotations

import ipaddress

from service.errors import BadInput
from service.settings import Settings

MIN_KEY_CHARACTERS = 16


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
    """Raises: BadInput: others could reach the service without an API key, or a key is short."""
    for place, key in enumerate(settings.api_keys, start=1):
        length = len(key.get_secret_value())
        if length < MIN_KEY_CHARACTERS:
            raise BadInput(
                "NORMWATCH_API_KEYS",
                f"{length} characters",
                f"key {place} can be guessed: make it {MIN_KEY_CHARACTERS} characters or longer, "
                "for example with: openssl rand -hex 24",
            )
    if settings.api_keys:
        return
    published = settings.published_host
    host = settings.host if published is None else published
    if settings.require_api_key:
        raise BadInput(
            "NORMWATCH_API_KEYS", None, "must be set, as NORMWATCH_REQUIRE_API_KEY demands a key"
        )
    if not is_loopback(host):
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
