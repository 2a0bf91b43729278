"""A front end's part that tells brokers, in a process that can be killed."""

from __future__ import annotations

import threading

from service.store.database import Database
from tests.alert.mqtt.parts import front_end


def run(database_url: str) -> None:
    """Until somebody kills it."""
    with front_end(Database(database_url)):
        threading.Event().wait()
