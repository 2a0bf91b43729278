"""A broker for the tests here, and somebody who listens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.alert.mqtt import link, reconciler, view
from tests.alert.mqtt.parts import LISTENER, REAL_PASSWORD, SECRET, USER, Listener, listening
from tests.support import servers
from tests.support.servers import Broker

USERS = {USER: REAL_PASSWORD, LISTENER: SECRET}


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long: brokers here answer at once."""
    monkeypatch.setattr(link, "LOOK_S", 0.05)
    monkeypatch.setattr(view, "QUIET_S", 0.15)
    monkeypatch.setattr(reconciler, "EVERY_S", 0.1)


@pytest.fixture
def broker(mosquitto_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """An empty one, that keeps what it holds when it is stopped."""
    made = servers.mosquitto(tmp_path_factory.mktemp("broker"), USERS, persistent=True)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    """Hears everything."""
    with listening(broker) as made:
        yield made
