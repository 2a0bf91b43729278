"""What tests of brokers begin with: a subscriber, and the parts of a front end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from service.alert.deliverer import Deliverer
from service.alert.mqtt.broker_session import ConnectOptions
from service.alert.mqtt.broker_updates import BrokerUpdates
from service.alert.mqtt.brokers import Brokers
from service.alert.senders import make_senders
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database
from service.store.tables import ReceiverRow
from tests.support.servers import Broker, wait_for

USER, PASSWORD = "nw", "p@ss/w:o#rd?%41"
"""What stands in the URL; the `%41` is an A."""
REAL_PASSWORD = "p@ss/w:o#rd?A"
LISTENER, SECRET = "listener", "listens"


def url(broker: Broker, prefix: str = "nw", password: str = PASSWORD, query: str = "") -> str:
    """Make a receiver's URL."""
    return f"mqtt://{USER}:{password}@127.0.0.1:{broker.port}/{prefix}{query}"


class Listener:
    """A subscriber to everything."""

    def __init__(self, broker: Broker) -> None:
        self.got: list[tuple[str, bytes]] = []
        """All that came since it subscribed, except what was retained before."""
        self.ids: list[str] = []
        """The ids that came with messages."""
        self.held: dict[str, bytes] = {}
        """What is retained now."""
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(LISTENER, SECRET)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_disconnect = lambda *_: self._ready.clear()
        self._client.on_message = self._receive
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self.wait_ready()

    def _receive(self, _: Client, __: object, message: MQTTMessage) -> None:
        payload = bytes(message.payload)
        if not message.retain:
            self.got.append((message.topic, payload))
            user = dict(getattr(message.properties, "UserProperty", []))
            if "webhook-id" in user:
                self.ids.append(user["webhook-id"])
        if message.topic.endswith(("/events", "/test")):
            return
        if payload:
            self.held[message.topic] = payload
        else:
            self.held.pop(message.topic, None)

    def wait_ready(self) -> None:
        """Wait until it is subscribed, again."""
        assert self._ready.wait(20)

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        """Publish as another program."""
        self._client.publish(topic, payload, 1, retain).wait_for_publish(20)

    def wait(self, topic: str, payload: bytes | None) -> None:
        """Wait until that is retained; None: nothing."""
        wait_for(lambda: self.held.get(topic) == payload, f"{payload!r} in {topic}", 20)

    def json(self, topic: str) -> Any:
        """Read what is retained."""
        return json.loads(self.held[topic])

    def of(self, topic: str) -> list[bytes]:
        """Return what came there, in order."""
        return [payload for name, payload in self.got if name == topic]

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listening(broker: Broker) -> Iterator[Listener]:
    """Subscribe for as long as the block."""
    made = Listener(broker)
    try:
        yield made
    finally:
        made.close()


class FrontEnd:
    """The parts of a front end that notify brokers."""

    def __init__(self, database: Database, clock: Callable[[], float], timeout_s: float) -> None:
        settings = Settings(allow_private_receivers=True, receiver_timeout_s=timeout_s)
        self.brokers = Brokers(ConnectOptions(True), timeout_s)
        self.senders = make_senders(settings, self.brokers)
        self.deliverer = Deliverer(database, settings, Metrics(), self.senders, clock=clock)
        self._updates = BrokerUpdates(database, Metrics(), self.brokers)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._updates.run, args=(self._stop,))
        self._thread.start()

    def close(self) -> None:
        """Stop it as at shutdown."""
        self._stop.set()
        self._thread.join()
        self.brokers.close()


@contextmanager
def front_end(
    database: Database, *, clock: Callable[[], float] = time.time, timeout_s: float = 5.0
) -> Iterator[FrontEnd]:
    """Run one for as long as the block; its deliveries go by the clock."""
    made = FrontEnd(database, clock, timeout_s)
    try:
        yield made
    finally:
        made.close()


def add_broker(
    database: Database,
    url: str,
    receiver_id: str = "hook",
    *,
    event_types: tuple[str, ...] = (),
    enabled: bool = True,
) -> None:
    """Register a receiver of kind MQTT."""
    row = ReceiverRow(
        id=receiver_id,
        kind="mqtt",
        url=url,
        secret="",
        event_types=list(event_types),
        enabled=enabled,
        created_at=1.0,
    )
    with database.write() as session:
        session.add(row)
