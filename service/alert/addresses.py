"""Decides which addresses receivers may be at: public ones, unless the operator allows others.

A URL is checked when it is registered, and its host's address again at each connection. The checked
address itself is connected to, so that the name can't lead elsewhere in between.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address, ip_network

import httpcore
import httpx
from httpcore import SOCKET_OPTION, NetworkBackend, NetworkStream

from model.footage.source_addresses import (
    NEVER,
    Network,
    list_meanings,
    parse_host_address,
)
from service.errors import AddressRefused, BadInput
from service.logs import hide_secrets

AllowPrivate = bool | Sequence[Network]
"""Which addresses receivers may have, besides public ones: all private ones, or some networks."""

Resolver = Callable[[str, int], list[str]]
"""Looks a host and port up: addresses, best first. Raises: OSError: there are none."""

MAX_URL_LENGTH = 2000
_ALSO_SPECIAL = tuple(
    map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "3fff::/20", "5f00::/16"))
)
"""Networks that some versions of Python count as global."""
_NAME = re.compile(rb"[A-Za-z0-9._-]{1,253}")


def check_url(url: str, *, allow_private: AllowPrivate) -> None:
    """Check whether a webhook may have this URL, without looking its host up.

    Raises: BadInput: it may not.
    """
    displayed = hide_secrets(url)
    if len(url) > MAX_URL_LENGTH:
        raise BadInput(
            "url", displayed[:50] + "…", f"it is longer than {MAX_URL_LENGTH} characters"
        )
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise BadInput("url", displayed, "it is not a URL") from None
    if parsed.scheme not in ("http", "https"):
        raise BadInput("url", displayed, "it must start with http:// or https://")
    if parsed.userinfo:
        raise BadInput("url", displayed, "it must not hold a user name or password")
    if not (parsed.port is None or 0 < parsed.port < 65536):
        raise BadInput("url", displayed, "its port must be between 1 and 65535")
    problem = find_host_problem(parsed.host, parsed.raw_host, allow_private=allow_private)
    if problem is not None:
        raise BadInput("url", displayed, problem)


def find_host_problem(host: str, raw_host: bytes, *, allow_private: AllowPrivate) -> str | None:
    """Return why a URL must not have this host, without looking it up; None: it may.

    Args:
        raw_host: the form of it that is looked up.
    """
    if not host:
        return "it names no host"
    if not (_is_address(host) or _NAME.fullmatch(raw_host)):
        return "its host is not a name or an address"
    if _is_address(host) and not _is_usual_form(host):
        return "its host is an address in a form that hides which one it is"
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        addresses = ["127.0.0.1", "::1"]
    else:
        # A name's address is checked at each connection.
        addresses = [str(ip) for ip in (parse_host_address(name),) if ip is not None]
    if addresses and not any(may_reach(each, allow_private) for each in addresses):
        return "its host is on a private network, which isn't allowed here"
    return None


def may_reach(address: str, allow_private: AllowPrivate) -> bool:
    """Return whether messages may go to an address."""
    if is_public(address):
        return True
    meanings = list_meanings(ip_address(address.partition("%")[0]))
    if not isinstance(allow_private, bool):
        return any(each in network for each in meanings for network in allow_private)
    # Link-local ones include those at which clouds hand out their machines' credentials.
    return allow_private and not any(each in network for each in meanings for network in NEVER)


def is_public(address: str) -> bool:
    """Return whether an address is on the internet, and belongs to one machine."""
    ip = ip_address(address)
    *_, meant = list_meanings(ip)
    if meant != ip:
        return is_public(str(meant))
    if any(ip in network for network in _ALSO_SPECIAL):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _is_address(host: str) -> bool:
    return parse_host_address(host) is not None


def _is_usual_form(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def find_checked_addresses(
    host: str, port: int, *, allow_private: AllowPrivate, resolver: Resolver
) -> list[str]:
    """Look a host up, and return its addresses, best first, if all of them are allowed.

    Raises: AddressRefused: any of its addresses isn't allowed. OSError: it can't be found.
    """
    try:
        addresses = resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise OSError(f"the host {host} can't be found") from error
    for address in addresses:
        if not may_reach(address, allow_private):
            raise AddressRefused(host, address)
    return addresses


class CheckedBackend(NetworkBackend):
    """Opens connections for one request: to checked addresses only, all within one time limit.

    TLS and the Host header keep the name; only the connection goes to the address.
    """

    def __init__(
        self, *, allow_private: AllowPrivate, timeout_s: float, resolver: Resolver = resolve
    ) -> None:
        self._allow_private = allow_private
        self._deadline = time.monotonic() + timeout_s
        self._resolver = resolver
        self._tcp = httpcore.SyncBackend()
        self.reached: str | None = None
        """The address that it is connected to."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        """Raises: AddressRefused: any of the host's addresses isn't allowed."""
        try:
            addresses = find_checked_addresses(
                host, port, allow_private=self._allow_private, resolver=self._resolver
            )
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError(f"the host {host} has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            # An address that doesn't answer leaves time for the others.
            share_s = compute_remaining_s(self._deadline) / left
            try:
                stream = self._tcp.connect_tcp(
                    address, port, share_s, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                self.reached = address
                return _LimitedStream(stream, self._deadline)
        raise failure


class _LimitedStream(NetworkStream):
    """A connection whose waits all end at the deadline, however slowly bytes come."""

    def __init__(self, stream: NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, compute_remaining_s(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, compute_remaining_s(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        inner = self._stream.start_tls(
            ssl_context, server_hostname, compute_remaining_s(self._deadline)
        )
        return _LimitedStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def compute_remaining_s(deadline: float) -> float:
    """Return the seconds until the deadline.

    Raises: httpcore.TimeoutException: it has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is up")
    return left
