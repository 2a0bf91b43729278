"""Dead letters that are sent again: with their ids, behind what waits, in their order."""

from __future__ import annotations

from pytest_httpserver import HTTPServer
from sqlalchemy import update

from service.alert import claims
from service.alert.replays import count_dead, lock_receiver, replay, replay_dead
from service.store.database import Database
from service.store.tables import DeliveryRow
from tests.alert.parts import NOW, Clock, Receiver, add_message, make_deliverer, message_row
from tests.record.rows import add_receiver


def _add_dead(database: Database, *names: str, attempts: int = 3) -> None:
    for name in names:
        add_message(database, name)
    with database.write() as session:
        session.execute(
            update(DeliveryRow)
            .where(DeliveryRow.id.in_(names))
            .values(state="dead", attempts=attempts, last_error="the receiver answered 500")
        )


def _replay_dead(database: Database, now: float, limit: int = 1000) -> int:
    with database.write() as session:
        assert lock_receiver(session, "hook") is not None
        return replay_dead(session, "hook", now=now, limit=limit)


def test_dead_letters_come_after_what_waits_in_their_order(
    each_database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    add_receiver(each_database, url=receiver.url)
    _add_dead(each_database, "msg_1", "msg_2", "msg_3")
    add_message(each_database, "msg_4")
    add_message(each_database, "msg_5")
    assert _replay_dead(each_database, NOW, limit=2) == 2
    with each_database.read() as session:
        assert count_dead(session, "hook") == 1
    add_message(each_database, "msg_6")
    make_deliverer(each_database, Clock()).step()
    assert receiver.ids == ["msg_4", "msg_5", "msg_1", "msg_2", "msg_6"]
    assert message_row(each_database, "msg_3").state == "dead"


def test_a_replay_while_another_message_is_on_its_way_waits_for_it(
    each_database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    add_receiver(each_database, url=receiver.url)
    _add_dead(each_database, "msg_1")
    add_message(each_database, "msg_2")
    with each_database.write() as session:
        claimed = claims.claim(session, "hook", now=NOW, hold_s=10.0, max_attempts=5)
    assert claimed is not None
    assert claimed.message.id == "msg_2"
    _replay_dead(each_database, NOW)
    clock = Clock()
    deliverer = make_deliverer(each_database, clock)
    assert deliverer.step() == 0
    clock.now += 11
    deliverer.step()
    assert receiver.ids == ["msg_2", "msg_1"]


def test_a_replayed_message_has_all_its_attempts_and_its_time_before_it(
    database: Database, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    receiver.statuses = [500, 500, 500]
    add_receiver(database, url=receiver.url)
    _add_dead(database, "msg_1", attempts=12)
    clock = Clock()
    clock.now += claims.MAX_WAIT_S + 1000
    _replay_dead(database, clock.now)
    deliverer = make_deliverer(database, clock, max_attempts=3)
    deliverer.step()
    row = message_row(database)
    assert (row.state, row.attempts, row.replayed_at) == ("waiting", 13, clock.now)
    assert 5 <= row.next_attempt_at - clock.now <= 6  # as after a first attempt
    for _ in range(4):
        clock.now += 1000
        deliverer.step()
    row = message_row(database)
    assert (row.state, row.attempts) == ("dead", 15)
    assert receiver.ids == ["msg_1"] * 3


def test_an_old_claim_settles_nothing_after_a_replay(each_database: Database) -> None:
    """A front end that stood still, while its message died and was replayed and claimed again."""
    add_receiver(each_database)
    add_message(each_database)
    with each_database.write() as session:
        old = claims.claim(session, "hook", now=NOW, hold_s=10.0, max_attempts=1)
        assert old is not None
    with each_database.write() as session:
        assert claims.claim(session, "hook", now=NOW + 11, hold_s=10.0, max_attempts=1) is None
    assert message_row(each_database).state == "dead"
    _replay_dead(each_database, NOW + 20)
    with each_database.write() as session:
        new = claims.claim(session, "hook", now=NOW + 21, hold_s=10.0, max_attempts=1)
        assert new is not None
    late = claims.Attempt(NOW, 30.0, 500, "", "the receiver answered 500")
    with each_database.write() as session:
        assert not claims.settle_dead(session, old, late)
    assert message_row(each_database).state == "waiting"


def test_a_delivered_message_may_be_sent_again(database: Database, httpserver: HTTPServer) -> None:
    receiver = Receiver(httpserver)
    add_receiver(database, url=receiver.url)
    add_message(database)
    deliverer = make_deliverer(database, Clock())
    deliverer.step()
    with database.write() as session:
        replay(session, [session.get_one(DeliveryRow, "msg_1")], now=NOW)
    deliverer.step()
    assert receiver.ids == ["msg_1", "msg_1"]
    assert message_row(database).state == "delivered"
