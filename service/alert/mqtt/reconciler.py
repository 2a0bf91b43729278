"""Repeats to the links what the database says, so that brokers follow it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from service.alert.claims import receiver_of
from service.alert.mqtt.links import Links
from service.alert.mqtt.wanted import mqtt_webhooks, read_last_event, read_wanted
from service.metrics import Metrics
from service.rounds import run_rounds
from service.store.database import Database
from service.store.tables import EventRow

EVERY_S = 2.0


class Reconciler:
    """The part of a front end that keeps brokers in order. Each front end has one."""

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        links: Links,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._links = links
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Go on until stopped."""
        run_rounds(
            self.step,
            stop,
            name="telling brokers of streams",
            every_s=EVERY_S,
            on_failure=self._metrics.deliveries.labels("error").inc,
        )

    def step(self) -> bool:
        """Once. Whether there is more to do at once: never."""
        now = self._clock()
        with self._database.read() as session:
            webhooks = mqtt_webhooks(session)
            wanted = read_wanted(session, webhooks, now, self._last_event) if webhooks else {}
        self._links.follow([receiver_of(webhook, now) for webhook in webhooks], wanted)
        return False

    def _last_event(self, stream_id: str) -> EventRow | None:
        with self._database.read() as session:
            return read_last_event(session, stream_id)
