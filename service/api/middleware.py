"""Wraps every request: counts it, sets headers for browsers, limits its body, answers HEAD."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.error_answers import answer_error
from service.errors import BacklogFull
from service.metrics import Metrics
from service.settings import Settings

MAX_JSON_BYTES = 256 * 1024
MULTIPART_SLACK_BYTES = 1024 * 1024
"""Room for boundaries, part headers and timestamps around an upload."""
RETRY_AFTER_S = 10
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestCount:
    """Counts answers by route template, and sets the security headers."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._requests = metrics.requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            # The template, never the path: the number of label values stays bounded.
            route = getattr(scope.get("route"), "path", None) or "unmatched"
            self._requests.labels(method, route, str(status)).inc()


class _AnswerComplete(Exception):
    """Stops a body that isn't sent."""


class HeadAsGet:
    """Answers HEAD like GET, without the body: routes need not know of it.

    A body that comes in parts (a file, a table, live scores) is stopped at its first part.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # Only GET has ranges (RFC 9110, 14.2).
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        # It is a copy, as the server must go on knowing that the method is HEAD.
        inner = {**scope, "method": "GET", "headers": headers}

        async def send_head(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            await send({"type": "http.response.body", "body": b""})
            if message.get("more_body"):
                raise _AnswerComplete

        try:
            await self._app(inner, receive, send_head)
        except* _AnswerComplete:
            pass
        finally:
            if "route" in inner:
                scope["route"] = inner["route"]


class BodyLimit:
    """Stops reading a body that is too large, or too much together with those of other requests.

    A body counts until its request is answered: it may be in memory for so long.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._upload_bytes = (
            max(settings.max_video_bytes, settings.max_upload_bytes, settings.max_image_bytes)
            + MULTIPART_SLACK_BYTES
        )
        self._model_bytes = settings.max_model_bytes
        self._budget = max(settings.upload_budget_bytes, self._upload_bytes)
        self._held = 0
        metrics.body_bytes.set_function(lambda: self._held)

    def _choose_limit(self, method: str, path: str) -> int:
        if path.endswith("/frames"):
            return self._upload_bytes
        is_model = method == "POST" and path.startswith("/models/")
        return self._model_bytes if is_model else MAX_JSON_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a `receive` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._choose_limit(scope["method"], scope["path"])
        message = f"the body is larger than {limit} bytes"
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            await answer_error(413, message)(scope, receive, send)
            return
        full = BacklogFull("the budget of uploads under way", self._budget, RETRY_AFTER_S)
        if self._held + int(declared) > self._budget:
            headers = {"Retry-After": str(full.retry_after_s)}
            await answer_error(429, str(full), headers=headers)(scope, receive, send)
            return
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            part = await receive()
            size = len(part.get("body", b""))
            read += size
            self._held += size
            if read > limit:
                raise HTTPException(413, message)
            if self._held > self._budget:
                # At once: the others' next parts must not be refused for what is let go here.
                self._held -= read
                read = 0
                raise full
            return part

        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._held -= read
