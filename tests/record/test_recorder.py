"""Scores from a real Redis into real databases: nothing twice, nothing lost."""

from __future__ import annotations

import json

import pytest
from redis import Redis
from sqlalchemy import delete, func, select

from service.bus.registry import Preview, Registry
from service.bus.scores import Scores
from service.metrics import Metrics
from service.store.database import Database
from service.store.tables import DeliveryRow, EventRow, ScoreRow, StreamRow
from tests.record.parts import (
    HIGH,
    LOW,
    Clock,
    events_of,
    frames_of,
    make_recorder,
    messages_of,
    waiting_of,
)
from tests.record.rows import Worker, add_receiver, add_stream, frame_score


def test_scores_events_and_messages_are_stored_together(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    metrics = Metrics()
    recorder = make_recorder(each_database, redis, metrics=metrics)
    values = [None, LOW, HIGH, HIGH, 0.95, HIGH]
    Worker(redis).publish("cam", [frame_score(i, value) for i, value in enumerate(values)])
    Registry(redis).put_preview("cam", Preview(b"jpeg", b"", 5, 1000.5))
    assert recorder.step() == 6
    assert frames_of(each_database) == [0, 1, 2, 3, 4, 5]
    assert waiting_of(redis) == 0
    (event,) = events_of(each_database)
    assert (event.first_frame, event.last_frame, event.ended_at) == (2, 5, None)
    assert (event.peak_score, event.peak_frame) == (0.95, 4)
    assert event.region == [0.1, 0.2, 0.3, 0.4]
    assert event.picture == b"jpeg"
    assert messages_of(each_database) == [("cam", "event.started")]
    with each_database.read() as session:
        stored = session.get(ScoreRow, ("cam", 4))
        warming = session.get(ScoreRow, ("cam", 0))
    assert stored is not None
    assert (stored.score, stored.psnr, stored.threshold, stored.state) == (0.95, 30.0, 0.5, "live")
    assert warming is not None
    assert (warming.score, warming.state) == (None, "warming")
    assert metrics.registry.get_sample_value("normwatch_recorded_scores_total") == 6
    assert metrics.registry.get_sample_value("normwatch_recording") == 1
    labels = {"type": "started"}
    assert metrics.registry.get_sample_value("normwatch_events_total", labels) == 1


def test_an_event_does_not_reach_over_a_jump_of_the_capture_time(
    database: Database, redis: Redis
) -> None:
    add_stream(database)
    recorder = make_recorder(database, redis)
    first = [frame_score(frame, HIGH) for frame in range(5)]
    # Uploads of an hour later, scored in the same second.
    later = [
        frame_score(frame, None if frame < 7 else HIGH).model_copy(
            update={"captured_at": 4600.0 + frame / 10, "cut": frame == 5}
        )
        for frame in range(5, 12)
    ]
    worker = Worker(redis)
    worker.publish("cam", first)
    recorder.step()
    worker.publish("cam", later)
    recorder.step()
    found = [(event.first_frame, event.last_frame, event.ended_at) for event in events_of(database)]
    assert found == [(0, 4, pytest.approx(1000.4)), (7, 11, None)]


def test_an_event_that_ends_is_reported_with_its_whole_extent(
    database: Database, redis: Redis
) -> None:
    add_stream(database)
    add_receiver(database)
    recorder, worker = make_recorder(database, redis), Worker(redis)
    worker.publish("cam", [frame_score(i, HIGH) for i in range(4)])
    recorder.step()
    worker.publish("cam", [frame_score(4, 0.99), frame_score(5, LOW), frame_score(6, LOW)])
    recorder.step()
    (event,) = events_of(database)
    assert event.ended_at == pytest.approx(1000.4)
    assert messages_of(database) == [("cam", "event.started"), ("cam", "event.ended")]
    with database.read() as session:
        ended = session.scalars(
            select(DeliveryRow).where(DeliveryRow.event_type == "event.ended")
        ).one()
    body = json.loads(ended.body)
    assert body["type"] == "event.ended"
    assert body["data"] == {
        "event_id": event.id,
        "stream_id": "cam",
        "stream_name": "The cam",
        "started_at": "1970-01-01T00:16:40.000Z",
        "ended_at": "1970-01-01T00:16:40.400Z",
        "first_frame": 0,
        "last_frame": 4,
        "peak_score": 0.99,
        "peak_frame": 4,
        "threshold": 0.5,
        "region": [0.1, 0.2, 0.3, 0.4],
        "cause": "motion",
        "label": None,
    }


def test_a_whole_event_in_one_round_gives_its_messages_in_order(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    values = [HIGH, HIGH, HIGH, LOW, LOW, HIGH, HIGH, HIGH]
    Worker(redis).publish("cam", [frame_score(i, value) for i, value in enumerate(values)])
    make_recorder(each_database, redis).step()
    assert messages_of(each_database) == [
        ("cam", "event.started"),
        ("cam", "event.ended"),
        ("cam", "event.started"),
    ]
    assert [event.ended_at is None for event in events_of(each_database)] == [False, True]


def test_a_recorder_that_restarts_goes_on_with_the_open_event(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    worker = Worker(redis)
    for first in range(0, 8, 2):
        worker.publish("cam", [frame_score(i, HIGH) for i in range(first, first + 2)])
        assert make_recorder(each_database, redis).step() == 2
    (event,) = events_of(each_database)
    assert (event.first_frame, event.last_frame) == (0, 7)


def test_an_open_event_ends_when_its_stream_goes_silent(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    clock = Clock(1010.0)
    recorder = make_recorder(each_database, redis, clock)
    Worker(redis).publish("cam", [frame_score(i, HIGH) for i in range(5)])
    recorder.step()
    clock.now += 9.0
    recorder.step()
    assert events_of(each_database)[0].ended_at is None
    clock.now += 2.0
    recorder.step()
    assert events_of(each_database)[0].ended_at == pytest.approx(1000.4)
    assert [kind for _, kind in messages_of(each_database)] == ["event.started", "event.ended"]
    clock.now += 20.0
    recorder.step()
    assert len(messages_of(each_database)) == 2


def test_a_recorder_that_was_away_takes_what_waits_before_it_calls_it_silence(
    database: Database, redis: Redis
) -> None:
    add_stream(database)
    clock, worker = Clock(1010.0), Worker(redis)
    worker.publish("cam", [frame_score(i, HIGH) for i in range(5)])
    make_recorder(database, redis, clock).step()
    clock.now += 3600.0
    worker.publish("cam", [frame_score(i, HIGH) for i in range(5, 10)])
    make_recorder(database, redis, clock).step()
    (event,) = events_of(database)
    assert (event.last_frame, event.ended_at) == (9, None)


def test_a_whole_round_of_stored_scores_is_no_silence(
    database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the acknowledgement, away for long, and new scores wait behind the old."""
    add_stream(database)
    clock, worker = Clock(1010.0), Worker(redis)
    worker.publish("cam", [frame_score(i, HIGH) for i in range(5)])
    with monkeypatch.context() as patch:
        patch.setattr(Scores, "acknowledge", lambda *_: None)
        make_recorder(database, redis, clock).step()
    worker.publish("cam", [frame_score(i, HIGH) for i in range(5, 10)])
    clock.now += 60.0
    monkeypatch.setattr("service.record.recorder.READ_SCORES", 5)
    recorder = make_recorder(database, redis, clock)
    assert [recorder.step(), recorder.step()] == [0, 5]
    (event,) = events_of(database)
    assert (event.last_frame, event.ended_at) == (9, None)


def test_a_workers_clock_that_is_slow_ends_no_event(database: Database, redis: Redis) -> None:
    add_stream(database)
    clock, worker = Clock(5000.0), Worker(redis)
    recorder = make_recorder(database, redis, clock)
    worker.publish("cam", [frame_score(i, HIGH) for i in range(5)])
    recorder.step()
    clock.now += 2.0
    recorder.step()
    assert [event.ended_at for event in events_of(database)] == [None]


def test_a_deleted_streams_scores_are_dropped(each_database: Database, redis: Redis) -> None:
    add_stream(each_database, "gone")
    add_stream(each_database, "cam")
    clock, worker = Clock(), Worker(redis)
    recorder = make_recorder(each_database, redis, clock)
    worker.publish("gone", [frame_score(i, HIGH) for i in range(4)])
    recorder.step()
    with each_database.write() as session:
        session.execute(delete(StreamRow).where(StreamRow.id == "gone"))
    worker.publish("gone", [frame_score(4, HIGH)])
    worker.publish("cam", [frame_score(0, LOW)])
    clock.now += 3.0
    assert recorder.step() == 1
    assert redis.keys("nw:{gone}:*") == []
    with each_database.read() as session:
        assert session.scalar(select(func.count()).select_from(EventRow)) == 0


def test_a_backlog_is_recorded_in_several_rounds(
    database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stream(database)
    monkeypatch.setattr("service.record.recorder.READ_SCORES", 4)
    worker = Worker(redis)
    for first in range(0, 10, 2):
        worker.publish("cam", [frame_score(i, LOW) for i in range(first, first + 2)])
    recorder = make_recorder(database, redis)
    assert [recorder.step() for _ in range(4)] == [4, 4, 2, 0]
    assert frames_of(database) == list(range(10))


def test_events_of_different_streams_have_different_ids(database: Database, redis: Redis) -> None:
    worker = Worker(redis)
    for name in ("a", "b"):
        add_stream(database, name)
        worker.publish(name, [frame_score(i, HIGH) for i in range(3)])
    make_recorder(database, redis).step()
    assert len({event.id for event in events_of(database)}) == 2
