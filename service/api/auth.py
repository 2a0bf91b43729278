"""Access: API keys, the Host header, and the origin of pages."""

from __future__ import annotations

import asyncio
import hmac
from urllib.parse import urlsplit

from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.error_answers import answer_error
from service.api.key_guesses import KeyGuesses
from service.api.network_exposure import is_loopback, parse_host_name
from service.api.server.open_connections import group_address
from service.settings import Settings

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz"})
"""These need no key: health, and the page, which asks for the key itself."""
STATIC = "/static/"
FORWARDING = frozenset(
    {
        "cf-connecting-ip",
        "client-ip",
        "forwarded",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-host",
        "x-real-ip",
    }
)
"""Headers by which a proxy says for whom it asks; those that begin with `x-forwarded-`, too."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

bearer = HTTPBearer(auto_error=False, description="Needed where the operator has set API keys.")
api_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same, in a header.")
"""Both only document; `AccessGate` checks, so that no route can forget to."""


class AccessGate:
    """Refuses requests before anything reads them."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._keys = [key.get_secret_value().encode() for key in settings.api_keys]
        self._hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._guesses = KeyGuesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if not self._keys:
                refusal = self._check_client(headers, scope["method"])
            elif is_open(scope["path"]):
                refusal = None
            else:
                refusal = await self._check_key(headers, scope)
            if refusal is not None:
                status, message = refusal
                extra = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "60"}}
                answer = answer_error(status, message, headers=extra.get(status))
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _check_key(self, headers: Headers, scope: Scope) -> tuple[int, str] | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not given:
            return 401, "an API key is needed, as Authorization: Bearer or X-API-Key"
        client = group_address((scope.get("client") or ("", 0))[0])
        if self._guesses.must_wait(client):
            return 429, "too many wrong API keys came from this address; wait a minute"
        # All are compared in any case, so that the time reveals nothing.
        matches = [hmac.compare_digest(given.encode(), key) for key in self._keys]
        if any(matches):
            self._guesses.note_right(client)
            return None
        await asyncio.sleep(self._guesses.note_wrong(client))
        return 401, "the API key is not known"

    def _check_client(self, headers: Headers, method: str) -> tuple[int, str] | None:
        # No key: only this machine may ask. A foreign page in this machine's browser must not,
        # neither under a name of its own that resolves to loopback nor across origins.
        host = headers.get("host", "")
        name = parse_host_name(host)
        if not is_loopback(name) and name.lower() not in self._hosts:
            return 421, "without an API key, only localhost and loopback addresses are answered"
        # A proxy on this machine makes everyone look like this machine.
        through = next((name for name in headers if is_proxy_header(name)), None)
        if through is not None:
            return 403, (
                f"the header {through} says that a proxy passes this on for somebody else: that "
                "needs an API key, so set NORMWATCH_API_KEYS"
            )
        origin = headers.get("origin")
        if origin is not None and method not in SAFE_METHODS and _find_authority(origin) != host:
            return 403, "a page of another origin may not change anything here"
        return None


def is_open(path: str) -> bool:
    """Return whether a path needs no key."""
    return path in OPEN_PATHS or path.startswith(STATIC)


def is_proxy_header(header: str) -> bool:
    """Return whether only proxies set a header of this name, given in small letters."""
    return header in FORWARDING or header.startswith("x-forwarded-")


def _find_authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
