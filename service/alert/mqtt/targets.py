"""URLs of brokers: `mqtt://user:password@host:port/prefix?discovery=homeassistant`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from service.alert.addresses import host_problem
from service.errors import BadInput

DEFAULT_PREFIX = "normwatch"
DEFAULT_DISCOVERY = "homeassistant"
NO_DISCOVERY = "off"
MAX_PREFIX_LENGTH = 200
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LEVELS = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")
_LEVELS_TEXT = "levels of letters, digits and . _ ~ - with one / between them"


@dataclass(frozen=True, slots=True)
class Target:
    """A broker, and where in it."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None = field(repr=False)
    prefix: str
    """All topics begin with it."""
    discovery: str | None
    """Home Assistant's discovery prefix; None: it isn't told."""

    @property
    def place(self) -> tuple[str, int, str, str | None]:
        """Where it is, whoever calls."""
        return self.host, self.port, self.prefix, self.discovery


def check_url(url: str, *, allow_private: bool) -> None:
    """Whether messages may go to this broker, as far as can be told without looking its host up.

    Raises: BadInput: they may not.
    """
    target = parse(url)
    host = target.host
    problem = host_problem(host, host.encode("ascii", "replace"), allow_private=allow_private)
    if problem is not None:
        raise BadInput("url", _shown(url), problem)


def parse(url: str) -> Target:
    """What the URL says. User and password end at the last `@`, and may hold anything; `%xx` stands
    for a character in them.

    Raises: BadInput: it is not such a URL.
    """

    def refused(reason: str) -> BadInput:
        return BadInput("url", _shown(url), reason)

    scheme, found, rest = url.strip().partition("://")
    scheme = scheme.lower()
    if not found or scheme not in _PORTS:
        raise refused("it must start with mqtt:// or mqtts://")
    userinfo, at, rest = rest.rpartition("@")
    user, colon, password = userinfo.partition(":")
    if not all(part.isprintable() for part in (unquote(user), unquote(password))):
        raise refused("its user name or password holds control characters")
    if not rest.isprintable() or "#" in rest:
        raise refused("after the host there may be a topic prefix and ?discovery= only")
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    host, port = _host_and_port(authority)
    if port is None:
        port = _PORTS[scheme]
    if not 0 < port < 65536:
        raise refused("its port must be between 1 and 65535")
    prefix = path or DEFAULT_PREFIX
    if len(prefix) > MAX_PREFIX_LENGTH or not _LEVELS.fullmatch(prefix):
        raise refused(
            f"its path is the topic prefix: at most {MAX_PREFIX_LENGTH} characters, {_LEVELS_TEXT}"
        )
    options = parse_qsl(query, keep_blank_values=True)
    if [name for name, _ in options] not in ([], ["discovery"]):
        raise refused("its only option is discovery, once")
    discovery = options[0][1] if options else DEFAULT_DISCOVERY
    if len(discovery) > MAX_PREFIX_LENGTH or not _LEVELS.fullmatch(discovery):
        raise refused(f"its discovery must be off, or a topic prefix: {_LEVELS_TEXT}")
    if prefix in (discovery, DEFAULT_DISCOVERY):
        raise refused(f"its topic prefix must not be {prefix}: {prefix}/status is somebody else's")
    return Target(
        host=host,
        port=port,
        tls=scheme == "mqtts",
        user=unquote(user) if at else None,
        password=unquote(password) if colon else None,
        prefix=prefix,
        discovery=None if discovery == NO_DISCOVERY else discovery,
    )


def _host_and_port(authority: str) -> tuple[str, int | None]:
    """A port that isn't a number is 0."""
    if authority.startswith("["):
        host, _, after = authority[1:].partition("]")
        colon, text = after[:1], after[1:]
    else:
        host, colon, text = authority.partition(":")
    if not colon:
        return host, None
    is_number = text.isascii() and text.isdigit() and len(text) <= 5
    return host, int(text) if is_number and colon == ":" else 0


def _shown(url: str) -> str:
    """Without what may be a user's name or password, and short."""
    scheme, found, rest = url.partition("://")
    _, at, after = (rest if found else url).rpartition("@")
    shown = f"{scheme}{found}***@{after}" if found and at else after
    if found and not at:
        shown = f"{scheme}{found}{rest}"
    return shown[:100]
