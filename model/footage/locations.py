"""Parses a source's location (a URL, a device, a path) for FFmpeg, and hides its secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "http": 80, "https": 443}

_URL = re.compile(r"^([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_DEVICE = re.compile(r"/dev/video\d+")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+(?:%[\w.~-]+)?\]|[\w.~-]+)(:\d{1,5})?")
_LIKELY_HOST = re.compile(r"\[|localhost\b|.*\.")
_ESCAPED = re.compile(r"(%[0-9a-fA-F]{2})")
_NOT_ASCII = re.compile(r"[^\x21-\x7e]+")
_WORD = re.compile(r"[^ \t\r\n'\"]+")
_SECRET_PARAMETER = re.compile(
    r"((?<![a-z])(?:[up]|[\w.-]*(?:us(?:e)?r|login|pas|pwd|token|key|auth|secret|sig)[\w.-]*)=)"
    r"[^&;/?#\s]*",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"(?P<name>[^&;=?#\s]*)=(?P<value>[^&;#\s]*)")
_PLAIN_VALUE = re.compile(r"\d{0,3}")
"""A channel or a kind of stream; a PIN has more digits."""
_PLAIN_PARAMETERS = frozenset({"discovery"})
_SECRET_SEGMENT = re.compile(
    r"(?<=/)(?:bot\d+:[\w-]+|(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{20,})(?=[/?#]|$)"
)
"""A path's part that is a token: Slack, Discord, Telegram and others have theirs there."""

_PROTOCOLS = {
    "rtsp": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
    "rtmp": "rtmp,rtmps,tcp,tls",
    "http": "http,https,tcp,tls,crypto",
    "https": "http,https,tcp,tls,crypto",
}
"""The schemes of cameras, each with the protocols that FFmpeg may use for it: a playlist from the
network never reaches a file."""

SCHEMES = tuple(_PROTOCOLS)


class LocationKind(StrEnum):
    """The kind of a location."""

    NETWORK = "network"
    DEVICE = "device"
    """A camera of this machine, such as `/dev/video0`."""
    FILE = "file"
    """A path, whether the file exists or not."""
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed location. All but `text` and `kind` are empty unless it is a URL."""

    text: str
    """The text as the user gave it, with its credentials."""
    kind: LocationKind
    scheme: str = ""
    """The URL's scheme in small letters."""
    userinfo: str | None = None
    """User name and password as given; None: the URL has none."""
    authority: str = ""
    """Host and port, such as `[::1]:554`."""
    path: str = ""
    """The part after the host: path and query."""

    @staticmethod
    def parse(text: str) -> Location:
        """Parse a URL or a path. Never fails: a URL without a usable host has `host` None."""
        url = _URL.match(text)
        if url is None:
            return Location(text, _find_path_kind(text))
        userinfo, rest = _split_userinfo(text[url.end() :])
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        return Location(
            text,
            LocationKind.NETWORK,
            url.group(1).lower(),
            userinfo,
            authority,
            rest[len(authority) :],
        )

    @property
    def is_live(self) -> bool:
        """Returns whether it may be a camera, which may come back by itself: a URL or a device."""
        return self.kind in (LocationKind.NETWORK, LocationKind.DEVICE)

    @property
    def is_http(self) -> bool:
        """Returns whether it is read over HTTP or HTTPS."""
        return self.scheme in ("http", "https")

    @property
    def is_rtsp(self) -> bool:
        """Returns whether it is read over RTSP, with or without TLS."""
        return self.scheme in ("rtsp", "rtsps")

    @property
    def host(self) -> str | None:
        """The URL's host, an IPv6 address without its brackets; None if it has none."""
        found = _HOST.fullmatch(self.authority)
        return None if found is None or self.port is None else found[1].strip("[]")

    @property
    def port(self) -> int | None:
        """The URL's port, or its scheme's default; None if it has none, or an impossible one."""
        found = _HOST.fullmatch(self.authority)
        if found is None:
            return None
        port = int(found[2][1:]) if found[2] else DEFAULT_PORTS.get(self.scheme)
        return port if port is not None and 0 < port < 65536 else None

    @property
    def protocols(self) -> str | None:
        """FFmpeg's `protocol_whitelist`; None if the scheme is not supported."""
        return _PROTOCOLS.get(self.scheme) if self.kind is LocationKind.NETWORK else "file"

    @property
    def ffmpeg_url(self) -> str:
        """The location as FFmpeg reads it: special characters of the credentials are encoded.

        Sequences such as `%40` count as encoded already.
        """
        if self.kind is LocationKind.DEVICE:
            return self.text
        if self.kind is not LocationKind.NETWORK:
            return f"file:{self.text}"
        rest = self.authority + self.ffmpeg_path
        if self.userinfo is None:
            return f"{self.scheme}://{rest}"
        user, colon, password = self.userinfo.partition(":")
        return f"{self.scheme}://{_percent_encode(user)}{colon}{_percent_encode(password)}@{rest}"

    @property
    def ffmpeg_path(self) -> str:
        """The URL's path and query, in the characters that a request may have."""
        return _NOT_ASCII.sub(lambda found: quote(found.group()), self.path)

    @property
    def redacted(self) -> str:
        """The location without its credentials: fit for logs, answers and names of clips."""
        return redact_url(self.text)


def redact_url(url: str) -> str:
    """Replace the parts of a URL that are or may be secret by `***`: user name and password, the
    values of all query parameters but short numbers, and parts of the path that look like a token.

    A password may hold a raw `/` and `@`, so which `@` ends it is unknown: everything before the
    last one is replaced. Text without `://` stays as it is.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    _, at, after = rest.rpartition("@")
    if at:
        rest = f"***@{after}"
    path, mark, query = _SECRET_PARAMETER.sub(r"\1***", rest).partition("?")
    shown = _PARAMETER.sub(_hide_value, query)
    return f"{scheme}://{_SECRET_SEGMENT.sub('***', path)}{mark}{shown}"


def _hide_value(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"]
    is_plain = _PLAIN_VALUE.fullmatch(value) or name.lower() in _PLAIN_PARAMETERS
    return f"{name}={value if is_plain else '***'}"


def redact_text(text: str) -> str:
    """Apply `redact_url` to each URL in a text."""
    if "://" not in text:
        return text
    return _WORD.sub(lambda word: redact_url(word.group()), text)


def _find_path_kind(text: str) -> LocationKind:
    if _DEVICE.fullmatch(text):
        return LocationKind.DEVICE
    return LocationKind.FOLDER if Path(text).is_dir() else LocationKind.FILE


def _split_userinfo(rest: str) -> tuple[str | None, str]:
    """Split what follows `://` into the credentials (None: there are none) and the rest.

    A raw `@`, `/`, `#` or `?` may stand in a password: the split is at the first `@` that a whole
    host with an optional port follows; one that has a dot, or is `localhost`, goes before others.
    """
    first = re.split(r"[/?]", rest, maxsplit=1)[0]
    is_host = bool(_HOST.fullmatch(first))
    # `admin:1234` may be a host and its port, or a user and the beginning of a password.
    if is_host and (":" not in first or _LIKELY_HOST.match(first)):
        return None, rest
    splits = [(rest[: at.start()], rest[at.end() :]) for at in re.finditer("@", rest)]
    hosts = [re.split(r"[/?]", after, maxsplit=1)[0] for _, after in splits]
    valid = [
        (not _LIKELY_HOST.match(host), index)
        for index, host in enumerate(hosts)
        if _HOST.fullmatch(host)
    ]
    if not valid or (is_host and min(valid)[0]):
        return None, rest
    return splits[min(valid)[1]]


def _percent_encode(text: str) -> str:
    parts = _ESCAPED.split(text)
    return "".join(part if _ESCAPED.fullmatch(part) else quote(part, safe="") for part in parts)
