"""One request against real receivers: what is sent, where it goes, and how long it may take."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from service.alert.webhook import posting
from service.alert.webhook.posting import (
    MAX_ANSWER_BYTES,
    MAX_RETRY_AFTER_S,
    MAX_SHOWN_CHARACTERS,
    Poster,
    Undelivered,
    parse_retry_after_s,
)

LOOPBACK = "127.0.0.1"


class Names:
    """A resolver that knows one answer after the other, and repeats the last."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def _raw_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that does with its one connection what the function says; yields its port."""
    listener = socket.create_server((LOOPBACK, 0))

    def run() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            serve(connection)

    thread = threading.Thread(target=run)
    thread.start()
    with listener:
        yield int(listener.getsockname()[1])
        thread.join()


def _post(poster: Poster, url: str) -> int:
    return poster.post(url, '{"a":1}', {"webhook-id": "msg_1"}).status


def test_a_body_is_posted_as_json_under_the_hosts_name(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("", 204)
    poster = Poster(True, 20.0, Names([LOOPBACK]))
    assert _post(poster, f"http://receiver.test:{httpserver.port}/hook?key=v%20w") == 204
    (request, _) = httpserver.log[0]
    assert request.method == "POST"
    assert request.get_data() == b'{"a":1}'
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["Host"] == f"receiver.test:{httpserver.port}"
    assert request.query_string == b"key=v%20w"


def test_an_ipv6_address_keeps_its_brackets_in_the_host_header() -> None:
    with HTTPServer(host="::1", port=0) as server:
        server.expect_request("/").respond_with_data("")
        assert _post(Poster(True, 20.0), f"http://[::1]:{server.port}/") == 200
        assert server.log[0][0].headers["Host"] == f"[::1]:{server.port}"


def test_a_private_address_is_refused_before_anything_is_sent(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("")
    poster = Poster(False, 20.0)
    # The last ones are ways to write 127.0.0.1 that only the look-up understands.
    for host in (LOOPBACK, "localhost", "[::1]", "127.1", "2130706433", "0x7f.1"):
        with pytest.raises(Undelivered, match="may not call"):
            _post(poster, f"http://{host}:{httpserver.port}/")
    for addresses in (["10.0.0.1"], ["8.8.8.8", LOOPBACK], ["::ffff:127.0.0.1"]):
        with pytest.raises(Undelivered, match="may not call"):
            _post(Poster(False, 20.0, Names(addresses)), f"http://a.test:{httpserver.port}/")
    assert httpserver.log == []


def test_a_name_is_looked_up_once_and_its_checked_address_is_the_one_called(
    httpserver: HTTPServer,
) -> None:
    """A name whose second answer would be another address (DNS rebinding)."""
    httpserver.expect_request("/").respond_with_data("")
    names = Names([LOOPBACK], ["192.0.2.1"])
    assert _post(Poster(True, 20.0, names), f"http://a.test:{httpserver.port}/") == 200
    assert names.asked == ["a.test"]


def test_a_name_that_turns_to_a_private_address_is_refused_from_then_on(
    httpserver: HTTPServer,
) -> None:
    """Each request looks the name up again, and each answer is checked."""
    httpserver.expect_request("/").respond_with_data("")
    names = Names(["2001:db8::1"], [LOOPBACK], ["169.254.169.254"])
    poster = Poster(False, 20.0, names)
    for address in ("2001:db8::1", LOOPBACK, "169.254.169.254"):
        with pytest.raises(Undelivered, match=rf"is at {address}, and webhooks may not call"):
            _post(poster, f"http://a.test:{httpserver.port}/")
    assert httpserver.log == []


def test_the_next_address_is_tried_when_the_first_refuses(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("")
    names = Names(["127.0.0.2", LOOPBACK])  # the server listens on one address only
    assert _post(Poster(True, 20.0, names), f"http://a.test:{httpserver.port}/") == 200


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(httpserver: HTTPServer, status: int) -> None:
    target = {"Location": httpserver.url_for("/inside")}
    httpserver.expect_request("/hook").respond_with_data("", status, headers=target)
    httpserver.expect_request("/inside").respond_with_data("secret")
    assert _post(Poster(True, 20.0), httpserver.url_for("/hook")) == status
    assert [request.path for request, _ in httpserver.log] == ["/hook"]


def test_a_proxy_of_the_environment_is_not_used(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/").respond_with_data("")
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert _post(Poster(True, 20.0), httpserver.url_for("/")) == 200


def test_no_answer_is_an_error_that_doesnt_show_the_url() -> None:
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Undelivered, match="connection failed") as caught:
        _post(Poster(True, 20.0), f"http://{LOOPBACK}:{port}/token-in-path")
    assert "token" not in str(caught.value)
    with pytest.raises(Undelivered, match="can't be found"):
        _post(Poster(True, 20.0), "http://no-such-host.invalid/")


def test_an_answer_that_isnt_http_is_an_error() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

    with _raw_server(serve) as port, pytest.raises(Undelivered, match="connection failed"):
        _post(Poster(True, 20.0), f"http://{LOOPBACK}:{port}/")


def test_a_receiver_that_trickles_is_cut_off_at_the_time_limit() -> None:
    """Each byte comes in time, and the whole never would."""
    stopped = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not stopped.wait(0.05):
            connection.sendall(b"x")

    with _raw_server(serve) as port:
        try:
            with pytest.raises(Undelivered, match=r"no answer within 0\.5 s"):
                _post(Poster(True, 0.5), f"http://{LOOPBACK}:{port}/")
        finally:
            stopped.set()


def test_a_receiver_that_says_nothing_is_cut_off_too() -> None:
    done = threading.Event()

    def serve(_: socket.socket) -> None:
        done.wait()

    with _raw_server(serve) as port:
        try:
            with pytest.raises(Undelivered, match="no answer"):
                _post(Poster(True, 0.3), f"http://{LOOPBACK}:{port}/")
        finally:
            done.set()


def test_an_endless_answer_is_left_after_its_beginning() -> None:
    sent = 0

    def serve(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += connection.send(b"x" * MAX_ANSWER_BYTES)

    with _raw_server(serve) as port:
        assert _post(Poster(True, 60.0), f"http://{LOOPBACK}:{port}/") == 200
    assert sent < 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("body", "displayed"),
    [
        (b" taken \n", "taken"),
        (b"a\x00b\x1b[1m\r\nc", "a b [1m  c"),
        (
            "10\u00a0m,\u3000\U0001f468\u200d\U0001f467\u0085.".encode(),
            "10\u00a0m,\u3000\U0001f468\u200d\U0001f467 .",
        ),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"y" * 5000, "y" * MAX_SHOWN_CHARACTERS),
        (b"", ""),
    ],
)
def test_the_beginning_of_an_answer_is_kept_without_control_characters(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, body: bytes, displayed: str
) -> None:
    monkeypatch.setattr(posting, "is_public", lambda _: True)
    httpserver.expect_request("/").respond_with_data(body)
    assert Poster(True, 20.0).post(httpserver.url_for("/"), "{}", {}).beginning == displayed


def test_what_a_private_host_answers_is_not_kept(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("an internal page")
    answer = Poster(True, 20.0).post(httpserver.url_for("/"), "{}", {})
    assert (answer.status, answer.beginning) == (200, "")


def test_messages_go_to_the_networks_that_are_named_only(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("taken")
    url = httpserver.url_for("/")
    assert _post(Poster((ip_network("127.0.0.0/8"),), 20.0), url) == 200
    with pytest.raises(Undelivered, match="may not call"):
        _post(Poster((ip_network("10.0.0.0/8"),), 20.0), url)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for receiver.test, in one file."""
    path = tmp_path_factory.mktemp("tls") / "receiver.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    extra = ["-subj", "/CN=receiver.test", "-addext", "subjectAltName=DNS:receiver.test"]
    files = ["-keyout", str(path), "-out", str(path.with_suffix(".crt"))]
    subprocess.run([*command.split(), *extra, *files], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def test_tls_checks_the_name_though_the_connection_goes_to_an_address(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trust = ssl.create_default_context(cafile=str(certificate.with_suffix(".crt")))
    poster = Poster(True, 20.0, Names([LOOPBACK]), trust)
    with HTTPServer(host=LOOPBACK, port=0, ssl_context=context) as server:
        server.expect_request("/").respond_with_data("")
        assert _post(poster, f"https://receiver.test:{server.port}/") == 200
        with pytest.raises(Undelivered, match="certificate"):
            _post(poster, f"https://other.test:{server.port}/")
        with pytest.raises(Undelivered, match="certificate"):
            _post(Poster(True, 20.0, Names([LOOPBACK])), f"https://receiver.test:{server.port}/")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0),
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("-5", 0),
        ("soon", 0),
        ("99999999999999999999", MAX_RETRY_AFTER_S),
        ("Tue, 24 Nov 2026 08:01:00 GMT", 60),
        ("Tue, 24 Nov 2026 07:00:00 GMT", 0),
        ("Tue, 24 Nov 2099 07:00:00 GMT", MAX_RETRY_AFTER_S),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(text: str | None, seconds: float) -> None:
    now = 1795507200.0  # 2026-11-24 08:00:00 UTC
    assert parse_retry_after_s(text, now) == seconds


@given(st.text())
def test_no_retry_after_is_too_strange(text: str) -> None:
    assert 0 <= parse_retry_after_s(text, 1e9) <= MAX_RETRY_AFTER_S
