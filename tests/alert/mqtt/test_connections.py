"""Connections: which are allowed, how a front end becomes offline, and when they end."""

from __future__ import annotations

import multiprocessing
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.alert.attempts import Message, Receiver, ReceiverKind, Undelivered
from service.alert.mqtt.broker_session import BrokerSession, ConnectOptions, Publication
from service.alert.mqtt.broker_url import BrokerUrl
from service.alert.mqtt.brokers import Brokers
from service.alert.mqtt.mqtt_sender import MqttSender
from service.alert.outbox import EventType, Notification, iso8601, serialise_notification
from service.store.database import Database
from service.store.tables import ReceiverRow
from service.timers import Deadline
from tests.alert.mqtt import front_end_process
from tests.alert.mqtt.conftest import USERS
from tests.alert.mqtt.front_ends import (
    REAL_PASSWORD,
    USER,
    Listener,
    add_broker,
    front_end,
    url,
)
from tests.alert.parts import event_data
from tests.support import servers
from tests.support.servers import Broker, wait_for

LOOPBACK = "127.0.0.1"
NAMES = ("mqtt", "mqtt link")
"""The names of our threads."""


def _target(port: int, *, host: str = LOOPBACK, tls: bool = False) -> BrokerUrl:
    return BrokerUrl(host, port, tls, USER, REAL_PASSWORD, "nw", None)


def _soon() -> Deadline:
    return Deadline(20)


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in NAMES]


def test_a_killed_front_end_is_offline(
    database: Database, broker: Broker, listener: Listener
) -> None:
    add_broker(database, url(broker))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.alert.mqtt.front_end_process"])
    database_url = database.engine.url.render_as_string(hide_password=False)
    process = context.Process(target=front_end_process.run, args=(database_url,))
    process.start()
    try:
        listener.wait("nw/status", b"online")
        process.kill()
        listener.wait("nw/status", b"offline")
        # It is online again while another front end is up.
        with front_end(database):
            listener.wait("nw/status", b"online")
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL


def test_one_of_two_front_ends_is_enough(
    database: Database, broker: Broker, listener: Listener
) -> None:
    add_broker(database, url(broker))
    with front_end(database):
        with front_end(database):
            wait_for(lambda: len(listener.of("nw/status")) >= 2, "both")
        wait_for(lambda: listener.of("nw/status")[-2:] == [b"offline", b"online"], "the other one")
        assert _threads()
    listener.wait("nw/status", b"offline")
    assert not _threads()


def test_nothing_stays_of_a_receiver_that_is_deleted_or_changed(
    database: Database, broker: Broker, listener: Listener
) -> None:
    add_broker(database, url(broker))
    with front_end(database):
        listener.wait("nw/status", b"online")
        with database.write() as session:
            # The same place, written in another way.
            session.get_one(ReceiverRow, "hook").url += "?"
        wait_for(lambda: b"offline" in listener.of("nw/status"), "the end of the old connection")
        listener.wait("nw/status", b"online")
        wait_for(lambda: len(_threads()) == 2, "the end of its threads")
        with database.write() as session:
            session.delete(session.get_one(ReceiverRow, "hook"))
        wait_for(lambda: not _threads(), "the end of all")
    assert listener.held == {}


@pytest.mark.parametrize(
    ("addresses", "why"),
    [
        (["10.0.0.7"], "10.0.0.7, and webhooks may not call"),
        (["1.1.1.1", LOOPBACK], "127.0.0.1, and webhooks may not call"),
        ([], "no address"),
    ],
)
def test_an_address_inside_is_refused(addresses: list[str], why: str) -> None:
    options = ConnectOptions(False, lambda host, port: addresses)
    with pytest.raises(Undelivered, match=why):
        BrokerSession(_target(1883, host="broker.test"), options, _soon())


def test_an_unknown_host_is_named() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(Undelivered, match=r"broker\.test can't be found"):
        BrokerSession(_target(1883, host="broker.test"), ConnectOptions(True, unknown), _soon())


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are taken, and nothing is ever said."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def babbling() -> Iterator[int]:
    """A port where something else than MQTT is spoken."""

    def babble() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"\x20\x7f" + b"HTTP/1.1 400 Bad Request\r\n" * 20)

    with socket.create_server((LOOPBACK, 0)) as listener:
        thread = threading.Thread(target=babble)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join()


def test_a_broker_that_says_nothing_is_not_waited_for(silent: int) -> None:
    brokers = Brokers(ConnectOptions(True), 0.3)
    sender = MqttSender(brokers, 0.3)
    receiver = Receiver("hook", ReceiverKind.MQTT, f"mqtt://{LOOPBACK}:{silent}/nw")
    notification = Notification(EventType.STARTED, iso8601(1.0), event_data())
    body = serialise_notification(notification)
    try:
        for stream_id in (None, "cam"):
            message = Message("msg_1", body, receiver, stream_id)
            began = time.monotonic()
            with pytest.raises(Undelivered, match="didn't answer in time"):
                sender.send(message, 0.0)
            assert time.monotonic() - began < 10
    finally:
        sender.close()


def test_what_is_no_broker_is_named(babbling: int) -> None:
    with pytest.raises(Undelivered, match="broker"):
        BrokerSession(_target(babbling), ConnectOptions(True), _soon())
    assert not _threads()


def test_a_connection_leaves_no_files_open(broker: Broker) -> None:
    process = psutil.Process()
    before = process.num_fds()
    for orderly in (True, False, True):
        session = BrokerSession(_target(broker.port), ConnectOptions(True), _soon())
        session.subscribe("nw/#", _soon())
        session.publish([Publication("nw/status", b"online")], _soon())
        session.close(orderly=orderly)
        with pytest.raises(Undelivered):
            session.publish([Publication("nw/status", b"online")], _soon())
        del session
    assert process.num_fds() == before


def test_what_the_broker_does_not_allow_is_named(mosquitto_program: str, tmp_path: Path) -> None:
    rules = f"user {USER}\ntopic write nw/status\n"
    broker = servers.mosquitto(tmp_path, USERS, rules=rules)
    broker.start()
    try:
        session = BrokerSession(_target(broker.port), ConnectOptions(True), _soon())
        session.publish([Publication("nw/status", b"online")], _soon())
        with pytest.raises(Undelivered, match="nw/cam/events: Not authorized"):
            session.publish([Publication("nw/cam/events", b"{}")], _soon())
        assert session.is_up
        session.close()
    finally:
        broker.stop()


def test_tls_checks_the_name_though_the_connection_goes_to_an_address(
    mosquitto_program: str, tmp_path: Path
) -> None:
    pem, crt = tmp_path / "broker.pem", tmp_path / "broker.crt"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    extra = ["-subj", "/CN=broker.test", "-addext", "subjectAltName=DNS:broker.test"]
    files = ["-keyout", str(pem), "-out", str(crt)]
    subprocess.run([*command.split(), *extra, *files], check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + crt.read_bytes())
    broker = servers.mosquitto(tmp_path, USERS, certificate=pem)
    broker.start()
    options = ConnectOptions(True, lambda host, port: [LOOPBACK], str(crt))
    try:
        session = BrokerSession(
            _target(broker.port, host="broker.test", tls=True), options, _soon()
        )
        session.publish([Publication("nw/status", b"online")], _soon())
        session.close()
        with pytest.raises(Undelivered, match="certificate"):
            BrokerSession(_target(broker.port, host="other.test", tls=True), options, _soon())
        strangers = ConnectOptions(True, lambda host, port: [LOOPBACK])
        with pytest.raises(Undelivered, match="certificate"):
            BrokerSession(_target(broker.port, host="broker.test", tls=True), strangers, _soon())
    finally:
        broker.stop()
