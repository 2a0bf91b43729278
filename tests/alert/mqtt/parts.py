"""What tests of brokers begin with: somebody who listens, and a front end's part of it all."""

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
from service.alert.mqtt.links import Links
from service.alert.mqtt.reconciler import Reconciler
from service.alert.mqtt.session import Dialling
from service.alert.senders import make_senders
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database
from service.store.tables import WebhookRow
from tests.support.servers import Broker, wait_for

USER, PASSWORD = "nw", "p@ss/w:o#rd?%41"
"""What stands in the URL; the `%41` is an A."""
REAL_PASSWORD = "p@ss/w:o#rd?A"
LISTENER, SECRET = "listener", "listens"


def url(broker: Broker, prefix: str = "nw", password: str = PASSWORD, query: str = "") -> str:
    """For webhooks."""
    return f"mqtt://{USER}:{password}@127.0.0.1:{broker.port}/{prefix}{query}"


class Listener:
    """A subscriber to everything."""

    def __init__(self, broker: Broker) -> None:
        self.got: list[tuple[str, bytes]] = []
        """All that came since it subscribed, but for what was retained before."""
        self.ids: list[str] = []
        """Of messages, as they came beside them."""
        self.held: dict[str, bytes] = {}
        """What is retained now."""
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(LISTENER, SECRET)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_disconnect = lambda *_: self._ready.clear()
        self._client.on_message = self._hear
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self.wait_ready()

    def _hear(self, _: Client, __: object, message: MQTTMessage) -> None:
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
        """Until it is subscribed, again."""
        assert self._ready.wait(20)

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        """Somebody else's."""
        self._client.publish(topic, payload, 1, retain).wait_for_publish(20)

    def wait(self, topic: str, payload: bytes | None) -> None:
        """Until that is retained; None: nothing."""
        wait_for(lambda: self.held.get(topic) == payload, f"{payload!r} in {topic}", 20)

    def json(self, topic: str) -> Any:
        """What is retained."""
        return json.loads(self.held[topic])

    def of(self, topic: str) -> list[bytes]:
        """What came there, in order."""
        return [payload for name, payload in self.got if name == topic]

    def close(self) -> None:
        """Go away."""
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listening(broker: Broker) -> Iterator[Listener]:
    """For as long as the block."""
    made = Listener(broker)
    try:
        yield made
    finally:
        made.close()


class FrontEnd:
    """Its part that tells brokers, with a reconciler that goes on."""

    def __init__(self, database: Database, clock: Callable[[], float], timeout_s: float) -> None:
        settings = Settings(allow_private_webhooks=True, webhook_timeout_s=timeout_s)
        self.links = Links(Dialling(True), timeout_s)
        self.senders = make_senders(settings, self.links)
        self.deliverer = Deliverer(database, settings, Metrics(), self.senders, clock=clock)
        self._reconciler = Reconciler(database, Metrics(), self.links)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._reconciler.run, args=(self._stop,))
        self._thread.start()

    def close(self) -> None:
        """As at shutdown."""
        self._stop.set()
        self._thread.join()
        self.links.close()


@contextmanager
def front_end(
    database: Database, *, clock: Callable[[], float] = time.time, timeout_s: float = 5.0
) -> Iterator[FrontEnd]:
    """For as long as the block; its deliveries go by the clock."""
    made = FrontEnd(database, clock, timeout_s)
    try:
        yield made
    finally:
        made.close()


def add_broker(
    database: Database,
    url: str,
    webhook_id: str = "hook",
    *,
    event_types: tuple[str, ...] = (),
    enabled: bool = True,
) -> None:
    """A webhook that is an MQTT broker."""
    row = WebhookRow(
        id=webhook_id,
        way="mqtt",
        url=url,
        secret="",
        event_types=list(event_types),
        enabled=enabled,
        created_at=1.0,
    )
    with database.write() as session:
        session.add(row)
