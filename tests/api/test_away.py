"""What the front end answers while Redis or the database is away, and that nothing is lost."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from redis import Redis
from sqlalchemy import Engine, event, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from service.bus.connection import connect
from service.settings import Settings
from service.store.database import Database
from service.store.tables import ScoreRow
from tests.api.conftest import small_settings
from tests.record.rows import Worker, frame_score
from tests.support import servers
from tests.support.clips import encoded
from tests.support.front_end import add_scores, client
from tests.support.servers import wait_for


def _unavailable(answer: httpx.Response, part: str) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    error = answer.json()["error"]
    assert error["code"] == "unavailable"
    assert part in error["message"]


def _recorded(database: Database, stream_id: str) -> list[int]:
    query = select(ScoreRow.frame).where(ScoreRow.stream_id == stream_id).order_by(ScoreRow.frame)
    with database.read() as session:
        return list(session.scalars(query))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Another process's transaction, which no other writer gets past."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_a_locked_database_is_read_refuses_writes_and_catches_up(
    settings: Settings, redis: Redis, stream_id: str, api: httpx.Client
) -> None:
    path = settings.data_dir / "normwatch.db"
    database = Database(settings.database)
    worker = Worker(redis)
    worker.publish(stream_id, [frame_score(n, 0.1) for n in range(3)])
    wait_for(lambda: _recorded(database, stream_id) == [0, 1, 2], "the first scores")
    with _locked(path):
        worker.publish(stream_id, [frame_score(n, 0.1) for n in range(3, 9)])
        answers: list[httpx.Response] = []
        body = {"name": "b", "source": "upload"}
        calls = [
            threading.Thread(target=lambda: answers.append(api.post("/streams", json=body))),
            threading.Thread(
                target=lambda: answers.append(api.patch(f"/streams/{stream_id}", json={"fps": 5}))
            ),
            threading.Thread(target=lambda: answers.append(api.delete(f"/streams/{stream_id}"))),
        ]
        for call in calls:
            call.start()
        assert len(api.get("/streams").json()["items"]) == 1
        assert len(api.get(f"/streams/{stream_id}/scores").json()["items"]) == 3
        upload = {"file": ("a.jpg", encoded())}
        assert api.post(f"/streams/{stream_id}/frames", files=upload).status_code == 202
        assert "normwatch_score_backlog 6.0" in api.get("/metrics").text
        assert api.get("/readyz").is_success
        for call in calls:
            call.join()
        for answer in answers:
            _unavailable(answer, "database")
    wait_for(lambda: _recorded(database, stream_id) == list(range(9)), "the later scores")
    assert api.delete(f"/streams/{stream_id}").status_code == 204
    database.close()


@contextmanager
def _full(pages: int) -> Iterator[None]:
    """New connections to SQLite find a disk that is full beyond so many pages."""

    def limit(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(Engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(Engine, "connect", limit)


def test_a_full_disk_refuses_writes_and_loses_nothing(settings: Settings, redis: Redis) -> None:
    with client(settings) as api:
        body = {"name": "yard", "source": "upload", "model": "small"}
        stream_id = str(api.post("/streams", json=body).json()["id"])
    worker = Worker(redis)
    with _full(1), client(settings) as api:
        worker.publish(stream_id, [frame_score(n, 0.1) for n in range(2000)])
        name = {"name": "x" * 200, "source": "upload", "model": "small"}
        answers = [api.post("/streams", json=name) for _ in range(60)]
        _unavailable(answers[-1], "database")
        failures = "normwatch_record_failures_total 0.0"
        wait_for(lambda: failures not in api.get("/metrics").text, "the recorder's failure")
        assert api.get(f"/streams/{stream_id}").is_success
        assert api.get(f"/streams/{stream_id}/scores").is_success
    database = Database(settings.database)
    with client(settings) as api:
        wait_for(lambda: len(_recorded(database, stream_id)) == 2000, "all scores")
        assert api.get("/readyz").is_success
    assert _recorded(database, stream_id) == list(range(2000))
    database.close()


def test_postgresql_that_is_locked_or_gone_answers_503_within_seconds(
    settings: Settings, postgres_url: str
) -> None:
    database = Database(postgres_url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    database.close()
    on_postgres = Settings(**(settings.model_dump() | {"database_url": postgres_url}))
    body = {"name": "a", "source": "upload"}
    with client(on_postgres) as api:
        path = f"/streams/{api.post('/streams', json=body).json()['id']}"
        with psycopg.connect(postgres_url) as other:
            other.execute("LOCK TABLE streams IN ACCESS EXCLUSIVE MODE")
            _unavailable(api.get(path), "database")
            other.rollback()
        assert api.get(path).is_success


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[servers.RedisServer]:
    """A server that the test may fill, stop and kill."""
    server = servers.valkey(tmp_path)
    server.start()
    yield server
    server.stop()


def test_a_full_redis_refuses_uploads_until_there_is_room(
    own_redis: servers.RedisServer, tmp_path: Path, models_dir: Path
) -> None:
    settings = small_settings(tmp_path, own_redis.url, models_dir)
    redis = connect(own_redis.url)
    upload = {"file": ("a.jpg", encoded())}
    with client(settings) as api:
        stream_id = api.post(
            "/streams", json={"name": "a", "source": "upload", "model": "small"}
        ).json()["id"]
        path = f"/streams/{stream_id}/frames"
        assert api.post(path, files=upload).json()["frames"]["first"] == 0
        redis.config_set("maxmemory", 1)
        refused = api.post(path, files=upload)
        _unavailable(refused, "Redis has no room")
        assert api.get(f"/streams/{stream_id}").is_success
        redis.config_set("maxmemory", 0)
        assert api.post(path, files=upload).json()["frames"]["first"] == 1
    redis.close()


def test_a_live_answer_outlives_redis_and_a_lock(
    own_redis: servers.RedisServer, tmp_path: Path, models_dir: Path
) -> None:
    settings = small_settings(tmp_path, own_redis.url, models_dir)
    with client(settings) as api:
        stream_id = api.post(
            "/streams", json={"name": "a", "source": "upload", "model": "small"}
        ).json()["id"]
        database = Database(settings.database)
        add_scores(database, stream_id, [0.1], started_at=time.time())
        seen: list[str] = []
        with api.stream("GET", f"/streams/{stream_id}/scores/live?after=-1") as answer:
            lines = (line for line in answer.iter_lines() if line.startswith("id: "))
            seen.append(next(lines))
            own_redis.kill()
            with _locked(settings.data_dir / "normwatch.db"):
                time.sleep(0.5)
            add_scores(database, stream_id, [0.2], first=1)
            seen.append(next(lines))
        database.close()
    assert seen == ["id: 0", "id: 1"]
