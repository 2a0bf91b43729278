"""Messages are written with what they report, for the right receivers, and can be read back."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from service.alert.outbox import (
    EventData,
    EventType,
    Notification,
    OutageData,
    RecoveryData,
    enqueue,
    iso8601,
    parse_notification,
    serialise_notification,
)
from service.store.database import Database
from service.store.tables import DeliveryRow, ReceiverRow, StreamRow
from tests.alert.parts import event_data
from tests.record.rows import add_receiver, add_stream

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
    add_receiver(each_database)
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
    add_receiver(each_database)
    assert _enqueue(each_database) == 1
    assert _enqueue(each_database) == 0
    assert _enqueue(each_database, EventType.ENDED) == 1
    assert _enqueue(each_database, event_id="evt_2") == 1
    assert len({row.id for row in _rows(each_database)}) == 3


def test_only_receivers_that_ask_for_it_are_notified(database: Database) -> None:
    add_stream(database, receiver_ids=["all", "ends", "off"])
    add_receiver(database, "all")
    add_receiver(database, "ends", event_types=["event.ended"])
    add_receiver(database, "off", enabled=False)
    add_receiver(database, "other-streams")
    assert _enqueue(database, EventType.STARTED) == 1
    assert _enqueue(database, EventType.ENDED) == 2
    notified = {(row.receiver_id, row.event_type) for row in _rows(database)}
    assert notified == {("all", "event.started"), ("all", "event.ended"), ("ends", "event.ended")}


def test_a_receiver_may_name_its_streams(database: Database) -> None:
    add_stream(database)
    for ident, stream_ids in (("all", None), ("this", ["cam", "x"]), ("other", ["x"]), ("no", [])):
        add_receiver(database, ident)
        with database.write() as session:
            session.get_one(ReceiverRow, ident).stream_ids = stream_ids
    assert _enqueue(database) == 2
    assert {row.receiver_id for row in _rows(database)} == {"all", "this"}


def test_a_stream_with_an_empty_list_notifies_nobody(database: Database) -> None:
    add_stream(database, receiver_ids=[])
    add_receiver(database)
    assert _enqueue(database) == 0


def test_messages_keep_their_order_when_the_clock_is_set_back(each_database: Database) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    for event, now in (("evt_1", NOW), ("evt_2", NOW), ("evt_3", NOW - 3600.0)):
        _enqueue(each_database, event_id=event, now=now)
    order = [json.loads(row.body)["data"]["event_id"] for row in _rows(each_database)]
    assert order == ["evt_1", "evt_2", "evt_3"]


@pytest.mark.parametrize("time_s", [-1e18, 0.0, 1e18])
def test_a_strange_time_is_written_as_the_nearest_that_can_be(time_s: float) -> None:
    assert iso8601(time_s)[:4] in ("1970", "9999")


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        (EventType.STARTED, event_data()),
        (EventType.DOWN, OutageData("out_1", "cam", "The cam", "stalled", "no picture", "t")),
        (EventType.RECOVERED, RecoveryData("out_1", "cam", "The cam", "live", "", "t", 2.5)),
    ],
)
def test_a_body_is_read_as_it_was_written(
    event_type: EventType, data: EventData | OutageData
) -> None:
    notification = Notification(event_type.value, iso8601(NOW), data)
    assert parse_notification(serialise_notification(notification)) == notification


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        '{"type":"other","timestamp":"t","data":{}}',
        '{"type":"event.started","timestamp":"t","data":{}}',
    ],
)
def test_a_body_that_cannot_be_read_is_refused(body: str) -> None:
    with pytest.raises(ValueError):
        parse_notification(body)
