"""What is recorded of attempts, who signs them, and that slow ones leave room for others."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
from pytest_httpserver import HTTPServer
from sqlalchemy import func, select
from standardwebhooks import Webhook, WebhookVerificationError
from werkzeug import Request, Response

from service.alert import claims
from service.alert.webhook.webhook_sender import make_secret
from service.store.database import Database
from service.store.tables import DeliveryRow, ReceiverRow
from tests.alert.parts import (
    NOW,
    Clock,
    Receiver,
    add_message,
    attempt_rows,
    make_deliverer,
    message_row,
)
from tests.record.rows import SECRET, add_receiver
from tests.support.servers import wait_for


def _read_receiver(database: Database) -> ReceiverRow:
    with database.read() as session:
        return session.get_one(ReceiverRow, "hook")


def test_every_attempt_is_recorded(each_database: Database, httpserver: HTTPServer) -> None:
    receiver = Receiver(httpserver)
    receiver.statuses = [500]
    add_receiver(each_database, url=receiver.url)
    add_receiver(each_database, "unreachable", url="http://no-such-host.invalid/")
    add_message(each_database)
    add_message(each_database, "msg_2", receiver="unreachable")
    clock = Clock()
    deliverer = make_deliverer(each_database, clock)
    deliverer.step()
    clock.now += 10
    deliverer.step()
    first, second = attempt_rows(each_database)
    assert (first.at, first.status, first.answer) == (NOW, 500, "")
    assert first.error == "the receiver answered 500"
    assert (second.at, second.status, second.error) == (NOW + 10, 200, None)
    assert second.took_s > 0
    (failed, *_) = attempt_rows(each_database, "msg_2")
    assert (failed.status, failed.answer) == (None, None)
    assert "can't be found" in (failed.error or "")


def test_an_attempt_that_never_came_to_its_end_is_recorded_too(database: Database) -> None:
    add_receiver(database)
    add_message(database)
    with database.write() as session:
        claims.claim(session, "hook", now=NOW, hold_s=10.0, max_attempts=5)
    (row,) = attempt_rows(database)
    assert (row.at, row.status, row.error) == (NOW, None, claims.CUT_OFF)


def test_the_newest_attempts_of_a_message_are_kept_and_go_with_it(
    each_database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    receiver.statuses = [500] * 25
    add_receiver(each_database, url=receiver.url)
    add_message(each_database)
    clock = Clock()
    deliverer = make_deliverer(each_database, clock, max_attempts=25)
    for _ in range(25):
        deliverer.step()
        clock.now += 3 * 3600
    kept = [row.at for row in attempt_rows(each_database)]
    assert kept == [NOW + hour for hour in range(5 * 3 * 3600, 25 * 3 * 3600, 3 * 3600)]
    assert message_row(each_database).attempts == 25
    with each_database.write() as session:
        claims.clear(session, clock.now + claims.KEEP_FINISHED_S)
    assert attempt_rows(each_database) == []


def test_both_secrets_sign_until_the_old_one_expires(
    each_database: Database, httpserver: HTTPServer
) -> None:
    receiver, old = Receiver(httpserver), make_secret()
    add_receiver(each_database, url=receiver.url)
    clock = Clock()
    clock.now = now = time.time()  # what verifies compares with the real time
    with each_database.write() as session:
        row = session.get_one(ReceiverRow, "hook")
        row.old_secret, row.old_secret_until = old, now + 60
    deliverer = make_deliverer(each_database, clock)
    add_message(each_database, "msg_1")
    deliverer.step()
    clock.now += 61
    add_message(each_database, "msg_2")
    deliverer.step()
    (first, body), (second, other_body) = receiver.got
    for secret in (SECRET, old):
        Webhook(secret).verify(body, first)
    Webhook(SECRET).verify(other_body, second)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(other_body, second)
    assert _read_receiver(each_database).old_secret is None


def test_slow_receivers_however_many_leave_places_for_others(
    database: Database, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are as many slow ones as threads, each with enough messages to keep one busy."""
    monkeypatch.setattr("service.alert.deliverer.PARALLEL", 2)
    monkeypatch.setattr("service.alert.deliverer.SLOW_S", 0.05)
    quick = Receiver(httpserver, "/quick")
    stopping = threading.Event()

    def slow(_: Request) -> Response:
        stopping.wait(0.2)
        return Response("", 500)

    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as other:
        other.expect_request("/slow").respond_with_handler(slow)
        for place in range(2):
            add_receiver(database, f"slow-{place}", url=other.url_for("/slow"))
            for number in range(40):
                add_message(
                    database,
                    f"msg_{place}_{number}",
                    stream=f"cam{number}",
                    receiver=f"slow-{place}",
                )
        add_receiver(database, "quick", url=quick.url)
        add_message(database, "msg_quick", receiver="quick")
        stop = threading.Event()
        thread = threading.Thread(target=make_deliverer(database, Clock()).run, args=(stop,))
        thread.start()
        try:
            wait_for(partial(quick.has, 1), "the quick receiver's message")
            with database.read() as session:
                waiting = session.scalar(
                    select(func.count()).where(
                        DeliveryRow.receiver_id != "quick", DeliveryRow.next_attempt_at <= NOW
                    )
                )
        finally:
            stopping.set()
            stop.set()
            thread.join()
    assert waiting
