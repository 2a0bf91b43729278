"""Reads URLs of brokers: `mqtt://user:password@host:port/prefix?discovery=homeassistant`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from model.footage.locations import redact_url
from service.alert.addresses import AllowPrivate, find_host_problem
from service.characters import has_controls
from service.errors import BadInput

DEFAULT_PREFIX = "normwatch"
DEFAULT_DISCOVERY = "homeassistant"
NO_DISCOVERY = "off"
MAX_PREFIX_LENGTH = 200
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LEVELS = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")
_LEVELS_TEXT = "levels of letters, digits and . _ ~ - with one / between them"


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """A broker, and which of its topics are ours."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None = field(repr=False)
    prefix: str
    """All topics begin with it."""
    discovery: str | None
    """Home Assistant's discovery prefix; None: nothing is published for it."""

    @property
    def place(self) -> tuple[str, int, str, str | None]:
        """The broker and the topics, without user and password."""
        return self.host, self.port, self.prefix, self.discovery


def check_broker_url(url: str, *, allow_private: AllowPrivate) -> None:
    """Check whether messages may go to this broker, without looking its host up.

    Raises: BadInput: they may not.
    """
    host = parse_broker_url(url).host
    problem = find_host_problem(host, host.encode("ascii", "replace"), allow_private=allow_private)
    if problem is not None:
        raise BadInput("url", redact_url(url)[:100], problem)


def parse_broker_url(url: str) -> BrokerUrl:
    """Read a URL.

    User and password end at the last `@`, and may hold any character; `%xx` stands for one.

    Raises: BadInput: it is not such a URL.
    """

    def refuse(reason: str) -> BadInput:
        return BadInput("url", redact_url(url)[:100], reason)

    scheme, found, rest = url.strip().partition("://")
    scheme = scheme.lower()
    if not found or scheme not in _PORTS:
        raise refuse("it must start with mqtt:// or mqtts://")
    userinfo, at, rest = rest.rpartition("@")
    user, colon, password = userinfo.partition(":")
    if has_controls(unquote(user) + unquote(password)):
        raise refuse("its user name or password holds control characters")
    if has_controls(rest) or "#" in rest:
        raise refuse("after the host there may be a topic prefix and ?discovery= only")
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    host, port = _split_authority(authority)
    if port is None:
        port = _PORTS[scheme]
    if not 0 < port < 65536:
        raise refuse("its port must be between 1 and 65535")
    prefix = path or DEFAULT_PREFIX
    if len(prefix) > MAX_PREFIX_LENGTH or not _LEVELS.fullmatch(prefix):
        raise refuse(
            f"its path is the topic prefix: at most {MAX_PREFIX_LENGTH} characters, {_LEVELS_TEXT}"
        )
    options = parse_qsl(query, keep_blank_values=True)
    if [name for name, _ in options] not in ([], ["discovery"]):
        raise refuse("its only option is discovery, once")
    discovery = options[0][1] if options else DEFAULT_DISCOVERY
    if len(discovery) > MAX_PREFIX_LENGTH or not _LEVELS.fullmatch(discovery):
        raise refuse(f"its discovery must be off, or a topic prefix: {_LEVELS_TEXT}")
    if prefix in (discovery, DEFAULT_DISCOVERY):
        raise refuse(f"its topic prefix must not be {prefix}: {prefix}/status is somebody else's")
    return BrokerUrl(
        host=host,
        port=port,
        tls=scheme == "mqtts",
        user=unquote(user) if at else None,
        password=unquote(password) if colon else None,
        prefix=prefix,
        discovery=None if discovery == NO_DISCOVERY else discovery,
    )


def _split_authority(authority: str) -> tuple[str, int | None]:
    """Split host and port; a port that isn't a number is 0."""
    if authority.startswith("["):
        host, _, after = authority[1:].partition("]")
        colon, text = after[:1], after[1:]
    else:
        host, colon, text = authority.partition(":")
    if not colon:
        return host, None
    is_number = text.isascii() and text.isdigit() and len(text) <= 5
    return host, int(text) if is_number and colon == ":" else 0
