"""Makes one POST to a webhook: no redirects, no proxies, a short answer, a time limit."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache

import httpcore
import httpx

from service.alert.addresses import AllowPrivate, CheckedBackend, Resolver, is_public, resolve
from service.alert.attempts import Undelivered
from service.characters import blank_controls
from service.errors import AddressRefused

MAX_ANSWER_BYTES = 1024
MAX_SHOWN_CHARACTERS = 300
"""How much of an answer's body is kept."""
MAX_RETRY_AFTER_S = 86_400.0


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What the webhook answered."""

    status: int
    retry_after: str | None = None
    beginning: str = ""
    """The first bytes of the body, as text without control characters; empty for a private host."""


@dataclass(frozen=True, slots=True)
class Poster:
    """Makes requests; tests replace its parts."""

    allow_private: AllowPrivate
    timeout_s: float
    """It covers everything after the look-up of the host's name, to the end of the answer."""
    resolver: Resolver = resolve
    tls: ssl.SSLContext | None = None
    """None trusts the usual authorities."""

    def post(self, url: str, body: str, headers: dict[str, str]) -> WebhookAnswer:
        """Send a JSON body once. A redirect is an answer like any other, and isn't followed.

        Raises: Undelivered: no answer came.
        """
        try:
            return self._post(url, body, headers)
        except AddressRefused as error:
            raise Undelivered(str(error)) from error
        except httpcore.TimeoutException as error:
            raise Undelivered(f"no answer within {self.timeout_s:g} s") from error
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            httpx.InvalidURL,
            OSError,
        ) as error:
            raise Undelivered(f"the connection failed: {error}") from error

    def _post(self, url: str, body: str, headers: dict[str, str]) -> WebhookAnswer:
        parsed = httpx.URL(url)
        target = httpcore.URL(
            scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
        )
        backend = CheckedBackend(
            allow_private=self.allow_private, timeout_s=self.timeout_s, resolver=self.resolver
        )
        sent: list[tuple[bytes | str, bytes | str]] = [
            # It is given here because httpcore leaves out the brackets of an IPv6 address.
            ("Host", parsed.netloc),
            ("Content-Type", "application/json"),
            ("User-Agent", "normwatch"),
            ("Connection", "close"),
            *headers.items(),
        ]
        with (
            httpcore.ConnectionPool(
                ssl_context=self.tls or _make_usual_tls(), network_backend=backend
            ) as pool,
            pool.stream("POST", target, headers=sent, content=body.encode()) as response,
        ):
            read = _read_some(response)
            # What machines of a private network answer is nothing for those who may add receivers.
            is_shown = backend.reached is not None and is_public(backend.reached)
            beginning = _clean_text(read) if is_shown else ""
            return WebhookAnswer(response.status, _find_header(response, b"retry-after"), beginning)


def parse_retry_after_s(text: str | None, now: float) -> float:
    """Return the seconds that a Retry-After asks for, at most a day; 0: it is missing or wrong."""
    if text is None:
        return 0.0
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


@cache
def _make_usual_tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _read_some(response: httpcore.Response) -> bytes:
    """Read a short answer to its end; leave the rest of a long one."""
    beginning = bytearray()
    for part in response.iter_stream():
        beginning += part
        if len(beginning) >= MAX_ANSWER_BYTES:
            break
    return bytes(beginning[:MAX_ANSWER_BYTES])


def _clean_text(body: bytes) -> str:
    text = blank_controls(body.decode("utf-8", "replace")).strip()
    return text[:MAX_SHOWN_CHARACTERS]


def _find_header(response: httpcore.Response, name: bytes) -> str | None:
    for key, value in response.headers:
        if key.lower() == name:
            return value.decode("latin-1")
    return None
