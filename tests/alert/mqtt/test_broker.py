"""From recorded events to a real broker: what is published, in which order, and what is held."""

from __future__ import annotations

import json
import time

from redis import Redis
from sqlalchemy import delete, update

from service.metrics import Metrics
from service.record.recorder import Recorder
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventRow, StreamHealthRow, StreamRow, WebhookRow
from tests.alert.mqtt.parts import FrontEnd, Listener, add_broker, add_event, front_end, url
from tests.record.rows import Worker, add_stream, frame_score
from tests.support.servers import Broker, wait_for

ABNORMAL, EVENT = "nw/cam/abnormal", "nw/cam/abnormal/attributes"
WATCHED, OUTAGE = "nw/cam/watched", "nw/cam/watched/attributes"
CONFIG = "homeassistant/device/normwatch_hook/cam/config"


def _record(database: Database, redis: Redis, scores: tuple[float, ...], first: int = 0) -> None:
    settings = Settings(event_min_frames=3, event_quiet_frames=2)
    start = time.time()
    Worker(redis).publish(
        "cam",
        [frame_score(first + i, each, at=start + i / 10) for i, each in enumerate(scores)],
    )
    Recorder(database, redis, settings, Metrics(), owner="front").step()


def test_an_event_turns_it_on_and_off(
    database: Database, redis: Redis, broker: Broker, listener: Listener
) -> None:
    add_stream(database)
    add_broker(database, url(broker))
    with front_end(database) as front:
        listener.wait("nw/status", b"online")
        wait_for(lambda: CONFIG in listener.held, "the stream's configuration")
        assert (listener.held[ABNORMAL], listener.held[WATCHED]) == (b"OFF", b"ON")
        _record(database, redis, (0.9, 0.9, 0.9, 0.1, 0.1))
        listener.got.clear()
        assert front.deliverer.step() == 2
        wait_for(lambda: len(listener.of("nw/cam/events")) == 2, "both messages")
        listener.wait(ABNORMAL, b"OFF")
    print([t for t, _ in listener.got])
