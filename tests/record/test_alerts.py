"""Which events are notified: merged neighbours, cooldowns, and armed hours."""

from __future__ import annotations

import json

import pytest
from redis import Redis
from sqlalchemy import select, update

from service.metrics import Metrics
from service.record.recorder import Recorder
from service.settings import Settings
from service.store.database import Database
from service.store.tables import CursorRow, DeliveryRow, EventRow, ScoreRow, StreamRow
from tests.record.rows import Worker, add_receiver, add_stream, frame_score

HIGH, LOW = 0.9, 0.1
BURST = [HIGH] * 3 + [LOW] * 2
"""An event of 0.2 s, and what ends it."""


class Bench:
    """A recorder whose clock tests move, and the worker that it listens to."""

    def __init__(self, database: Database, redis: Redis, **settings: float) -> None:
        self.now = 1010.0
        self.metrics = Metrics()
        self._database, self._redis = database, redis
        self._settings = Settings(event_start_s=0.2, event_quiet_s=0.2, **settings)
        self._worker = Worker(redis)
        self._frame = 0
        self.restart()

    def restart(self) -> None:
        """Another process goes on where this one stood."""
        self._recorder = Recorder(
            self._database,
            self._redis,
            self._settings,
            self.metrics,
            owner="front",
            clock=lambda: self.now,
        )

    def record(self, values: list[float | None], stream_id: str = "cam") -> None:
        """Ten frames a second, from where the last ones ended, and a round over them."""
        scores = [frame_score(self._frame + i, value) for i, value in enumerate(values)]
        self._frame += len(values)
        self._worker.publish(stream_id, scores)
        self.step()

    def step(self) -> None:
        """A round."""
        self._recorder.step()

    def events(self) -> list[EventRow]:
        """Return events in the order of their beginning."""
        with self._database.read() as session:
            return list(session.scalars(select(EventRow).order_by(EventRow.first_frame)))

    def messages(self) -> list[str]:
        """Their types, in order; one webhook's."""
        query = select(DeliveryRow.event_type).order_by(DeliveryRow.sequence)
        with self._database.read() as session:
            return list(session.scalars(query))

    def muted(self) -> float | None:
        """Return how many the metrics count."""
        labels = {"type": "muted"}
        return self.metrics.registry.get_sample_value("normwatch_events_total", labels)


def _change(database: Database, **values: object) -> None:
    """Change all streams as the API does: with a new revision."""
    with database.write() as session:
        session.execute(update(StreamRow).values(values | {"revision": StreamRow.revision + 1}))


def test_neighbours_are_one_event_with_one_start_and_one_end(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    bench = Bench(each_database, redis, event_merge_s=1.0)
    for _ in range(3):
        bench.record(BURST)
        assert bench.messages() == ["event.started"]
        bench.restart()
    (event,) = bench.events()
    assert (event.first_frame, event.last_frame, event.ended_at) == (0, 12, None)
    bench.record([LOW] * 7)
    assert bench.messages() == ["event.started"], "0.9 s after its last frame"
    bench.record([LOW] * 2)
    assert bench.messages() == ["event.started", "event.ended"]
    (event,) = bench.events()
    assert (event.last_frame, event.ended_at) == (12, pytest.approx(1001.2))
    bench.record(BURST)
    assert len(bench.events()) == 2


def test_an_end_that_waits_for_neighbours_is_reported_when_the_stream_goes_silent(
    database: Database, redis: Redis
) -> None:
    add_stream(database)
    add_receiver(database)
    bench = Bench(database, redis, event_merge_s=600.0)
    bench.record(BURST)
    bench.now += 9.0
    bench.step()
    assert bench.messages() == ["event.started"]
    bench.now += 2.0
    bench.step()
    assert bench.messages() == ["event.started", "event.ended"]
    assert bench.events()[0].ended_at == pytest.approx(1000.2)


def test_events_are_muted_in_the_cooldown_after_a_message(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    bench = Bench(each_database, redis, event_cooldown_s=60.0)
    sent = ["event.started", "event.ended"]
    bench.record(BURST)
    assert bench.messages() == sent
    for _ in range(2):
        bench.restart()
        bench.now += 29.0
        bench.record(BURST)
        assert bench.messages() == sent, "the cooldown counts from the message, not the event"
    bench.now += 2.0
    bench.record(BURST)
    assert bench.messages() == sent * 2
    assert [event.muted for event in bench.events()] == [False, True, True, False]
    assert all(event.ended_at is not None for event in bench.events())
    assert bench.muted() == 2


def test_a_cooldown_holds_within_a_round_and_for_what_waited(
    database: Database, redis: Redis
) -> None:
    """Hours of a backlog are recorded at once: their messages would come at once, too."""
    add_stream(database)
    add_receiver(database)
    bench = Bench(database, redis, event_cooldown_s=1.0)
    bench.record(BURST + [LOW] * 100 + BURST + [HIGH] * 3)
    assert [event.muted for event in bench.events()] == [False, True, True]
    assert bench.messages() == ["event.started", "event.ended"]
    bench.now += 5.0
    bench.record([LOW] * 2)
    assert bench.events()[2].ended_at is not None
    assert bench.messages() == ["event.started", "event.ended"], "the end of a muted event"


def test_a_stream_has_its_own_cooldown_or_the_operators(database: Database, redis: Redis) -> None:
    add_stream(database)
    add_receiver(database)
    bench = Bench(database, redis, event_cooldown_s=60.0)
    _change(database, cooldown_s=0.0)
    bench.record(BURST + BURST)
    _change(database, cooldown_s=5.0)
    bench.now += 4.0
    bench.record(BURST)
    bench.now += 2.0
    bench.record(BURST)
    _change(database, cooldown_s=None)
    bench.now += 50.0
    bench.record(BURST)
    assert [event.muted for event in bench.events()] == [False, False, True, False, True]


def test_without_a_message_there_is_no_cooldown(database: Database, redis: Redis) -> None:
    add_stream(database)
    add_receiver(database, event_types=["stream.down"])
    bench = Bench(database, redis, event_cooldown_s=60.0)
    bench.record(BURST + BURST)
    assert [event.muted for event in bench.events()] == [False, False]
    with database.read() as session:
        assert session.get_one(CursorRow, "cam").notified_at is None


def test_a_clock_that_was_set_back_ends_a_cooldown(database: Database, redis: Redis) -> None:
    add_stream(database)
    add_receiver(database)
    bench = Bench(database, redis, event_cooldown_s=60.0)
    bench.record(BURST)
    bench.now -= 500.0
    bench.record(BURST)
    assert [event.muted for event in bench.events()] == [False, False]


def test_one_streams_cooldown_mutes_no_other(database: Database, redis: Redis) -> None:
    add_receiver(database)
    bench = Bench(database, redis, event_cooldown_s=60.0)
    for name in ("a", "b"):
        add_stream(database, name)
        bench.record(BURST, name)
    assert [event.muted for event in bench.events()] == [False, False]


def _armed(begins: str, ends: str) -> dict[str, object]:
    """A time on 1 January 1970, a Thursday, in whose first half hour these tests play."""
    hours = {"days": ["thu"], "from": begins, "to": ends}
    return {"timezone": "UTC", "hours": [hours]}


def test_while_a_stream_is_not_armed_scores_are_recorded_and_no_events(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    bench = Bench(each_database, redis)
    _change(each_database, schedule=_armed("00:17", "01:00"))
    bench.record([HIGH] * 196)  # up to 00:16:59.5
    assert bench.events() == []
    with each_database.read() as session:
        assert len(session.scalars(select(ScoreRow)).all()) == 196
    bench.record([HIGH] * 10)
    (event,) = bench.events()
    assert event.started_at == 1020.0


def test_an_open_event_ends_when_its_stream_is_disarmed(database: Database, redis: Redis) -> None:
    add_stream(database)
    add_receiver(database)
    bench = Bench(database, redis, event_merge_s=5.0)
    _change(database, schedule=_armed("00:00", "00:17"))
    bench.record([HIGH] * 210)  # it is disarmed at frame 200
    (event,) = bench.events()
    assert (event.last_frame, event.ended_at) == (199, pytest.approx(1019.9))
    assert bench.messages() == ["event.started", "event.ended"]
    _change(database, schedule=None)
    bench.record([HIGH] * 5)
    assert len(bench.events()) == 2


def test_the_end_tells_how_an_event_was_judged_meanwhile(database: Database, redis: Redis) -> None:
    add_stream(database)
    add_receiver(database)
    bench = Bench(database, redis)
    bench.record([HIGH] * 3)
    with database.write() as session:
        session.execute(update(EventRow).values(label="real"))
    bench.record([HIGH, LOW, LOW])
    with database.read() as session:
        bodies = session.scalars(select(DeliveryRow.body).order_by(DeliveryRow.sequence)).all()
    assert [json.loads(body)["data"]["label"] for body in bodies] == [None, "real"]
    assert [event.label for event in bench.events()] == ["real"]
