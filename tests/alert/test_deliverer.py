"""From the outbox to real receivers: signed, in order, and again when needed."""

from __future__ import annotations

import json
import threading
import time
from functools import partial

import pytest
from pytest_httpserver import HTTPServer
from sqlalchemy import update
from standardwebhooks import Webhook
from werkzeug import Request, Response

from service.alert import claims
from service.metrics import Metrics
from service.store.database import Database
from service.store.tables import DeliveryRow, ReceiverRow
from tests.alert.parts import (
    NOW,
    Clock,
    Receiver,
    add_message,
    make_deliverer,
    message_row,
)
from tests.record.rows import SECRET, add_receiver
from tests.support.servers import wait_for


@pytest.fixture
def receiver(httpserver: HTTPServer) -> Receiver:
    """A receiver at the path /."""
    return Receiver(httpserver)


def _read_receiver(database: Database) -> ReceiverRow:
    with database.read() as session:
        return session.get_one(ReceiverRow, "hook")


def test_a_message_is_delivered_once_with_a_signature_that_verifies(
    each_database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    add_receiver(each_database, url=receiver.url)
    add_message(each_database)
    metrics = Metrics()
    clock = Clock()
    clock.now = now = time.time()  # what verifies compares with the real time
    deliverer = make_deliverer(each_database, clock, metrics=metrics)
    assert deliverer.step() == 1
    assert deliverer.step() == 0
    ((headers, body),) = receiver.got
    assert Webhook(SECRET).verify(body, headers) == json.loads(message_row(each_database).body)
    row = message_row(each_database)
    assert (row.state, row.attempts, row.last_status) == ("delivered", 1, 200)
    assert row.delivered_at == pytest.approx(now)
    labels = {"outcome": "delivered"}
    assert metrics.registry.get_sample_value("normwatch_deliveries_total", labels) == 1


def test_a_failed_message_comes_again_with_the_same_id(
    each_database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    receiver.statuses = [500, 302]
    add_receiver(each_database, url=receiver.url)
    add_message(each_database)
    clock = Clock()
    deliverer = make_deliverer(each_database, clock)
    assert deliverer.step() == 1
    row = message_row(each_database)
    assert (row.state, row.last_status) == ("waiting", 500)
    assert row.last_error == "the receiver answered 500"
    assert 5 <= row.next_attempt_at - NOW <= 6
    assert deliverer.step() == 0
    clock.now += 7
    assert deliverer.step() == 1
    assert 30 <= message_row(each_database).next_attempt_at - clock.now <= 36
    clock.now += 40
    assert deliverer.step() == 1
    assert receiver.ids == ["msg_1"] * 3
    assert len({body for _, body in receiver.got}) == 1
    row = message_row(each_database)
    assert (row.state, row.attempts, row.last_error) == ("delivered", 3, None)


def test_each_attempt_is_signed_for_its_own_time(database: Database, receiver: Receiver) -> None:
    receiver.statuses = [500]
    add_receiver(database, url=receiver.url)
    add_message(database)
    clock = Clock()
    deliverer = make_deliverer(database, clock)
    deliverer.step()
    clock.now += 60
    deliverer.step()
    stamps = [int(headers["Webhook-Timestamp"]) for headers, _ in receiver.got]
    assert stamps == [NOW, NOW + 60]


def test_a_message_is_given_up_after_its_last_attempt(
    database: Database, receiver: Receiver
) -> None:
    receiver.statuses = [500] * 9
    add_receiver(database, url=receiver.url)
    add_message(database)
    clock = Clock()
    deliverer = make_deliverer(database, clock, max_attempts=3)
    for _ in range(5):
        deliverer.step()
        clock.now += 86_400 / 2
    assert len(receiver.got) == 3
    assert (message_row(database).state, message_row(database).attempts) == ("dead", 3)
    assert _read_receiver(database).enabled


def test_gone_disables_the_receiver_and_all_that_waits_for_it(
    each_database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    receiver.statuses = [410]
    add_receiver(each_database, url=receiver.url)
    add_receiver(each_database, "other", url=receiver.url)
    add_message(each_database, "msg_1")
    add_message(each_database, "msg_2")
    deliverer = make_deliverer(each_database, Clock())
    deliverer.step()
    assert receiver.ids == ["msg_1"]
    assert [message_row(each_database, name).state for name in ("msg_1", "msg_2")] == [
        "dead",
        "dead",
    ]
    row = _read_receiver(each_database)
    assert not row.enabled
    assert row.disabled_reason == "the receiver answered 410 Gone"
    add_message(each_database, "msg_3", receiver="other")
    assert deliverer.step() == 1


@pytest.mark.parametrize("status", [410, 429])
def test_what_an_old_receiver_asked_for_doesnt_concern_the_next_one(
    each_database: Database, httpserver: HTTPServer, status: int
) -> None:
    """The receiver's URL is changed while the old one's answer is under way."""
    new = Receiver(httpserver, "/new")

    def answer(_: Request) -> Response:
        with each_database.write() as session:
            session.get_one(ReceiverRow, "hook").url = new.url
        return Response("", status, headers={"Retry-After": "5000"})

    httpserver.expect_request("/old").respond_with_handler(answer)
    add_receiver(each_database, url=httpserver.url_for("/old"))
    add_message(each_database, "msg_1")
    add_message(each_database, "msg_2", stream="second")
    make_deliverer(each_database, Clock()).step()
    row = _read_receiver(each_database)
    assert (row.enabled, row.held_until) == (True, None)
    assert new.ids == (["msg_1", "msg_2"] if status == 410 else ["msg_2"])


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(database: Database, receiver: Receiver, status: int) -> None:
    receiver.statuses = [status, status]
    receiver.headers = {"Retry-After": "1000"}
    add_receiver(database, url=receiver.url)
    add_message(database)
    clock = Clock()
    deliverer = make_deliverer(database, clock)
    deliverer.step()
    clock.now += 999
    assert deliverer.step() == 0
    clock.now += 202
    receiver.headers = {"Retry-After": "9999999"}
    assert deliverer.step() == 1
    assert message_row(database).next_attempt_at <= clock.now + 1.2 * 86_400
    assert message_row(database).next_attempt_at >= clock.now + 86_400


def test_retry_after_holds_all_that_waits_for_the_receiver(
    each_database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    receiver.statuses = [429]
    receiver.headers = {"Retry-After": "1000"}
    add_receiver(each_database, url=receiver.url)
    add_message(each_database, "msg_1")
    add_message(each_database, "msg_2", stream="second")
    clock = Clock()
    deliverer = make_deliverer(each_database, clock)
    deliverer.step()
    add_message(each_database, "msg_3", stream="third")
    clock.now += 999
    assert deliverer.step() == 0
    clock.now += 202
    deliverer.step()
    assert receiver.ids == ["msg_1", "msg_1", "msg_2", "msg_3"]


def test_retry_after_of_another_status_means_nothing(
    database: Database, receiver: Receiver
) -> None:
    receiver.statuses = [500]
    receiver.headers = {"Retry-After": "1000"}
    add_receiver(database, url=receiver.url)
    add_message(database)
    make_deliverer(database, Clock()).step()
    assert message_row(database).next_attempt_at <= NOW + 6


def test_a_private_receiver_is_refused_and_a_redirect_to_one_not_followed(
    database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    add_receiver(database, url=receiver.url.replace("127.0.0.1", "localhost"))
    add_message(database)
    make_deliverer(database, Clock(), allow_private=False).step()
    assert receiver.got == []
    assert "may not call" in (message_row(database).last_error or "")
    assert message_row(database).state == "waiting"


def test_a_failure_is_logged_without_url_and_secret(
    database: Database, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.statuses = [500]
    add_receiver(database, url=receiver.url + "?token=hidden")
    add_receiver(database, "unreachable", url="http://no-such-host.invalid/?token=hidden")
    add_message(database)
    add_message(database, "msg_2", receiver="unreachable")
    make_deliverer(database, Clock()).step()
    logged = "".join(capfd.readouterr())
    assert "the receiver answered 500" in logged
    assert "can't be found" in logged
    assert "hidden" not in logged
    assert SECRET not in logged
    assert "hidden" not in (message_row(database, "msg_2").last_error or "hidden")


def test_messages_of_a_stream_keep_their_order(
    each_database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    receiver.statuses = [500]
    add_receiver(each_database, url=receiver.url)
    for message_id in ("msg_1", "msg_2", "msg_3"):
        add_message(each_database, message_id)
    add_message(each_database, "msg_other", stream="other")
    clock = Clock()
    deliverer = make_deliverer(each_database, clock)
    deliverer.step()
    assert receiver.ids == ["msg_1", "msg_other"]
    clock.now += 10
    deliverer.step()
    assert receiver.ids == ["msg_1", "msg_other", "msg_1", "msg_2", "msg_3"]


def test_a_message_that_was_given_up_lets_the_next_one_go(
    database: Database, receiver: Receiver
) -> None:
    receiver.statuses = [500]
    add_receiver(database, url=receiver.url)
    add_message(database, "msg_1")
    add_message(database, "msg_2")
    make_deliverer(database, Clock(), max_attempts=1).step()
    assert receiver.ids == ["msg_1", "msg_2"]


def test_a_slow_receiver_keeps_nobody_else_waiting(
    database: Database, httpserver: HTTPServer
) -> None:
    """The slow one answers only after the quick one has got all its messages."""
    quick = Receiver(httpserver, "/quick")
    released = threading.Event()
    under_way: list[str] = []

    def slow(request: Request) -> Response:
        under_way.append(request.headers["Webhook-Id"])
        released.wait(60)
        return Response("")

    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as other:
        other.expect_request("/slow").respond_with_handler(slow)
        add_receiver(database, "a-slow", url=other.url_for("/slow"))
        add_receiver(database, "b-quick", url=quick.url)
        add_message(database, "msg_slow_1", receiver="a-slow")
        add_message(database, "msg_slow_2", stream="second", receiver="a-slow")
        stop = threading.Event()
        deliverer = make_deliverer(database, Clock(), timeout_s=60.0)
        thread = threading.Thread(target=deliverer.run, args=(stop,))
        thread.start()
        try:
            wait_for(lambda: under_way, "the slow receiver's first request")
            for i in range(3):
                add_message(database, f"msg_{i}", receiver="b-quick")
                wait_for(partial(quick.has, i + 1), "the quick receiver's message")
            assert under_way == ["msg_slow_1"]  # one at a time to a receiver
            released.set()
            wait_for(
                lambda: message_row(database, "msg_slow_2").state == "delivered", "the slow ones"
            )
        finally:
            released.set()
            stop.set()
            thread.join()
    assert quick.ids == ["msg_0", "msg_1", "msg_2"]


def test_a_kill_between_sending_and_commit_sends_the_same_message_again(
    each_database: Database, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver(httpserver)
    add_receiver(each_database, url=receiver.url)
    add_message(each_database)
    clock = Clock()

    def dies(*_: object, **__: object) -> bool:
        raise RuntimeError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(claims, "settle_delivery", dies)
        make_deliverer(each_database, clock).step()
    assert message_row(each_database).state == "waiting"
    deliverer = make_deliverer(each_database, clock)
    assert deliverer.step() == 0
    clock.now += 60
    assert deliverer.step() == 1
    assert receiver.ids == ["msg_1", "msg_1"]
    assert message_row(each_database).state == "delivered"


def test_a_message_whose_last_attempt_was_cut_off_is_given_up(database: Database) -> None:
    add_receiver(database)
    add_message(database)
    with database.write() as session:
        session.execute(update(DeliveryRow).values(attempts=12))
    assert make_deliverer(database, Clock()).step() == 0
    assert message_row(database).state == "dead"


def test_several_front_ends_send_each_message_once(
    each_database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    add_receiver(each_database, url=receiver.url)
    names = [f"msg_{i:02}" for i in range(24)]
    for i, name in enumerate(names):
        add_message(each_database, name, stream=f"cam{i % 6}")
    start = threading.Barrier(3)

    def deliver() -> None:
        deliverer = make_deliverer(each_database, Clock())
        start.wait()
        while deliverer.step():
            pass

    threads = [threading.Thread(target=deliver) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    make_deliverer(each_database, Clock()).step()
    assert sorted(receiver.ids) == names
    for i in range(6):
        of_stream = [name for name in receiver.ids if int(name[4:]) % 6 == i]
        assert of_stream == sorted(of_stream)


def test_a_disabled_receiver_gets_nothing(database: Database, receiver: Receiver) -> None:
    add_receiver(database, url=receiver.url, enabled=False)
    add_message(database)
    assert make_deliverer(database, Clock()).step() == 0
