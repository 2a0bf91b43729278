"""Makes parts of URLs: a host with its port, a path on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def format_authority(host: str, port: int) -> str:
    """Format host and port for a URL: an IPv6 address gets brackets."""
    is_bare_ipv6 = ":" in host and not host.startswith("[")
    return f"[{host}]:{port}" if is_bare_ipv6 else f"{host}:{port}"


def make_socket_url(path: Path) -> str:
    """Make a Unix socket's URL for Redis clients; special characters are percent-encoded."""
    return f"unix://{quote(os.fsencode(path))}"
