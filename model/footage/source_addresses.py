"""Decides which addresses sources on the network may be at: never where clouds keep secrets."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path

from model.footage.locations import Location, LocationKind

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

NEVER: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",
            "fe80::/10",
            # Further addresses at which clouds hand out their machines' credentials.
            "fd00:ec2::254/128",
            "100.100.100.200/32",
            "168.63.129.16/32",
            "192.0.0.192/32",
        ),
    )
)
"""Link-local networks, and others where no camera is."""
_TRANSLATED = ip_network("64:ff9b::/96")
_NUMBER = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+)){0,3}", re.IGNORECASE)
_OPEN_FILES = "/proc/self/fd"


def find_address_problem(
    location: Location, networks: Sequence[Network] = (), *, looks_up: bool = False
) -> str | None:
    """Return why a source must not be connected to; None: it may be.

    Args:
        networks: those that it must be in; empty allows all but `NEVER`.
        looks_up: whether a name is looked up. Else only a host that is an address is checked.
    """
    if location.kind is not LocationKind.NETWORK or location.host is None:
        return None
    address = parse_host_address(location.host)
    addresses = [address] if address else []
    if not addresses and looks_up:
        addresses = list(_look_up(location.host, location.port or 0))
    return next(filter(None, (_find_problem(each, networks) for each in addresses)), None)


def find_refused_peer(networks: Sequence[Network] = ()) -> str | None:
    """Return what is wrong with a connection that this process has open now; None: nothing is.

    FFmpeg opens its own connections: a redirect, or the segments of a playlist, may lead anywhere.
    """
    for address in _list_peers():
        problem = _find_problem(address, networks)
        if problem is not None:
            return problem
    return None


def parse_host_address(host: str) -> Address | None:
    """Return the address that a host is, in any form that C libraries read: `2130706433`, `0x7f.1`.

    None: it is a name.
    """
    with suppress(ValueError):
        return ip_address(host.partition("%")[0])
    if _NUMBER.fullmatch(host):
        with suppress(OSError):
            return IPv4Address(socket.inet_aton(host))
    return None


def list_meanings(address: Address) -> list[Address]:
    """List the address, and the IPv4 address that an IPv6 address stands for, if it does."""
    inner = None
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _TRANSLATED:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return [address] if inner is None else [address, inner]


def _find_problem(address: Address, networks: Sequence[Network]) -> str | None:
    for each in list_meanings(address):
        if any(each in network for network in NEVER):
            return "its host is at a link-local address, and no camera may be there"
    if networks and not any(each in net for each in list_meanings(address) for net in networks):
        return "its host is in none of the networks that NORMWATCH_SOURCE_NETWORKS names"
    return None


def _look_up(host: str, port: int) -> Iterator[Address]:
    # The connection itself reports that the name isn't known.
    with suppress(OSError, UnicodeError):
        for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            yield ip_address(str(where[0]).partition("%")[0])


def _list_peers() -> Iterator[Address]:
    with suppress(FileNotFoundError):
        for path in Path(_OPEN_FILES).iterdir():
            # It may be closed meanwhile, or be no socket, or not connected.
            with suppress(OSError):
                peer = _find_peer(int(path.name))
                if peer is not None:
                    yield peer


def _find_peer(number: int) -> Address | None:
    """Return where a socket is connected to. Raises: OSError: it isn't connected."""
    if not stat.S_ISSOCK(os.fstat(number).st_mode):
        return None
    with socket.socket(fileno=os.dup(number)) as open_socket:
        if open_socket.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        return ip_address(str(open_socket.getpeername()[0]).partition("%")[0])
