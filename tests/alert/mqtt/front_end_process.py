"""The part of a front end that updates brokers, in a process that can be killed."""

from __future__ import annotations

import threading

from service.store.database import Database
from tests.alert.mqtt.front_ends import front_end


def run(database_url: str) -> None:
    """Run until the process is killed."""
    with front_end(Database(database_url)):
        threading.Event().wait()
