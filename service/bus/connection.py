"""Connections to Redis, Sentinel or a cluster, with limits on how long they wait."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from service.bus.cluster import Cluster
from service.errors import BadInput
from service.logs import hide_secrets

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0
HEALTH_CHECK_S = 15
REDIS_PORT = 6379
SENTINEL_PORT = 26379
FORMS = (
    "redis://, rediss://, unix://, redis+sentinel://host:26379,host:26379/master-name, "
    "redis+cluster://host:6379,host:6379"
)
_SCHEME = re.compile(r"^(rediss?)\+(sentinel|cluster)://", re.IGNORECASE)
_HOST = re.compile(r"^(\[[0-9a-fA-F:.%]+\]|[^\s:@/\[\]]+)(?::(\d{1,5}))?$")


@dataclass(frozen=True, slots=True)
class _Address:
    """The parts of a URL of several servers."""

    nodes: list[tuple[str, int]]
    path: list[str]
    options: Mapping[str, object]


def connect(url: str) -> Redis:
    """A client of bytes, for one process; nothing is sent until the first command.

    A command fails at once when the server is away (redis.exceptions.ConnectionError or
    TimeoutError): the caller decides what to do meanwhile, and when to try again.

    Raises: BadInput: it is no such URL.
    """
    found = _SCHEME.match(url)
    if found is None:
        return _connect_server(url)
    tls, rest = found.group(1).lower() == "rediss", url[found.end() :]
    if found.group(2).lower() == "sentinel":
        return _connect_sentinel(url, _parse_address(url, rest, SENTINEL_PORT, tls=tls))
    address = _parse_address(url, rest, REDIS_PORT, tls=tls)
    if address.path not in ([], ["0"]):
        raise _make_refusal(url, "must not name a database: a cluster has only one")
    # It has the commands that service.bus uses, which is all that is asked of a client.
    return cast(Redis, Cluster(address.nodes, {**address.options, **_list_limits()}))


def check_url(url: str) -> None:
    """Raises: BadInput: `connect` doesn't take it."""
    connect(url).close()


def _list_limits() -> dict[str, object]:
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "health_check_interval": HEALTH_CHECK_S,
    }


def _retry_once() -> Retry:
    # One immediate retry: the pool may hold a connection that a restarted server has closed.
    # Repeating a script whose answer was lost is harmless for scores and leases; an upload
    # may then stand twice, under two numbers: none is lost.
    return Retry(NoBackoff(), 1)


def _connect_server(url: str) -> Redis:
    try:
        return Redis.from_url(url, **_list_limits(), retry=_retry_once())
    except ValueError:
        # Its text may hold the URL.
        raise _make_refusal(url, f"must be a URL of one of the forms {FORMS}") from None


def _connect_sentinel(url: str, address: _Address) -> Redis:
    name, *database = address.path or [""]
    if not name:
        raise _make_refusal(url, "must name the master that the Sentinels watch, as in …/mymaster")
    if len(database) > 1 or (database and not database[0].isdecimal()):
        raise _make_refusal(
            url, "must have a number of a database after the master's name, or nothing"
        )
    # redis-py leaves both without types.
    watched: Callable[..., Sentinel] = Sentinel
    sentinel = watched(
        address.nodes,
        # Another Sentinel is asked instead.
        sentinel_kwargs={**_list_limits(), "retry": Retry(NoBackoff(), 0)},
        **address.options,
        **_list_limits(),
        retry=_retry_once(),
    )
    master_for: Callable[..., Redis] = sentinel.master_for
    return master_for(name, redis_class=Redis, db=int(database[0]) if database else 0)


def _parse_address(url: str, rest: str, port: int, *, tls: bool) -> _Address:
    userinfo, found, place = rest.rpartition("@")
    hosts, _, path = place.partition("/")
    nodes = [_parse_node(url, host, port) for host in hosts.split(",")]
    user, _, password = userinfo.partition(":")
    options: dict[str, object] = {}
    if found and user:
        options["username"] = unquote(user)
    if found and password:
        options["password"] = unquote(password)
    if tls:
        options["ssl"] = True
    return _Address(nodes, [unquote(part) for part in path.split("/") if part], options)


def _parse_node(url: str, text: str, default_port: int) -> tuple[str, int]:
    found = _HOST.match(text)
    port = int(found.group(2) or default_port) if found else 0
    if found is None or not 0 < port <= 65535:
        raise _make_refusal(url, "must list hosts with their ports, as in host:26379,host:26379")
    return found.group(1).strip("[]"), port


def _make_refusal(url: str, reason: str) -> BadInput:
    return BadInput("REDIS_URL", hide_secrets(url), reason)
