"""A broker for the tests here, and a subscriber to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.alert.mqtt import broker_link, broker_updates
from tests.alert.mqtt.front_ends import LISTENER, REAL_PASSWORD, SECRET, USER, Listener, listening
from tests.support import servers
from tests.support.servers import Broker

USERS = {USER: REAL_PASSWORD, LISTENER: SECRET}


@pytest.fixture(autouse=True)
def _shorten_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens all pauses: brokers here answer at once."""
    monkeypatch.setattr(broker_link, "WAKE_S", 0.05)
    monkeypatch.setattr(broker_updates, "EVERY_S", 0.1)


@pytest.fixture
def broker(mosquitto_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """An empty broker, which keeps what it holds when it is stopped."""
    made = servers.mosquitto(tmp_path_factory.mktemp("broker"), USERS, persistent=True)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    """A subscriber to everything."""
    with listening(broker) as made:
        yield made
