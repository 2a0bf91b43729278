"""Keeps account of a server's open connections: how many there may be, and which must go."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

SWEEP_EVERY_S = 1.0
IPV6_SITE_BITS = 64
"""One client owns so large a network: its addresses count as one."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections may be open at once."""

    total: int
    per_address: int
    exempt: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()
    """Networks of proxies, each of which speaks for many clients: no limit per address."""


class Connection(Protocol):
    """What this module needs of a connection."""

    def close_for(self, reason: str) -> None:
        """Close it; `reason` is a label of the metric."""

    def find_fault(self, now: float) -> str | None:
        """Return why it must be closed now, or None."""


class OpenConnections:
    """The open connections of one server. Only the event loop's thread uses it.

    Where there is no room, the connection that has been idle longest is closed for a new one, so a
    client that only holds connections open can't keep others out.
    """

    def __init__(self, limits: ConnectionLimits, on_closed: Callable[[str], object]) -> None:
        """Args: on_closed: is called with the reason of each connection that is closed here."""
        self._limits = limits
        self._on_closed = on_closed
        self._clients: dict[Connection, str] = {}
        self._counts: dict[str, int] = {}
        # Dictionaries keep their order: the first has been idle longest.
        self._idle: dict[Connection, None] = {}
        self._idle_by_client: dict[str, dict[Connection, None]] = {}
        self._sweeping = False

    def __len__(self) -> int:
        return len(self._clients)

    def admit(self, connection: Connection, address: str, loop: asyncio.AbstractEventLoop) -> bool:
        """Count a new connection as open and idle. False: there is no room, so refuse it."""
        client = group_address(address)
        if not self._make_room(client):
            self._on_closed("too_many")
            return False
        self._clients[connection] = client
        self._counts[client] = self._counts.get(client, 0) + 1
        self.mark_idle(connection)
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(SWEEP_EVERY_S, self._sweep, loop)
        return True

    def mark_idle(self, connection: Connection) -> None:
        """Note that it has no request under way from now on."""
        client = self._clients.get(connection)
        if client is not None:
            self._idle[connection] = None
            self._idle_by_client.setdefault(client, {})[connection] = None

    def mark_busy(self, connection: Connection) -> None:
        """Note that it has a request under way, and isn't closed for another one."""
        self._idle.pop(connection, None)
        client = self._clients.get(connection, "")
        of_client = self._idle_by_client.get(client)
        if of_client is not None:
            of_client.pop(connection, None)
            if not of_client:
                del self._idle_by_client[client]

    def release(self, connection: Connection) -> None:
        """Forget a connection that is closed or closing."""
        self.mark_busy(connection)
        client = self._clients.pop(connection, None)
        if client is not None:
            self._counts[client] -= 1
            if not self._counts[client]:
                del self._counts[client]

    def _make_room(self, client: str) -> bool:
        if not self._is_exempt(client) and self._counts.get(client, 0) >= self._limits.per_address:
            oldest = next(iter(self._idle_by_client.get(client, {})), None)
            if oldest is None:
                return False
            self._close(oldest, "displaced")
        if len(self._clients) >= self._limits.total:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            self._close(oldest, "displaced")
        return True

    def _is_exempt(self, client: str) -> bool:
        if not self._limits.exempt or not client:
            return False
        address = ipaddress.ip_address(client.partition("/")[0])
        return any(address in network for network in self._limits.exempt)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._clients):
            fault = connection.find_fault(now)
            if fault is not None:
                self._close(connection, fault)
        self._sweeping = bool(self._clients)
        if self._sweeping:
            loop.call_later(SWEEP_EVERY_S, self._sweep, loop)

    def _close(self, connection: Connection, reason: str) -> None:
        self._on_closed(reason)
        self.release(connection)
        connection.close_for(reason)


def group_address(address: str) -> str:
    """Return what stands for one client: an IPv4 address, or an IPv6 address's network."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, IPV6_SITE_BITS), strict=False))
