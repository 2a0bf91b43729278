"""Reads regularly what the database says of streams and receivers, and hands it to the brokers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from service.alert.claims import make_receiver
from service.alert.mqtt.brokers import Brokers
from service.alert.mqtt.stream_states import read_contents, read_last_event, read_mqtt_receivers
from service.metrics import Metrics
from service.rounds import run_rounds
from service.store.database import Database
from service.store.tables import EventRow

EVERY_S = 2.0


class BrokerUpdates:
    """The part of a front end that keeps brokers up to date. Each front end has one."""

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        brokers: Brokers,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._brokers = brokers
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        run_rounds(
            self.step,
            stop,
            name="updating brokers",
            every_s=EVERY_S,
            on_failure=self._metrics.deliveries.labels("error").inc,
        )

    def step(self) -> bool:
        """Update once. Returns: False, as there is never more to do at once."""
        now = self._clock()
        with self._database.read() as session:
            receivers = read_mqtt_receivers(session)
            contents = read_contents(session, receivers, now, self._read_event) if receivers else {}
        self._brokers.update([make_receiver(row, now) for row in receivers], contents)
        return False

    def _read_event(self, stream_id: str) -> EventRow | None:
        with self._database.read() as session:
            return read_last_event(session, stream_id)
