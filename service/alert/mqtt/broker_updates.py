"""Reads regularly what the database says of streams and receivers, and hands it to the brokers."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from service.alert.claims import make_receiver
from service.alert.mqtt.brokers import Brokers
from service.alert.mqtt.stream_states import read_contents, read_last_event, read_mqtt_receivers
from service.metrics import Metrics
from service.rounds import run_rounds
from service.store.database import Database
from service.store.tables import EventRow
from service.timers import Clock

EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class BrokerUpdates:
    """The part of a front end that keeps brokers up to date. Each front end has one."""

    database: Database
    metrics: Metrics
    brokers: Brokers
    clock: Clock = time.time

    def run(self, stop: threading.Event) -> None:
        run_rounds(
            self.step,
            stop,
            name="updating brokers",
            every_s=EVERY_S,
            on_failure=self.metrics.deliveries.labels("error").inc,
        )

    def step(self) -> bool:
        """Update once. Returns: False, as there is never more to do at once."""
        now = self.clock()
        with self.database.read() as session:
            receivers = read_mqtt_receivers(session)
            contents = read_contents(session, receivers, now, self._read_event) if receivers else {}
        self.brokers.update([make_receiver(row, now) for row in receivers], contents)
        return False

    def _read_event(self, stream_id: str) -> EventRow | None:
        with self.database.read() as session:
            return read_last_event(session, stream_id)
