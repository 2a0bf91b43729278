"""A broker for the tests here, and somebody who listens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.alert.mqtt.parts import LISTENER, REAL_PASSWORD, SECRET, USER, Listener, listening
from tests.support import servers
from tests.support.servers import Broker

USERS = {USER: REAL_PASSWORD, LISTENER: SECRET}


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
