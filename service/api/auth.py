"""Access: API keys, the Host header, and the origin of pages."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.error_answers import answer_error
from service.api.network_exposure import is_loopback, parse_host_name
from service.settings import Settings

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz"})
"""These need no key: health, and the page, which asks for the key itself."""
STATIC = "/static/"
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            path = scope["path"]
            refusal = (
                self._check_host(headers, scope["method"])
                if not self._keys
                else self._check_key(headers, path)
            )
            if refusal is not None:
                status, message = refusal
                extra = {"WWW-Authenticate": "Bearer"} if status == 401 else None
                await answer_error(status, message, headers=extra)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check_key(self, headers: Headers, path: str) -> tuple[int, str] | None:
        if path in OPEN_PATHS or path.startswith(STATIC):
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not given:
            return 401, "an API key is needed, as Authorization: Bearer or X-API-Key"
        # All are compared in any case, so that the time reveals nothing.
        matches = [hmac.compare_digest(given.encode(), key) for key in self._keys]
        return None if any(matches) else (401, "the API key is not known")

    def _check_host(self, headers: Headers, method: str) -> tuple[int, str] | None:
        # No key: only this machine may ask. A foreign page in this machine's browser must not,
        # neither under a name of its own that resolves to loopback nor across origins.
        host = headers.get("host", "")
        name = parse_host_name(host)
        if not is_loopback(name) and name.lower() not in self._hosts:
            return 421, "without an API key, only localhost and loopback addresses are answered"
        origin = headers.get("origin")
        if origin is not None and method not in SAFE_METHODS and urlsplit(origin).netloc != host:
            return 403, "a page of another origin may not change anything here"
        return None
