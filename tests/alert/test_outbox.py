"""Messages that are written with what they tell of."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from service.alert.outbox import EventType, enqueue, iso8601
from service.store.database import Database
from service.store.tables import DeliveryRow, StreamRow, WebhookRow
from tests.alert.parts import event_data
from tests.record.rows import add_stream, add_webhook

NOW = 1795507200.25


def _enqueue(
    database: Database,
    event_type: EventType = EventType.STARTED,
    *,
    event_id: str = "evt_1",
    now: float = NOW,
) -> int:
    with database.write() as session:
        stream = session.get_one(StreamRow, "cam")
        data = event_data(event_id, NOW)
        return enqueue(session, stream=stream, event_type=event_type, data=data, now=now)


def _rows(database: Database) -> list[DeliveryRow]:
    with database.read() as session:
        return list(session.scalars(select(DeliveryRow).order_by(DeliveryRow.sequence)))


def test_a_message_holds_the_event_as_compact_json(each_database: Database) -> None:
    add_stream(each_database)
    add_webhook(each_database)
    assert _enqueue(each_database) == 1
    (row,) = _rows(each_database)
    assert row.body.startswith('{"type":"event.started","timestamp":"2026-11-24T08:00:00.250Z",')
    assert ": " not in row.body.replace("The cam", "")
    data = json.loads(row.body)["data"]
    assert data["event_id"] == "evt_1"
    assert data["ended_at"] is None
    assert data["region"] == [0.0, 0.25, 0.5, 1.0]
    assert row.id.startswith("msg_")
    assert (row.state, row.attempts, row.next_attempt_at) == ("waiting", 0, NOW)


def test_the_same_message_is_written_once(each_database: Database) -> None:
    add_stream(each_database)
    add_webhook(each_database)
    assert _enqueue(each_database) == 1
    assert _enqueue(each_database) == 0
    assert _enqueue(each_database, EventType.ENDED) == 1
    assert _enqueue(each_database, event_id="evt_2") == 1
    assert len({row.id for row in _rows(each_database)}) == 3


def test_only_webhooks_that_want_it_are_told(database: Database) -> None:
    add_stream(database, webhook_ids=["all", "ends", "off"])
    add_webhook(database, "all")
    add_webhook(database, "ends", event_types=["event.ended"])
    add_webhook(database, "off", enabled=False)
    add_webhook(database, "other-streams")
    assert _enqueue(database, EventType.STARTED) == 1
    assert _enqueue(database, EventType.ENDED) == 2
    told = {(row.webhook_id, row.event_type) for row in _rows(database)}
    assert told == {("all", "event.started"), ("all", "event.ended"), ("ends", "event.ended")}


def test_a_webhook_may_name_its_streams(database: Database) -> None:
    add_stream(database)
    for ident, stream_ids in (("all", None), ("this", ["cam", "x"]), ("other", ["x"]), ("no", [])):
        add_webhook(database, ident)
        with database.write() as session:
            session.get_one(WebhookRow, ident).stream_ids = stream_ids
    assert _enqueue(database) == 2
    assert {row.webhook_id for row in _rows(database)} == {"all", "this"}


def test_a_stream_with_an_empty_list_tells_nobody(database: Database) -> None:
    add_stream(database, webhook_ids=[])
    add_webhook(database)
    assert _enqueue(database) == 0


def test_messages_keep_their_order_when_the_clock_is_set_back(each_database: Database) -> None:
    add_stream(each_database)
    add_webhook(each_database)
    for event, now in (("evt_1", NOW), ("evt_2", NOW), ("evt_3", NOW - 3600.0)):
        _enqueue(each_database, event_id=event, now=now)
    order = [json.loads(row.body)["data"]["event_id"] for row in _rows(each_database)]
    assert order == ["evt_1", "evt_2", "evt_3"]


@pytest.mark.parametrize("time_s", [-1e18, 0.0, 1e18])
def test_a_strange_time_is_written_as_the_nearest_that_can_be(time_s: float) -> None:
    assert iso8601(time_s)[:4] in ("1970", "9999")
