"""Waiting messages in the database: claimed, settled, cleared away, counted."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import select, update

from service.alert import claims
from service.alert.attempts import Attempt
from service.metrics import Metrics
from service.store.database import Database
from service.store.tables import DeliveryRow
from tests.alert.parts import (
    NOW,
    Clock,
    add_message,
    attempt_rows,
    make_deliverer,
    message_row,
)
from tests.record.rows import add_receiver


def test_a_result_that_comes_too_late_changes_nothing(each_database: Database) -> None:
    """Its claim has run out, and another front end has claimed the message since."""
    add_receiver(each_database)
    add_message(each_database)
    claim = partial(claims.claim, receiver_id="hook", hold_s=10.0, max_attempts=5)
    with each_database.write() as session:
        first = claim(session, now=NOW)
        assert claim(session, now=NOW) is None
    with each_database.write() as session:
        second = claim(session, now=NOW + 11)
    assert first is not None
    assert second is not None
    assert (first.message.id, first.attempts) == ("msg_1", 1)
    assert (second.message.id, second.attempts) == ("msg_1", 2)
    late = Attempt(NOW, 11.0, 500, "", "the receiver answered 500")
    quick = Attempt(NOW + 11, 0.1, 200, "", None)
    with each_database.write() as session:
        assert not claims.settle_dead(session, first, late)
        assert claims.settle_delivery(session, second, quick, now=NOW + 12)
    assert message_row(each_database).state == "delivered"
    assert [row.status for row in attempt_rows(each_database)] == [500, 200]


def test_old_and_surplus_messages_go(
    each_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_receiver(each_database)
    ages_days = {"old": 40, "older": 50, "recent": 20, "waiting": 1, "stuck": 4}
    for name, days in ages_days.items():
        add_message(each_database, name)
        state = "waiting" if name in ("waiting", "stuck") else "delivered"
        with each_database.write() as session:
            session.execute(
                update(DeliveryRow)
                .where(DeliveryRow.id == name)
                .values(created_at=NOW - 86_400 * days, state=state)
            )

    def clear() -> set[str]:
        with each_database.write() as session:
            claims.clear(session, NOW)
        with each_database.read() as session:
            return set(session.scalars(select(DeliveryRow.id)))

    monkeypatch.setattr(claims, "CLEAR_ROWS", 1)
    assert clear() == {"old", "recent", "waiting", "stuck"}
    assert clear() == {"recent", "waiting", "stuck"}
    assert message_row(each_database, "stuck").state == "dead"
    assert message_row(each_database, "waiting").state == "waiting"
    monkeypatch.setattr(claims, "KEEP_FINISHED_ROWS", 1)
    assert clear() == {"waiting", "stuck"}


def test_waiting_and_dead_messages_are_counted_once_a_minute(each_database: Database) -> None:
    add_receiver(each_database, enabled=False)
    clock, metrics = Clock(), Metrics()
    deliverer = make_deliverer(each_database, clock, metrics=metrics)

    def counted() -> dict[str, float]:
        (family,) = metrics.messages.collect()
        return {sample.labels["state"]: sample.value for sample in family.samples}

    for name in ("msg_1", "msg_2", "msg_3"):
        add_message(each_database, name)
    deliverer.step()
    assert counted() == {"waiting": 3, "dead": 0}
    with each_database.write() as session:
        session.execute(update(DeliveryRow).where(DeliveryRow.id == "msg_2").values(state="dead"))
        session.execute(
            update(DeliveryRow).where(DeliveryRow.id == "msg_3").values(state="delivered")
        )
    deliverer.step()
    assert counted() == {"waiting": 3, "dead": 0}
    clock.now += 61
    deliverer.step()
    assert counted() == {"waiting": 1, "dead": 1}
