"""Health, metrics, and what goes on while a part is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from service.bus.registry import Registry
from service.messages import StreamState, StreamStatus, WorkerStatus
from service.settings import Settings
from service.store.database import Database
from tests.support import servers
from tests.support.clips import encoded
from tests.support.front_end import add_scores, client, make_settings
from tests.support.servers import wait_for


def test_it_is_alive_and_ready(api: httpx.Client) -> None:
    assert api.get("/healthz").json() == {"status": "alive"}
    assert api.get("/readyz").json() == {"status": "ready", "database": "ok", "redis": "ok"}


def test_metrics_tell_of_requests_streams_and_workers(
    api: httpx.Client, redis: Redis, stream_id: str
) -> None:
    status = StreamStatus(state=StreamState.LIVE, since=1.0, scored=12)
    worker = WorkerStatus(id="w", started_at=1.0, seen_at=time.time(), streams=1, device="cpu")
    Registry(redis).report({stream_id: status}, worker)
    api.get(f"/streams/{stream_id}")
    api.get("/some/unknown/path")
    api.request("BREW", "/streams")
    text = api.get("/metrics").text
    assert (
        'normwatch_http_requests_total{method="GET",route="/streams/{stream_id}",status="200"} 1.0'
        in text
    )
    assert 'route="unmatched",status="404"' in text
    assert "/some/unknown" not in text
    assert "BREW" not in text
    assert f'normwatch_scored_frames_total{{stream="{stream_id}"}} 12.0' in text
    assert 'normwatch_worker_streams{worker="w"} 1.0' in text


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[servers.RedisServer]:
    """A server that the test may kill."""
    server = servers.valkey(tmp_path)
    server.start()
    yield server
    server.stop()


def test_without_redis_the_database_is_still_read(
    own_redis: servers.RedisServer, tmp_path: Path, models_dir: Path
) -> None:
    settings = make_settings(tmp_path / "data", own_redis.url, models_dir)
    with client(settings) as api:
        body = {"name": "a", "source": "upload", "model": "small"}
        stream_id = api.post("/streams", json=body).json()["id"]
        database = Database(settings.database)
        add_scores(database, stream_id, [0.1])
        database.close()
        own_redis.kill()
        status = api.get(f"/streams/{stream_id}").json()["status"]
        assert (status["state"], status["reason"]) == ("pending", "Redis does not answer")
        assert len(api.get(f"/streams/{stream_id}/scores").json()["items"]) == 1
        assert api.get("/metrics").status_code == 200
        assert api.get("/healthz").status_code == 200
        ready = api.get("/readyz")
        assert ready.status_code == 503
        assert [field["field"] for field in ready.json()["error"]["fields"]] == ["redis"]
        upload = {"file": ("a.jpg", encoded())}
        for answer in (
            api.post(f"/streams/{stream_id}/frames", files=upload),
            api.get(f"/streams/{stream_id}/frame.jpg"),
        ):
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["error"]["code"] == "unavailable"
        # The database holds what was said meanwhile; Redis hears of it when it is back.
        late = api.post("/streams", json={"name": "late", "source": "upload"})
        assert late.status_code == 201
        assert api.delete(f"/streams/{stream_id}").status_code == 204
        own_redis.start()
        wait_for(
            lambda: list(_list_published(own_redis.url)) == [late.json()["id"]],
            "the streams in Redis",
        )
        wait_for(lambda: api.get("/readyz").is_success, "readiness")


def _list_published(url: str) -> list[str]:
    redis = Redis.from_url(url)
    try:
        return list(Registry(redis).streams())
    finally:
        redis.close()


def test_without_its_database_it_says_so(
    settings: Settings, stream_id: str, api: httpx.Client
) -> None:
    database = Database(settings.database)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE streams RENAME TO gone")
        connection.exec_driver_sql("DROP TABLE alembic_version")
    database.close()
    for path in ("/streams", f"/streams/{stream_id}"):
        answer = api.get(path)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert "database" in answer.json()["error"]["message"]
    ready = api.get("/readyz")
    assert ready.status_code == 503
    assert [field["field"] for field in ready.json()["error"]["fields"]] == ["database"]
    assert api.get("/metrics").status_code == 200
