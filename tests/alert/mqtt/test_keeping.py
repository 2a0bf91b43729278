"""What a broker holds follows the database: streams and receivers that come, change and end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from service.store.database import Database
from service.store.tables import ReceiverRow, StreamHealthRow, StreamRow
from tests.alert.mqtt.conftest import USERS
from tests.alert.mqtt.front_ends import (
    LISTENER,
    USER,
    Listener,
    add_broker,
    front_end,
    listening,
    url,
)
from tests.alert.parts import JPEG, add_event
from tests.record.rows import add_stream
from tests.support import servers
from tests.support.servers import Broker, wait_for

CONFIG = "homeassistant/device/normwatch_hook/{}/config"
OF_STREAM = (
    "nw/{}/abnormal",
    "nw/{}/abnormal/attributes",
    "nw/{}/watched",
    "nw/{}/watched/attributes",
)


def _topics(stream_id: str) -> set[str]:
    return {topic.format(stream_id) for topic in (CONFIG, *OF_STREAM)}


def _wait(listener: Listener, *topics: str) -> None:
    try:
        wait_for(lambda: listener.held.keys() == set(topics), "the topics", 20)
    except TimeoutError:
        assert listener.held.keys() == set(topics)


def _name(listener: Listener) -> object:
    held = listener.held.get(CONFIG.format("cam"))
    return held and json.loads(held)["device"]["name"]


def test_streams_come_are_renamed_and_go(
    database: Database, broker: Broker, listener: Listener
) -> None:
    add_stream(database)
    add_broker(database, url(broker))
    foreign = {"nw/other/abnormal": b"ON", "nw/x/abnormal/attributes": b'{"receiver_id":"y"}'}
    for topic, payload in foreign.items():
        listener.publish(topic, payload)
    with front_end(database):
        _wait(listener, "nw/status", *_topics("cam"), *foreign)
        add_stream(database, "new")
        _wait(listener, "nw/status", *_topics("cam"), *_topics("new"), *foreign)
        with database.write() as session:
            session.execute(update(StreamRow).where(StreamRow.id == "cam").values(name="#/+ Ü"))
        wait_for(lambda: _name(listener) == "#/+ Ü", "the new name")
        with database.write() as session:
            session.execute(update(StreamRow).where(StreamRow.id == "new").values(deleted_at=1.0))
        _wait(listener, "nw/status", *_topics("cam"), *foreign)
    wait_for(lambda: listener.held["nw/status"] == b"offline", "the last word")
    assert {topic: listener.held[topic] for topic in foreign} == foreign


def test_a_stream_is_published_as_it_is_now(
    database: Database, broker: Broker, listener: Listener
) -> None:
    add_stream(database)
    add_event(database, "evt_1")
    add_stream(database, "over")
    add_event(database, "evt_2", stream="over", ended_at=2.0)
    down = StreamHealthRow(
        stream_id="cam", began_at=1.0, state="stalled", reason="no picture came", notified=True
    )
    with database.write() as session:
        session.add(down)
    add_broker(database, url(broker))
    with front_end(database):
        listener.wait("nw/cam/abnormal", b"ON")
        listener.wait("nw/cam/watched", b"OFF")
        listener.wait("nw/over/abnormal", b"OFF")
        listener.wait("nw/over/watched", b"ON")
    assert listener.held["nw/cam/picture"] == listener.held["nw/over/picture"] == JPEG
    assert listener.json("nw/cam/abnormal/attributes")["event_id"] == "evt_1"
    assert listener.json("nw/over/abnormal/attributes")["event_id"] == "evt_2"
    assert listener.json("nw/cam/watched/attributes")["reason"] == "no picture came"


def test_a_broker_that_lost_all_is_filled_again(
    database: Database, broker: Broker, listener: Listener
) -> None:
    add_stream(database)
    add_broker(database, url(broker))
    with front_end(database):
        _wait(listener, "nw/status", *_topics("cam"))
        broker.kill()
        (broker.folder / "mosquitto.db").unlink(missing_ok=True)
        listener.held.clear()
        broker.start()
        _wait(listener, "nw/status", *_topics("cam"))
    assert (listener.held["nw/cam/abnormal"], listener.held["nw/cam/watched"]) == (b"OFF", b"ON")


def test_a_stream_that_is_deleted_while_the_broker_is_away_is_cleared_later(
    database: Database, broker: Broker, listener: Listener
) -> None:
    add_stream(database)
    add_stream(database, "gone")
    add_broker(database, url(broker))
    with front_end(database):
        _wait(listener, "nw/status", *_topics("cam"), *_topics("gone"))
        broker.stop()
        with database.write() as session:
            session.execute(update(StreamRow).where(StreamRow.id == "gone").values(deleted_at=1.0))
        listener.held.clear()
        broker.start()
        listener.wait_ready()
        _wait(listener, "nw/status", *_topics("cam"))
    assert not any(topic.startswith("nw/gone/") for topic in listener.held)


def test_what_is_not_notified_is_not_published(
    database: Database, broker: Broker, listener: Listener
) -> None:
    add_stream(database)
    add_stream(database, "other", receiver_ids=[])
    add_broker(database, url(broker, query="?discovery=off"))
    with front_end(database):
        _wait(listener, "nw/status", *(topic.format("cam") for topic in OF_STREAM))
        with database.write() as session:
            session.get_one(ReceiverRow, "hook").event_types = ["stream.down", "stream.recovered"]
        _wait(listener, "nw/status", "nw/cam/watched", "nw/cam/watched/attributes")
    assert not any("other" in topic for topic in listener.held)


def test_what_the_broker_refuses_stops_nothing_else(
    database: Database, mosquitto_program: str, tmp_path: Path
) -> None:
    rules = f"user {USER}\ntopic readwrite nw/#\nuser {LISTENER}\ntopic read #\n"
    broker = servers.mosquitto(tmp_path, USERS, rules=rules, max_packet_bytes=5000)
    broker.start()
    for stream_id in ("cam", "other"):
        add_stream(database, stream_id)
        add_event(database, f"evt_{stream_id}", stream=stream_id, picture=JPEG + bytes(9000))
    add_broker(database, url(broker))
    states = [topic.format(stream_id) for topic in OF_STREAM for stream_id in ("cam", "other")]
    try:
        with listening(broker) as listener, front_end(database):
            # Neither configurations, which aren't allowed, nor pictures, which are too large.
            _wait(listener, "nw/status", *states)
        assert listener.held["nw/other/abnormal"] == b"ON"
    finally:
        broker.stop()


@pytest.mark.parametrize("how", ["deleted", "switched off", "moved"])
def test_a_receiver_that_ends_leaves_nothing_behind(
    database: Database, broker: Broker, listener: Listener, how: str
) -> None:
    add_stream(database)
    add_event(database, "evt_1")
    add_broker(database, url(broker))
    moved = [topic.format("cam").replace("nw/", "elsewhere/") for topic in OF_STREAM]
    left = [CONFIG.format("cam"), "elsewhere/status", "elsewhere/cam/picture", *moved]
    with front_end(database), front_end(database):
        _wait(listener, "nw/status", "nw/cam/picture", *_topics("cam"))
        with database.write() as session:
            match how:
                case "deleted":
                    session.execute(delete(ReceiverRow))
                case "switched off":
                    session.execute(update(ReceiverRow).values(enabled=False))
                case "moved":
                    new = url(broker, prefix="elsewhere")
                    session.execute(update(ReceiverRow).values(url=new))
        _wait(listener, *(left if how == "moved" else []))
    assert not any(topic.startswith("nw/") for topic in listener.held)
