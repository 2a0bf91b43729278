"""Clients that hold connections open, send slowly, too much, or read nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from service.api.server import guarded_protocol, open_connections
from service.settings import Settings
from tests.support.front_end import client
from tests.support.servers import wait_for

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /streams HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Iterator[httpx.Client]:
    """A front end whose time limits are short, and that takes eight connections of an address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_connections, "SWEEP_EVERY_S", 0.05)
        for name in ("HEADERS_S", "BODY_IDLE_S", "LINGER_S", "UNREAD_S"):
            patch.setattr(guarded_protocol, name, 0.5)
        values = module_settings.model_dump() | {"max_connections_per_address": 8}
        with client(Settings(**values)) as made:
            made.headers["Connection"] = "close"
            yield made


@contextmanager
def _connect(api: httpx.Client) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", api.base_url.port or 0), timeout=10) as made:
        yield made


def _read_all(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    answer = b""
    try:
        while part := connection.recv(65536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


def _send(connection: socket.socket, data: bytes) -> None:
    # It has seen enough, and closed the connection.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(data)


def _count_closed(api: httpx.Client, reason: str) -> float:
    pattern = rf'^normwatch_closed_connections_total{{reason="{reason}"}} (\S+)$'
    found = re.search(pattern, api.get("/metrics").text, re.M)
    return float(found.group(1)) if found else 0.0


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"X: " + b"a" * 10_000_000,
        HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(10_000)) + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 1_000_000,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 1_000_000,
    ],
    ids=["one header", "many headers", "path", "trailer", "chunk extension"],
)
def test_headers_of_more_than_64_kib_are_not_read_to_their_end(
    api: httpx.Client, request_bytes: bytes
) -> None:
    with _connect(api) as connection:
        _send(connection, request_bytes)
        assert b" 200 " not in _read_all(connection)
    assert api.get("/healthz").status_code == 200


def test_headers_that_are_only_just_too_large_are_refused_with_the_reason(
    api: httpx.Client,
) -> None:
    assert api.get("/healthz", headers={"X": "a" * 60_000}).status_code == 200
    assert api.get("/healthz", headers={"X": "a" * 66_000}).status_code == 431


def test_the_limit_holds_for_each_request_of_a_connection(api: httpx.Client) -> None:
    """Requests and bodies before don't count."""
    body = b"{" + b" " * 100_000
    one = POST + b"X: %b\r\nContent-Length: %d\r\n\r\n%b" % (b"a" * 40_000, len(body), body)
    with _connect(api) as connection:
        connection.sendall(one * 3 + HEAD + b"Connection: close\r\n\r\n")
        answer = _read_all(connection)
    assert answer.count(b"HTTP/1.1 422 ") == 3
    assert answer.count(b"HTTP/1.1 200 ") == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b""),
        (HEAD, b" 408 "),
        (HEAD + b"\r\n" + HEAD, b" 200 "),
        (HEAD + b"\r\n\r\n\r\n", b" 200 "),
        (POST + b"Content-Length: 100\r\n\r\n{", b""),
    ],
    ids=["nothing", "half headers", "half a second request", "line ends", "half a body"],
)
def test_a_connection_on_which_nothing_comes_is_closed(
    api: httpx.Client, sent: bytes, status: bytes
) -> None:
    with _connect(api) as connection:
        connection.sendall(sent)
        answer = _read_all(connection)
    assert status in answer


def test_a_client_that_holds_connections_open_keeps_nobody_out(api: httpx.Client) -> None:
    before = _count_closed(api, "displaced")
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(_connect(api)).sendall(HEAD)
            assert api.get("/healthz").status_code == 200
    assert _count_closed(api, "displaced") - before >= 20


def test_requests_under_way_are_not_displaced(api: httpx.Client) -> None:
    body = b'{"name": "", "source": "upload"}'
    half = POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body[:-1])
    with ExitStack() as stack:
        busy = [stack.enter_context(_connect(api)) for _ in range(8)]
        for connection in busy:
            connection.sendall(half)

        def is_full() -> bool:
            with _connect(api) as other:
                other.sendall(HEAD + b"Connection: close\r\n\r\n")
                return b" 503 " in _read_all(other)

        wait_for(is_full, "a refusal", 2)
        for connection in busy:
            connection.sendall(body[-1:])
            assert b" 422 " in connection.recv(65536)
    wait_for(lambda: api.get("/healthz").status_code == 200, "room", 5)


def test_an_answer_that_nobody_reads_does_not_hold_its_connection(api: httpx.Client) -> None:
    before = _count_closed(api, "unread")
    with _connect(api) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        _send(connection, request * 200)
        wait_for(lambda: _count_closed(api, "unread") > before, "an end", 15)
