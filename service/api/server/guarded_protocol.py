"""Uvicorn's HTTP protocol with limits that it lacks: size and time of headers, slow bodies, clients
that don't read, and the number of connections.

Its parser, httptools, has no limit at all on the size of headers, and uvicorn's only time limit is
that between two requests. `h11` would limit the size, but not the time.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.api.server.open_connections import OpenConnections

MAX_HEADER_BYTES = 64 * 1024
"""The request line and all headers together."""
HEADERS_S = 10.0
"""The time that a client has for them, from its connection or from the first byte on."""
BODY_IDLE_S = 30.0
"""A body of which nothing comes for so long is given up."""
BODY_GRACE_S = 30.0
MIN_BODY_BYTES_PER_S = 1000.0
"""The mean rate that a body must keep after the grace."""
LINGER_S = 10.0
"""What a client may go on sending after its answer, and what a closing connection may take."""
UNREAD_S = 30.0
"""A client that reads nothing of its answer for so long is cut off."""
PIECE_BYTES = 16 * 1024
"""The parser gets so much at a time: in between, the limits are checked."""

TOO_LARGE = b"431 Request Header Fields Too Large"
TOO_SLOW = b"408 Request Timeout"
NO_ROOM = b"503 Service Unavailable"


class GuardedConfig(uvicorn.Config):
    """Uvicorn's configuration, with the account of open connections that its protocols share."""

    def __init__(self, app: Any, open_connections: OpenConnections, **options: Any) -> None:
        super().__init__(app, http=GuardedProtocol, ws="none", **options)
        self.open_connections = open_connections


class GuardedProtocol(HttpToolsProtocol):
    """One client's connection."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        if not isinstance(config, GuardedConfig):
            raise TypeError("GuardedProtocol needs a GuardedConfig")
        self._book = config.open_connections
        self._header_bytes = 0
        self._unused_bytes = 0
        """What the parser has got since the last byte of a body: headers, trailers, their like."""
        self._headers_due_at: float | None = None
        """When the headers must be complete; None: no request has begun, or they are complete."""
        self._in_body = False
        self._is_refused = False
        self._body_began_at = 0.0
        self._body_bytes = 0
        self._received_at = 0.0
        self._answered_at: float | None = None
        self._unread_since: float | None = None
        self._closing_since: float | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self._book.admit(self, address, self.loop):
            self._refuse(NO_ROOM)
            return
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._book.release(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received_at = self.loop.time()
        for start in range(0, len(data), PIECE_BYTES):
            if self.transport.is_closing():
                return
            piece = data[start : start + PIECE_BYTES]
            self._unused_bytes += len(piece)
            super().data_received(piece)
            if max(self._header_bytes, self._unused_bytes - PIECE_BYTES) > MAX_HEADER_BYTES:
                self._refuse(TOO_LARGE)
                return
        if not (self._in_body or self._is_answering):
            # Such as line ends before a request: they end uvicorn's own time limit.
            self._expect_headers()

    def pause_writing(self) -> None:
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._header_bytes = 0
        self._expect_headers()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._header_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(TOO_LARGE)
            return
        self._headers_due_at = None
        self._in_body = True
        self._body_began_at = self.loop.time()
        self._body_bytes = 0
        self._answered_at = None
        self._book.mark_busy(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unused_bytes = 0
        self._body_bytes += len(body)
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unused_bytes = 0
        self._in_body = False
        if not self._is_refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._answered_at = self.loop.time()
        is_last = not self.pipeline
        super().on_response_complete()
        if is_last and not self._in_body:
            self._book.mark_idle(self)

    # What the account of open connections calls.

    def find_fault(self, now: float) -> str | None:
        """Return why it must be closed now, or None."""
        if self.transport.is_closing():
            self._closing_since = self._closing_since or now
            return "unread" if now - self._closing_since > LINGER_S else None
        if self._unread_since is not None:
            return "unread" if now - self._unread_since > UNREAD_S else None
        if self._headers_due_at is not None:
            return "slow_headers" if now > self._headers_due_at else None
        if not self._in_body:
            return None
        if self.flow.read_paused:
            # We keep the client waiting.
            self._received_at = now
            return None
        elapsed_s = now - self._body_began_at
        is_slow = (
            now - self._received_at > BODY_IDLE_S
            or elapsed_s > BODY_GRACE_S + self._body_bytes / MIN_BODY_BYTES_PER_S
            or (self._answered_at is not None and now - self._answered_at > LINGER_S)
        )
        return "slow_body" if is_slow else None

    def close_for(self, reason: str) -> None:
        """Close the connection; one that has begun its headers gets the reason."""
        if reason == "slow_headers" and self._unused_bytes:
            self._refuse(TOO_SLOW)
        else:
            self.transport.abort()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_headers(self) -> None:
        if self._headers_due_at is None:
            self._headers_due_at = self.loop.time() + HEADERS_S

    def _refuse(self, status: bytes) -> None:
        """Answer with a status alone, unless an answer is under way, and close."""
        self._is_refused = True
        if self.transport.is_closing():
            return
        if self._is_answering:
            self.transport.abort()
            return
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status
        )
        self.transport.close()
        # A client that reads nothing would keep it open.
        self.loop.call_later(LINGER_S, self.transport.abort)
