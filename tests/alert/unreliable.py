"""A receiver on a real socket that fails as a test chooses, and checks signatures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook


class Way(StrEnum):
    """How a request is answered."""

    ACCEPT = "accept"
    ERROR = "error"
    HANG = "hang"
    """No answer at all."""
    DROP = "drop"
    """The connection is closed without an answer."""
    CUT = "cut"
    """The message is taken, and the connection closed in the middle of the answer."""
    DRIP = "drip"
    """The message is taken, and the answer comes a byte at a time, for ever."""
    BUSY = "busy"
    """429 with Retry-After."""
    REDIRECT = "redirect"
    GONE = "gone"


TAKES = (Way.ACCEPT, Way.CUT, Way.DRIP)
RETRY_AFTER_S = 1800
DRIP_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Got:
    """A request whose signature was right."""

    at: float
    message_id: str
    body: str
    event_id: str
    stream_id: str
    type: str
    way: Way


class Unreliable:
    """Listens while it is entered. `choose` says what becomes of each request."""

    def __init__(
        self, secret: str, choose: Callable[[], Way], clock: Callable[[], float], inside: str = ""
    ) -> None:
        self.got: list[Got] = []
        self.wrong: list[str] = []
        """What was wrong with requests that aren't in `got`."""
        self._webhook = Webhook(secret)
        self._choose = choose
        self._clock = clock
        self._inside = inside
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> Unreliable:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def taken(self) -> dict[str, Got]:
        """Messages that it has, by id, as they first came."""
        first: dict[str, Got] = {}
        for got in self.got:
            if got.way in TAKES:
                first.setdefault(got.message_id, got)
        return first

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        def receive(request: BaseHTTPRequestHandler) -> None:
            body = request.rfile.read(int(request.headers["Content-Length"])).decode()
            way = self._choose()
            try:
                message = self._webhook.verify(body, dict(request.headers.items()))
            except Exception as error:  # the test fails on any error
                self.wrong.append(repr(error))
                raise
            self.got.append(
                Got(
                    at=self._clock(),
                    message_id=request.headers["webhook-id"],
                    body=json.dumps(message),
                    event_id=message["data"]["event_id"],
                    stream_id=message["data"]["stream_id"],
                    type=message["type"],
                    way=way,
                )
            )
            self._answer(request, way)

        return type("Handler", (_QuietHandler,), {"do_POST": receive})

    def _answer(self, request: BaseHTTPRequestHandler, way: Way) -> None:
        request.close_connection = True
        match way:
            case Way.HANG:
                self._closing.wait()
            case Way.DROP:
                pass
            case Way.CUT:
                _respond(request, 200, {"Content-Length": "100"})
                request.wfile.write(b"only the beg")
            case Way.DRIP:
                _respond(request, 200, {})
                try:
                    while not self._closing.wait(DRIP_EVERY_S):
                        request.wfile.write(b".")
                except OSError:
                    pass
            case Way.BUSY:
                _respond(request, 429, {"Retry-After": str(RETRY_AFTER_S)})
            case Way.REDIRECT:
                _respond(request, 307, {"Location": self._inside})
            case _:
                _respond(request, {Way.ACCEPT: 204, Way.ERROR: 500, Way.GONE: 410}[way], {})


def _respond(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()


class _QuietHandler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
