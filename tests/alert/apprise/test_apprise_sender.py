"""Messages by Apprise: to a real server, as one of its services, from the outbox."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from sqlalchemy import select
from werkzeug import Request, Response

from service.alert.apprise.apprise_sender import AppriseSender, check_apprise_url
from service.alert.attempts import Message, Receiver, ReceiverKind, Undelivered
from service.alert.outbox import EventType, enqueue, iso8601
from service.errors import BadInput
from service.store.database import Database
from service.store.tables import DeliveryRow, ReceiverRow, StreamRow
from tests.alert.parts import (
    JPEG,
    NOW,
    Clock,
    add_event,
    attempt_rows,
    event_data,
    make_deliverer,
    message_row,
)
from tests.record.rows import add_receiver, add_stream

TOKEN = "aVerySecretToken"
BODY = json.dumps({"type": "test", "timestamp": iso8601(NOW), "data": {"receiver_id": "hook"}})


def _sender(folder: Path, *, allow_private: bool = True, timeout_s: float = 10.0) -> AppriseSender:
    return AppriseSender(allow_private=allow_private, timeout_s=timeout_s, data_dir=folder)


def _message(url: str) -> Message:
    return Message("msg_1", BODY, Receiver("hook", ReceiverKind.APPRISE, url))


def _url(server: HTTPServer) -> str:
    return f"json://127.0.0.1:{server.port}/{TOKEN}"


def _add_apprise(database: Database, url: str) -> None:
    add_receiver(database, url=url)
    with database.write() as session:
        row = session.get_one(ReceiverRow, "hook")
        row.kind, row.secret = ReceiverKind.APPRISE.value, ""


def _enqueue(database: Database) -> str:
    add_event(database, "evt_1")
    with database.write() as session:
        stream = session.get_one(StreamRow, "cam")
        enqueue(session, stream=stream, event_type=EventType.STARTED, data=event_data(), now=NOW)
    with database.read() as session:
        return session.scalars(select(DeliveryRow.id)).one()


def test_an_event_arrives_with_its_picture_after_a_failure(
    database: Database, httpserver: HTTPServer
) -> None:
    statuses = [500, 200]
    got: list[dict[str, object]] = []

    def answer(request: Request) -> Response:
        got.append(request.get_json())
        return Response("", statuses.pop(0))

    httpserver.expect_request(f"/{TOKEN}").respond_with_handler(answer)
    add_stream(database)
    _add_apprise(database, _url(httpserver))
    ident = _enqueue(database)
    clock = Clock()
    deliverer = make_deliverer(database, clock)
    assert deliverer.step() == 1
    row = message_row(database, ident)
    assert (row.state, row.attempts, row.last_status) == ("waiting", 1, None)
    (failed,) = attempt_rows(database, ident)
    assert failed.error is not None
    assert "500" in failed.error
    assert TOKEN not in failed.error
    clock.now += 3600
    assert deliverer.step() == 1
    assert message_row(database, ident).state == "delivered"
    assert [each["title"] for each in got] == ["The cam: something unusual"] * 2
    assert got[1]["type"] == "warning"
    (attached,) = got[1]["attachments"]  # type: ignore[misc]
    assert base64.b64decode(attached["base64"]) == JPEG
    assert attached["mimetype"] == "image/jpeg"


def test_private_addresses_are_refused_unless_allowed(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    for url in (_url(httpserver), f"json://localhost:{httpserver.port}/"):
        outcome = _sender(tmp_path, allow_private=False).send(_message(url), NOW)
        assert "may not go to such an address" in (outcome.error or "")
    assert httpserver.log == []


def test_redirects_are_not_followed(tmp_path: Path, httpserver: HTTPServer) -> None:
    target = httpserver.url_for("/elsewhere")
    httpserver.expect_request(f"/{TOKEN}").respond_with_data("", 307, {"Location": target})
    outcome = _sender(tmp_path).send(_message(_url(httpserver)), NOW)
    assert outcome.error is not None
    assert [request.path for request, _ in httpserver.log] == [f"/{TOKEN}"]


def test_a_service_that_never_answers_is_cut_off(
    tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.alert.apprise.apprise_sender.START_S", 3.0)

    def answer(_: Request) -> Response:
        time.sleep(6)
        return Response("")

    httpserver.expect_request(f"/{TOKEN}").respond_with_handler(answer)
    url = _url(httpserver) + "?rto=60"
    with pytest.raises(Undelivered, match="no answer within"):
        _sender(tmp_path, timeout_s=0.5).send(_message(url), NOW)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense://x/y", "no URL of a service that Apprise knows"),
        (f"discord://{TOKEN}", "Discord"),
        ("syslog://", "machine"),
        ("dbus://", "machine"),
        ("json://" + "x" * 2000, "longer than 2000"),
        ("", "no URL"),
        ("json://192.168.1.20/path", "private network"),
        ("apprise://localhost:8080/aVery%53ecretToken%21", "apprise"),
    ],
)
def test_urls_are_checked_without_sending(url: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as refused:
        check_apprise_url(url, allow_private=False)
    assert TOKEN not in str(refused.value)
    assert refused.value.field == "url"


@pytest.mark.parametrize(
    "url",
    [
        "discord://417429632418316298/JHZ7lQml277CDHmQKMHI8qBe7bk2ZwO5UKjCiOAF7711o33MyqU344Qpgv7Y",
        "tgram://123456789:AAaBbCcDdEeFfGgHhIiJjKkLlMmNnOoPpQq/12315544/",
        "mailto://user:password@example.com",
        "ntfy://ntfy.sh/topic",
    ],
)
def test_usual_services_are_known(url: str) -> None:
    check_apprise_url(url, allow_private=False)
