"""A webhook receiver on loopback, as a user would write one: it checks each signature."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal

from pydantic import BaseModel, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from service.alert.outbox import EventData, EventType, OutageData, RecoveryData

MAX_BODY_BYTES = 64 * 1024


class TrialData(BaseModel):
    """`data` of a `test` message."""

    receiver_id: str


class Alert(BaseModel):
    """A message that a webhook gets."""

    type: EventType | Literal["test"]
    data: EventData | RecoveryData | OutageData | TrialData


class WebhookListener:
    """Listens within its `with` block; `on_alert` gets each message whose signature is right.

    `on_alert` is called in the server's threads; an answer is sent when it has returned.
    """

    def __init__(self, secret: str, on_alert: Callable[[Alert], None], port: int = 0) -> None:
        self.secret = secret
        self._webhook = Webhook(secret)
        self._on_alert = on_alert
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._make_handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """URL to register."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def __enter__(self) -> WebhookListener:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def handle(self, body: bytes, headers: dict[str, str]) -> HTTPStatus:
        """Check a message and hand it on; returns the status to answer with."""
        try:
            self._webhook.verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):
            return HTTPStatus.UNAUTHORIZED
        try:
            alert = Alert.model_validate_json(body)
        except ValidationError:
            return HTTPStatus.UNPROCESSABLE_ENTITY
        self._on_alert(alert)
        return HTTPStatus.NO_CONTENT

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        def receive(request: BaseHTTPRequestHandler) -> None:
            length = request.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
                request.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            body = request.rfile.read(int(length))
            request.send_response(self.handle(body, dict(request.headers.items())))
            request.end_headers()

        # The server finds a method by the name that HTTP's verb gives.
        return type("Handler", (_QuietHandler,), {"do_POST": receive})


class _QuietHandler(BaseHTTPRequestHandler):
    timeout = 10.0

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: `on_alert` prints the messages."""
