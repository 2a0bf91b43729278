"""HEAD is answered as GET is, without the body, wherever GET is answered."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from service.settings import Settings
from service.store.database import Database
from service.store.tables import StreamRow
from tests.support.front_end import add_event, add_scores, client

LIVE = "/streams/cam/scores/live"
CHANGING = {"date", "content-length"}
"""Of figures, that change with each request."""


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Iterator[httpx.Client]:
    """A front end with a stream, its scores and an event with a picture."""
    with client(module_settings) as made:
        database = Database(module_settings.database)
        with database.write() as session:
            session.add(
                StreamRow(id="cam", name="yard", source="upload", model="small", created_at=1.0)
            )
        add_scores(database, "cam", [0.1] * 5000)
        add_event(database, "cam", "evt", time.time(), ended_at=time.time(), picture=b"\xff\xd8")
        database.close()
        yield made


def _paths(api: httpx.Client) -> list[str]:
    """All that GET is described for, and what isn't described."""
    described = api.get("/openapi.json").json()["paths"]
    values = {"stream_id": "cam", "event_id": "evt", "receiver_id": "none", "message_id": "none"}
    values |= {"learning_id": "none", "picture": "a.jpg", "name": "small"}
    paths = [path.format(**values) for path, methods in described.items() if "get" in methods]
    assert len(paths) > 20
    return [*paths, "/", "/openapi.json", "/static/style.css", "/streams/cam/scores?format=csv"]


def test_every_route_answers_head_with_the_headers_of_get(api: httpx.Client) -> None:
    for path in _paths(api):
        with api.stream("GET", path) as asked:
            expected = asked.headers
        answer = api.head(path)
        assert (answer.status_code, path) == (asked.status_code, path)
        assert answer.status_code != 405, path
        assert answer.content == b""
        left_out = CHANGING if path == "/metrics" else {"date"}
        # A body of unknown length comes in chunks; without a body there are none.
        left_out = left_out | {"transfer-encoding"}
        for name in expected.keys() - left_out:
            assert (path, name, answer.headers.get(name)) == (path, name, expected[name])
        assert answer.headers.keys() - left_out == expected.keys() - left_out
    assert api.head("/healthz").status_code == 200
    assert api.head("/streams/none").status_code == 404


@pytest.mark.parametrize("path", ["/healthz", "/", LIVE, "/events/export", "/streams/none"])
def test_nothing_follows_the_headers(api: httpx.Client, path: str) -> None:
    url = api.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        lines = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(lines.encode())
        received = b""
        while part := connection.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 ")
    assert received.endswith(b"\r\n\r\n")
    assert received.count(b"\r\n\r\n") == 1


def test_a_range_is_not_looked_at(api: httpx.Client) -> None:
    answer = api.head("/static/style.css", headers={"Range": "bytes=0-3"})
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) > 4


def test_where_only_others_are_allowed_head_is_not(api: httpx.Client) -> None:
    answer = api.head("/webhooks/none/test")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert "HEAD" in api.delete("/healthz").headers["Allow"]


def test_the_document_lists_no_head_and_figures_count_it(api: httpx.Client) -> None:
    described = api.get("/openapi.json").json()["paths"]
    assert all("head" not in methods for methods in described.values())
    api.head("/streams/cam")
    counted = 'normwatch_http_requests_total{method="HEAD",route="/streams/{stream_id}"'
    assert counted in api.get("/metrics").text
