"""Recorders that are killed, that are two, or whose Redis or database goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from model.events.event_detection import DetectionState, EventRules, observe_all
from service import keys
from service.bus.connection import connect
from service.bus.recorder_lock import RecorderLock
from service.bus.scores import Scores
from service.errors import StaleCursor
from service.metrics import Metrics
from service.record.cursors import Cursor
from service.record.detection_input import make_scored_frame
from service.record.stream_updates import StreamUpdate, store_updates
from service.store.database import Database
from service.store.tables import CursorRow, ScoreRow, StreamRow
from tests.record.parts import (
    HIGH,
    LOW,
    events_of,
    frames_of,
    make_recorder,
    messages_of,
    waiting_of,
)
from tests.record.rows import Worker, add_receiver, add_stream, frame_score
from tests.support import servers
from tests.support.servers import wait_for


def test_a_crash_between_commit_and_acknowledgement_repeats_nothing(
    each_database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    Worker(redis).publish("cam", [frame_score(i, HIGH) for i in range(5)])

    def dies(*_: object) -> None:
        raise RedisAway("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(Scores, "acknowledge", dies)
        with pytest.raises(RedisAway):
            make_recorder(each_database, redis).step()
    assert waiting_of(redis) == 5
    assert make_recorder(each_database, redis).step() == 0
    assert waiting_of(redis) == 0
    assert frames_of(each_database) == [0, 1, 2, 3, 4]
    assert len(events_of(each_database)) == 1
    assert messages_of(each_database) == [("cam", "event.started")]


def test_a_transaction_that_fails_leaves_nothing_and_is_repeated(
    each_database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    Worker(redis).publish("cam", [frame_score(i, HIGH) for i in range(5)])

    def dies(*_: object, **__: object) -> int:
        raise RuntimeError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr("service.record.stream_updates.enqueue", dies)
        with pytest.raises(RuntimeError):
            make_recorder(each_database, redis).step()
    assert frames_of(each_database) == []
    assert events_of(each_database) == []
    assert make_recorder(each_database, redis).step() == 5
    assert len(events_of(each_database)) == 1
    assert messages_of(each_database) == [("cam", "event.started")]


def test_only_the_holder_of_the_lock_records(database: Database, redis: Redis) -> None:
    add_stream(database)
    Worker(redis).publish("cam", [frame_score(0, LOW)])
    metrics = Metrics()
    recorder = make_recorder(database, redis, owner="second", metrics=metrics)
    lock = RecorderLock(redis, "first")
    assert lock.hold()
    assert recorder.step() == 0
    assert metrics.registry.get_sample_value("normwatch_recording") == 0
    assert waiting_of(redis) == 1
    lock.release()
    assert recorder.step() == 1


def test_a_second_recorder_that_read_the_same_scores_is_rolled_back(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    worker = Worker(redis)
    worker.publish("cam", [frame_score(0, LOW)])
    recorder = make_recorder(each_database, redis)
    recorder.step()
    with each_database.read() as session:
        stream = session.get_one(StreamRow, "cam")
        cursor = session.get_one(CursorRow, "cam")
    scores = [frame_score(i, HIGH) for i in range(1, 6)]
    old = Cursor(cursor.version, cursor.last_frame, cursor.recorded_at, DetectionState())
    worker.publish("cam", scores)
    recorder.step()
    detection, changes = observe_all(
        old.detection, map(make_scored_frame, scores), EventRules(0.2, 0.9, 0.2, 10.0)
    )
    with pytest.raises(StaleCursor), each_database.write() as session:
        store_updates(session, [StreamUpdate(stream, old, scores, detection, changes)], 1020.0)
    assert frames_of(each_database) == [0, 1, 2, 3, 4, 5]
    assert len(events_of(each_database)) == 1


def test_two_recorders_at_once_store_each_score_once(
    each_database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder without the lock, so that only the cursor protects."""
    add_stream(each_database)
    add_receiver(each_database)
    monkeypatch.setattr(RecorderLock, "hold", lambda _: True)
    stop = threading.Event()
    threads = [
        threading.Thread(target=make_recorder(each_database, redis, owner=name).run, args=(stop,))
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
        wait_for(
            lambda: waiting_of(redis) == 0 and len(frames_of(each_database)) == 200, "all scores"
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert frames_of(each_database) == list(range(200))
    assert len(events_of(each_database)) == 20
    types = [event_type for _, event_type in messages_of(each_database)]
    assert types == (["event.started", "event.ended"] * 20)[: len(types)]
    assert len(types) == 39


def test_a_recorder_that_knew_an_old_cursor_reads_it_again(
    each_database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stream(each_database)
    monkeypatch.setattr(RecorderLock, "hold", lambda _: True)
    first, second = (make_recorder(each_database, redis, owner=name) for name in ("a", "b"))
    worker = Worker(redis)
    for turn, recorder in enumerate((first, second, first, second)):
        worker.publish("cam", [frame_score(2 * turn + i, HIGH) for i in range(2)])
        assert recorder.step() == 2
    assert frames_of(each_database) == list(range(8))
    (event,) = events_of(each_database)
    assert (event.first_frame, event.last_frame) == (0, 7)


def test_a_commit_whose_answer_was_lost_repeats_nothing(
    each_database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stream(each_database)
    recorder = make_recorder(each_database, redis)
    worker = Worker(redis)
    worker.publish("cam", [frame_score(i, HIGH) for i in range(3)])
    recorder.step()
    worker.publish("cam", [frame_score(i, HIGH) for i in range(3, 6)])

    @contextmanager
    def write_and_lose_the_answer(self: Database) -> Iterator[Session]:
        with write(self) as session:
            yield session
        raise OperationalError("COMMIT", None, Exception("lost"))

    write = Database.write
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", write_and_lose_the_answer)
        with pytest.raises(OperationalError):
            recorder.step()
    assert waiting_of(redis) == 3
    assert recorder.step() == 0
    assert waiting_of(redis) == 0
    assert frames_of(each_database) == list(range(6))


def test_malformed_entries_dont_block_their_stream(database: Database, redis: Redis) -> None:
    add_stream(database)
    good = frame_score(1, LOW).model_dump_json()
    huge = good.replace('"frame":1', f'"frame":{2**70}')
    malformed = [{"1": "{"}, {"something": "else"}, {"0": "[]"}, {"1": f"[{huge}]"}]
    for fields in [*malformed, {"1": f"[{good}]", "2": f"[{good}]"}]:
        redis.xadd(keys.scores("cam"), fields)
    Worker(redis).publish("cam", [frame_score(0, LOW)])
    assert make_recorder(database, redis).step() == 1
    assert redis.xlen(keys.scores("cam")) == 0
    assert waiting_of(redis) == 0
    assert frames_of(database) == [0]


def test_a_state_of_detection_that_cant_be_read_doesnt_block_its_stream(
    database: Database, redis: Redis
) -> None:
    add_stream(database)
    worker = Worker(redis)
    worker.publish("cam", [frame_score(0, LOW)])
    make_recorder(database, redis).step()
    with database.write() as session:
        session.execute(update(CursorRow).values(detection={"frames": "some"}))
    worker.publish("cam", [frame_score(1, LOW)])
    assert make_recorder(database, redis).step() == 1


def test_one_stream_that_fails_doesnt_keep_the_others_waiting(
    each_database: Database, redis: Redis
) -> None:
    for name in ("a", "b", "c"):
        add_stream(each_database, name)
        Worker(redis).publish(name, [frame_score(0, LOW)])
    with each_database.write() as session:
        session.add(ScoreRow(**_columns("b", 0)))
    with pytest.raises(Exception, match="scores"):
        make_recorder(each_database, redis).step()
    assert [frames_of(each_database, name) for name in ("a", "c")] == [[0], [0]]
    assert waiting_of(redis, "b") == 1


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


def test_it_goes_on_when_redis_is_killed_and_comes_back(database: Database, tmp_path: Path) -> None:
    add_stream(database)
    add_receiver(database)
    server = servers.valkey(tmp_path)
    server.start()
    redis = connect(server.url)
    metrics, stop = Metrics(), threading.Event()
    recorder = make_recorder(database, redis, metrics=metrics)
    thread = threading.Thread(target=recorder.run, args=(stop,))
    thread.start()
    try:
        worker = Worker(redis)
        worker.publish("cam", [frame_score(i, HIGH) for i in range(3)])
        wait_for(lambda: frames_of(database) == [0, 1, 2], "the first scores")
        server.kill()
        name = "normwatch_record_failures_total"
        wait_for(lambda: metrics.registry.get_sample_value(name), "a failure")
        server.start()
        worker.publish("cam", [frame_score(i, HIGH) for i in range(3, 6)])
        wait_for(lambda: frames_of(database) == list(range(6)), "the later scores")
    finally:
        stop.set()
        thread.join()
        redis.close()
        server.stop()
    assert len(events_of(database)) == 1
    assert messages_of(database) == [("cam", "event.started")]
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
    thread = threading.Thread(target=make_recorder(database, redis).run, args=(stop,))
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
        wait_for(lambda: waiting_of(redis) == 0, "all scores")
    finally:
        stop.set()
        thread.join()
    assert frames_of(database) == list(range(40))
    assert len(events_of(database)) == 1
    database.close()
