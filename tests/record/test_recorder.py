"""Scores from a real Redis into real databases: nothing twice, nothing lost."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import delete, func, select, update

from model.events import Detection, EventRules, observe_all
from service import keys
from service.bus.connection import connect
from service.bus.recorder_lock import RecorderLock
from service.bus.registry import Preview, Registry
from service.bus.scores import Scores
from service.errors import StaleCursor
from service.metrics import Metrics
from service.record.events import scored_frame
from service.record.recorder import Recorder
from service.record.storing import Position, Recording, store
from service.settings import Settings
from service.store.database import Database
from service.store.tables import CursorRow, DeliveryRow, EventRow, ScoreRow, StreamRow
from tests.record.rows import Worker, add_stream, add_webhook, frame_score
from tests.support import servers
from tests.support.servers import wait_for

HIGH, LOW = 0.9, 0.1


class Clock:
    """Time that tests move."""

    def __init__(self, now: float = 1010.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def _recorder(
    database: Database,
    redis: Redis,
    clock: Clock | None = None,
    *,
    owner: str = "front",
    metrics: Metrics | None = None,
) -> Recorder:
    settings = Settings(event_min_frames=3, event_quiet_frames=2, event_silence_s=10.0)
    return Recorder(
        database, redis, settings, metrics or Metrics(), owner=owner, clock=clock or Clock()
    )


def _frames(database: Database, stream_id: str = "cam") -> list[int]:
    query = select(ScoreRow.frame).where(ScoreRow.stream_id == stream_id).order_by(ScoreRow.frame)
    with database.read() as session:
        return list(session.scalars(query))


def _events(database: Database) -> list[EventRow]:
    with database.read() as session:
        return list(session.scalars(select(EventRow).order_by(EventRow.first_frame)))


def _messages(database: Database) -> list[tuple[str, str]]:
    query = select(DeliveryRow).order_by(DeliveryRow.stream_id, DeliveryRow.sequence)
    with database.read() as session:
        return [(row.stream_id, row.event_type) for row in session.scalars(query)]


def _waiting(redis: Redis, stream_id: str = "cam") -> int:
    return int(redis.xlen(keys.scores(stream_id)))


def test_scores_events_and_messages_are_stored_together(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    add_webhook(each_database)
    metrics = Metrics()
    recorder = _recorder(each_database, redis, metrics=metrics)
    values = [None, LOW, HIGH, HIGH, 0.95, HIGH]
    Worker(redis).publish("cam", [frame_score(i, value) for i, value in enumerate(values)])
    Registry(redis).put_preview("cam", Preview(b"jpeg", b"", 5, 1000.5))
    assert recorder.step() == 6
    assert _frames(each_database) == [0, 1, 2, 3, 4, 5]
    assert _waiting(redis) == 0
    (event,) = _events(each_database)
    assert (event.first_frame, event.last_frame, event.ended_at) == (2, 5, None)
    assert (event.peak_score, event.peak_frame) == (0.95, 4)
    assert event.region == [0.1, 0.2, 0.3, 0.4]
    assert event.snapshot == b"jpeg"
    assert _messages(each_database) == [("cam", "event.started")]
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


def test_an_event_that_ends_is_told_of_with_its_whole_extent(
    database: Database, redis: Redis
) -> None:
    add_stream(database)
    add_webhook(database)
    recorder, worker = _recorder(database, redis), Worker(redis)
    worker.publish("cam", [frame_score(i, HIGH) for i in range(4)])
    recorder.step()
    worker.publish("cam", [frame_score(4, 0.99), frame_score(5, LOW), frame_score(6, LOW)])
    recorder.step()
    (event,) = _events(database)
    assert event.ended_at == pytest.approx(1000.4)
    assert _messages(database) == [("cam", "event.started"), ("cam", "event.ended")]
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
        "label": None,
    }


def test_a_whole_event_in_one_round_gives_its_messages_in_order(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    add_webhook(each_database)
    values = [HIGH, HIGH, HIGH, LOW, LOW, HIGH, HIGH, HIGH]
    Worker(redis).publish("cam", [frame_score(i, value) for i, value in enumerate(values)])
    _recorder(each_database, redis).step()
    assert _messages(each_database) == [
        ("cam", "event.started"),
        ("cam", "event.ended"),
        ("cam", "event.started"),
    ]
    assert [event.ended_at is None for event in _events(each_database)] == [False, True]


def test_a_crash_between_commit_and_acknowledgement_repeats_nothing(
    each_database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stream(each_database)
    add_webhook(each_database)
    Worker(redis).publish("cam", [frame_score(i, HIGH) for i in range(5)])

    def dies(*_: object) -> None:
        raise RedisAway("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(Scores, "acknowledge", dies)
        with pytest.raises(RedisAway):
            _recorder(each_database, redis).step()
    assert _waiting(redis) == 5
    assert _recorder(each_database, redis).step() == 0
    assert _waiting(redis) == 0
    assert _frames(each_database) == [0, 1, 2, 3, 4]
    assert len(_events(each_database)) == 1
    assert _messages(each_database) == [("cam", "event.started")]


def test_a_transaction_that_fails_leaves_nothing_and_is_repeated(
    each_database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stream(each_database)
    add_webhook(each_database)
    Worker(redis).publish("cam", [frame_score(i, HIGH) for i in range(5)])

    def dies(*_: object, **__: object) -> int:
        raise RuntimeError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr("service.record.storing.enqueue", dies)
        with pytest.raises(RuntimeError):
            _recorder(each_database, redis).step()
    assert _frames(each_database) == []
    assert _events(each_database) == []
    assert _recorder(each_database, redis).step() == 5
    assert len(_events(each_database)) == 1
    assert _messages(each_database) == [("cam", "event.started")]


def test_a_recorder_that_restarts_goes_on_with_the_open_event(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    worker = Worker(redis)
    for first in range(0, 8, 2):
        worker.publish("cam", [frame_score(i, HIGH) for i in range(first, first + 2)])
        assert _recorder(each_database, redis).step() == 2
    (event,) = _events(each_database)
    assert (event.first_frame, event.last_frame) == (0, 7)


def test_only_the_holder_of_the_lock_records(database: Database, redis: Redis) -> None:
    add_stream(database)
    Worker(redis).publish("cam", [frame_score(0, LOW)])
    metrics = Metrics()
    recorder = _recorder(database, redis, owner="second", metrics=metrics)
    lock = RecorderLock(redis, "first")
    assert lock.hold()
    assert recorder.step() == 0
    assert metrics.registry.get_sample_value("normwatch_recording") == 0
    assert _waiting(redis) == 1
    lock.release()
    assert recorder.step() == 1


def test_a_second_recorder_that_read_the_same_scores_is_rolled_back(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    worker = Worker(redis)
    worker.publish("cam", [frame_score(0, LOW)])
    recorder = _recorder(each_database, redis)
    recorder.step()
    with each_database.read() as session:
        stream = session.get_one(StreamRow, "cam")
        cursor = session.get_one(CursorRow, "cam")
    scores = [frame_score(i, HIGH) for i in range(1, 6)]
    old = Position(cursor.version, cursor.last_frame, cursor.recorded_at, Detection())
    worker.publish("cam", scores)
    recorder.step()
    detection, changes = observe_all(
        old.detection, map(scored_frame, scores), EventRules(3, 0.9, 2, 10.0)
    )
    with pytest.raises(StaleCursor), each_database.write() as session:
        store(session, Recording(stream, old, scores, detection, changes), 1020.0)
    assert _frames(each_database) == [0, 1, 2, 3, 4, 5]
    assert len(_events(each_database)) == 1


def test_two_recorders_at_once_store_each_score_once(
    each_database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock: what is left is what the cursor does."""
    add_stream(each_database)
    add_webhook(each_database)
    monkeypatch.setattr(RecorderLock, "hold", lambda _: True)
    stop = threading.Event()
    threads = [
        threading.Thread(target=_recorder(each_database, redis, owner=name).run, args=(stop,))
        for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    worker = Worker(redis)
    values = ([LOW] * 5 + [HIGH] * 5) * 20
    for first in range(0, 200, 4):
        batch = [frame_score(i, values[i]) for i in range(first, first + 4)]
        worker.publish("cam", batch)
    try:
        wait_for(lambda: _waiting(redis) == 0 and len(_frames(each_database)) == 200, "all scores")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert _frames(each_database) == list(range(200))
    assert len(_events(each_database)) == 20
    types = [event_type for _, event_type in _messages(each_database)]
    assert types == (["event.started", "event.ended"] * 20)[: len(types)]
    assert len(types) == 39


def test_an_open_event_ends_when_its_stream_goes_silent(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    add_webhook(each_database)
    clock = Clock(1010.0)
    recorder = _recorder(each_database, redis, clock)
    Worker(redis).publish("cam", [frame_score(i, HIGH) for i in range(5)])
    recorder.step()
    clock.now += 9.0
    recorder.step()
    assert _events(each_database)[0].ended_at is None
    clock.now += 2.0
    recorder.step()
    assert _events(each_database)[0].ended_at == pytest.approx(1000.4)
    assert [kind for _, kind in _messages(each_database)] == ["event.started", "event.ended"]
    clock.now += 20.0
    recorder.step()
    assert len(_messages(each_database)) == 2


def test_a_recorder_that_was_away_takes_what_waits_before_it_calls_it_silence(
    database: Database, redis: Redis
) -> None:
    add_stream(database)
    clock, worker = Clock(1010.0), Worker(redis)
    worker.publish("cam", [frame_score(i, HIGH) for i in range(5)])
    _recorder(database, redis, clock).step()
    clock.now += 3600.0
    worker.publish("cam", [frame_score(i, HIGH) for i in range(5, 10)])
    _recorder(database, redis, clock).step()
    (event,) = _events(database)
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
        _recorder(database, redis, clock).step()
    worker.publish("cam", [frame_score(i, HIGH) for i in range(5, 10)])
    clock.now += 60.0
    monkeypatch.setattr("service.record.recorder.READ_SCORES", 5)
    recorder = _recorder(database, redis, clock)
    assert [recorder.step(), recorder.step()] == [0, 5]
    (event,) = _events(database)
    assert (event.last_frame, event.ended_at) == (9, None)


def test_a_workers_clock_that_is_slow_ends_no_event(database: Database, redis: Redis) -> None:
    add_stream(database)
    clock, worker = Clock(5000.0), Worker(redis)
    recorder = _recorder(database, redis, clock)
    worker.publish("cam", [frame_score(i, HIGH) for i in range(5)])
    recorder.step()
    clock.now += 2.0
    recorder.step()
    assert [event.ended_at for event in _events(database)] == [None]


def test_malformed_entries_dont_block_their_stream(database: Database, redis: Redis) -> None:
    add_stream(database)
    redis.xadd(keys.scores("cam"), {"score": "{"})
    redis.xadd(keys.scores("cam"), {"something": "else"})
    huge = frame_score(1, LOW).model_dump_json().replace('"frame":1', f'"frame":{2**70}')
    redis.xadd(keys.scores("cam"), {"score": huge})
    Worker(redis).publish("cam", [frame_score(0, LOW)])
    assert _recorder(database, redis).step() == 1
    assert _waiting(redis) == 0
    assert _frames(database) == [0]


def test_a_state_of_detection_that_cant_be_read_doesnt_block_its_stream(
    database: Database, redis: Redis
) -> None:
    add_stream(database)
    recorder, worker = _recorder(database, redis), Worker(redis)
    worker.publish("cam", [frame_score(0, LOW)])
    recorder.step()
    with database.write() as session:
        session.execute(update(CursorRow).values(detection={"frames": "some"}))
    worker.publish("cam", [frame_score(1, LOW)])
    assert recorder.step() == 1


def test_a_deleted_streams_scores_are_dropped(each_database: Database, redis: Redis) -> None:
    add_stream(each_database, "gone")
    add_stream(each_database, "cam")
    clock, worker = Clock(), Worker(redis)
    recorder = _recorder(each_database, redis, clock)
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


def test_one_stream_that_fails_doesnt_keep_the_others_waiting(
    each_database: Database, redis: Redis
) -> None:
    for name in ("a", "b", "c"):
        add_stream(each_database, name)
        Worker(redis).publish(name, [frame_score(0, LOW)])
    with each_database.write() as session:
        session.add(ScoreRow(**_columns("b", 0)))
    with pytest.raises(Exception, match="scores"):
        _recorder(each_database, redis).step()
    assert [_frames(each_database, name) for name in ("a", "c")] == [[0], [0]]
    assert _waiting(redis, "b") == 1


def _columns(stream_id: str, frame: int) -> dict[str, object]:
    return {
        "stream_id": stream_id,
        "frame": frame,
        "epoch": 1,
        "captured_at": 1.0,
        "scored_at": 1.0,
        "memory_updated": False,
        "state": "live",
    }


def test_a_backlog_is_taken_in_several_rounds(
    database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stream(database)
    monkeypatch.setattr("service.record.recorder.READ_SCORES", 4)
    Worker(redis).publish("cam", [frame_score(i, LOW) for i in range(10)])
    recorder = _recorder(database, redis)
    assert [recorder.step() for _ in range(4)] == [4, 4, 2, 0]
    assert _frames(database) == list(range(10))


def test_it_goes_on_when_redis_is_killed_and_comes_back(database: Database, tmp_path: Path) -> None:
    add_stream(database)
    add_webhook(database)
    server = servers.valkey(tmp_path)
    server.start()
    redis = connect(server.url)
    metrics, stop = Metrics(), threading.Event()
    recorder = _recorder(database, redis, metrics=metrics)
    thread = threading.Thread(target=recorder.run, args=(stop,))
    thread.start()
    try:
        worker = Worker(redis)
        worker.publish("cam", [frame_score(i, HIGH) for i in range(3)])
        wait_for(lambda: _frames(database) == [0, 1, 2], "the first scores")
        server.kill()
        name = "normwatch_record_failures_total"
        wait_for(lambda: metrics.registry.get_sample_value(name), "a failure")
        server.start()
        worker.publish("cam", [frame_score(i, HIGH) for i in range(3, 6)])
        wait_for(lambda: _frames(database) == list(range(6)), "the later scores")
    finally:
        stop.set()
        thread.join()
        redis.close()
        server.stop()
    assert len(_events(database)) == 1
    assert _messages(database) == [("cam", "event.started")]
    assert metrics.registry.get_sample_value("normwatch_recording") == 0


def test_it_goes_on_when_the_database_drops_its_connections(
    postgres_url: str, redis: Redis
) -> None:
    database = Database(postgres_url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    database.migrate()
    add_stream(database)
    stop = threading.Event()
    thread = threading.Thread(target=_recorder(database, redis).run, args=(stop,))
    thread.start()
    worker = Worker(redis)
    try:
        for first in range(0, 40, 4):
            worker.publish("cam", [frame_score(i, HIGH) for i in range(first, first + 4)])
            with psycopg.connect(postgres_url, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
        wait_for(lambda: _waiting(redis) == 0, "all scores")
    finally:
        stop.set()
        thread.join()
    assert _frames(database) == list(range(40))
    assert len(_events(database)) == 1
    database.close()


def test_events_of_different_streams_have_different_ids(database: Database, redis: Redis) -> None:
    worker = Worker(redis)
    for name in ("a", "b"):
        add_stream(database, name)
        worker.publish(name, [frame_score(i, HIGH) for i in range(3)])
    _recorder(database, redis).step()
    assert len({event.id for event in _events(database)}) == 2
