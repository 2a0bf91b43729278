"""From what is recorded to a real broker: what is published, in which order, and what is held."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from redis import Redis
from sqlalchemy import select, update

from service.alert.attempts import Message, Undelivered
from service.alert.claims import make_receiver
from service.alert.outbox import EventType, OutageData, RecoveryData, enqueue, iso8601
from service.alert.replays import replay
from service.metrics import Metrics
from service.record.recorder import Recorder
from service.settings import Settings
from service.store.database import Database
from service.store.tables import DeliveryRow, EventRow, ReceiverRow, StreamRow
from tests.alert.mqtt.front_ends import FrontEnd, Listener, add_broker, front_end, url
from tests.alert.parts import JPEG
from tests.record.rows import Worker, add_stream, frame_score
from tests.support.servers import Broker, wait_for

ABNORMAL, EVENT, PICTURE = "nw/cam/abnormal", "nw/cam/abnormal/attributes", "nw/cam/picture"
WATCHED, OUTAGE = "nw/cam/watched", "nw/cam/watched/attributes"
EVENTS = "nw/cam/events"
LATER_S = 3600.0


class Clock:
    """The real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    """The deliverer's clock."""
    return Clock()


@pytest.fixture
def front(
    database: Database, broker: Broker, listener: Listener, clock: Clock
) -> Iterator[FrontEnd]:
    """A front end with a stream whose state is published."""
    add_stream(database)
    add_broker(database, url(broker))
    with front_end(database, clock=clock) as made:
        listener.wait(ABNORMAL, b"OFF")
        listener.wait(WATCHED, b"ON")
        wait_for(lambda: len(listener.held) == 6, "all of the stream's state")
        listener.got.clear()
        yield made


def _record(database: Database, worker: Worker, first: int, *scores: float) -> None:
    settings = Settings(event_start_s=0.2, event_quiet_s=0.1)
    start = time.time()
    frames = [frame_score(first + i, score, at=start + i / 10) for i, score in enumerate(scores)]
    worker.publish("cam", frames)
    Recorder(database, worker.redis, settings, Metrics(), owner="front").step()
    with database.write() as session:
        session.execute(update(EventRow).values(picture=JPEG))


def _enqueue(database: Database, kind: EventType, data: OutageData) -> None:
    with database.write() as session:
        stream = session.get_one(StreamRow, "cam")
        enqueue(session, stream=stream, event_type=kind, data=data, now=time.time())


def test_an_event_turns_it_on_and_off(
    database: Database, redis: Redis, front: FrontEnd, listener: Listener
) -> None:
    worker = Worker(redis)
    _record(database, worker, 0, 0.9, 0.9, 0.9)
    assert front.deliverer.step() == 1
    wait_for(lambda: listener.of(EVENTS), "the message")
    # A subscriber to it finds the rest.
    assert [topic for topic, _ in listener.got] == [PICTURE, EVENT, ABNORMAL, EVENTS]
    assert (listener.held[ABNORMAL], listener.held[PICTURE]) == (b"ON", JPEG)
    with database.read() as session:
        row = session.scalars(select(DeliveryRow)).one()
        event = session.scalars(select(EventRow)).one()
    assert listener.of(EVENTS) == [row.body.encode()]
    assert listener.ids == [row.id]
    assert listener.json(EVENT) == {
        "event_id": event.id,
        "started_at": iso8601(event.started_at),
        "ended_at": None,
        "peak_score": 0.9,
        "threshold": 0.5,
        "region": [0.1, 0.2, 0.3, 0.4],
        "cause": "motion",
        "label": None,
        "updated_at": json.loads(row.body)["timestamp"],
        "receiver_id": "hook",
    }
    _record(database, worker, 3, 0.1, 0.1)
    assert front.deliverer.step() == 1
    listener.wait(ABNORMAL, b"OFF")
    wait_for(lambda: len(listener.of(EVENTS)) == 2, "the other message")
    assert listener.json(EVENT)["ended_at"] is not None
    assert [json.loads(each)["type"] for each in listener.of(EVENTS)] == [
        "event.started",
        "event.ended",
    ]


def test_an_outage_turns_watched_off(
    database: Database, front: FrontEnd, listener: Listener
) -> None:
    down = OutageData("out_1", "cam", "The cam", "stalled", "no picture came", iso8601(1.0))
    _enqueue(database, EventType.DOWN, down)
    assert front.deliverer.step() == 1
    listener.wait(WATCHED, b"OFF")
    outage = listener.json(OUTAGE)
    assert (outage["state"], outage["reason"]) == ("stalled", "no picture came")
    up = RecoveryData("out_1", "cam", "The cam", "live", "", iso8601(2.0), 1.0)
    _enqueue(database, EventType.RECOVERED, up)
    assert front.deliverer.step() == 1
    listener.wait(WATCHED, b"ON")
    assert listener.json(OUTAGE)["down_for_s"] == 1.0


def test_nothing_is_lost_while_the_broker_is_away(
    database: Database,
    redis: Redis,
    front: FrontEnd,
    broker: Broker,
    listener: Listener,
    clock: Clock,
) -> None:
    broker.stop()
    worker = Worker(redis)
    _record(database, worker, 0, 0.9, 0.9, 0.9, 0.1, 0.1)
    _record(database, worker, 5, 0.8, 0.8, 0.8, 0.1, 0.1)
    assert front.deliverer.step() == 1
    with database.read() as session:
        rows = session.scalars(select(DeliveryRow).order_by(DeliveryRow.sequence)).all()
    assert "refused" in str(rows[0].last_error)
    assert len(rows) == 4
    broker.start()
    listener.wait_ready()
    clock.ahead_s = LATER_S
    wait_for(lambda: front.deliverer.step() == 4, "the deliveries")
    wait_for(lambda: len(listener.of(EVENTS)) == 4, "the messages")
    assert listener.of(EVENTS) == [row.body.encode() for row in rows]
    assert listener.held[ABNORMAL] == b"OFF"


def test_a_replay_of_old_messages_leaves_the_state_alone(
    database: Database, redis: Redis, front: FrontEnd, listener: Listener, clock: Clock
) -> None:
    worker = Worker(redis)
    _record(database, worker, 0, 0.9, 0.9, 0.9, 0.1, 0.1)
    assert front.deliverer.step() == 2
    with database.write() as session:
        old = session.scalars(select(DeliveryRow).order_by(DeliveryRow.sequence)).all()
        body = json.loads(old[0].body) | {"timestamp": iso8601(time.time() - LATER_S)}
        old[0].body = json.dumps(body)
        replay(session, old[:1], now=time.time())
    assert front.deliverer.step() == 1
    wait_for(lambda: len(listener.of(EVENTS)) == 3, "the message again")
    assert listener.ids == [old[0].id, old[1].id, old[0].id]
    assert listener.of(ABNORMAL) == [b"ON", b"OFF"]


def test_a_test_goes_to_a_broker_whose_receiver_is_off(
    database: Database, broker: Broker, listener: Listener
) -> None:
    add_broker(database, url(broker), enabled=False)
    with database.read() as session:
        receiver = make_receiver(session.get_one(ReceiverRow, "hook"), 0.0)
    with front_end(database) as front:
        front.senders[receiver.kind].send(Message("msg_t", '{"type":"test"}', receiver), 0.0)
        wait_for(lambda: listener.of("nw/test") == [b'{"type":"test"}'], "the test")
    assert (listener.ids, listener.held) == (["msg_t"], {})


def test_a_wrong_password_is_named(database: Database, broker: Broker) -> None:
    add_broker(database, url(broker, password="wrong-secret"))
    with database.read() as session:
        receiver = make_receiver(session.get_one(ReceiverRow, "hook"), 0.0)
    body = '{"type":"test","timestamp":"t","data":{"receiver_id":"hook"}}'
    with front_end(database) as front:
        for stream_id in ("cam", None):
            message = Message("msg_1", body, receiver, stream_id)
            with pytest.raises(Undelivered, match="refused the user name or password") as caught:
                front.senders[receiver.kind].send(message, 0.0)
            assert "secret" not in str(caught.value)
