"""A front end to ask, with small limits, and its database to write into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from service.settings import Settings
from service.store.database import Database
from tests.support.front_end import client, make_settings
from tests.support.servers import RedisServer


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder that the operator named."""
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(
    tmp_path: Path, valkey_server: RedisServer, redis: Redis, models_dir: Path, media: Path
) -> Settings:
    """Small limits, so that tests can go over them. Redis is empty."""
    redis.ping()
    return make_settings(
        tmp_path / "data",
        valkey_server.url,
        models_dir,
        media_dirs=(media,),
        allow_private_webhooks=True,
        max_image_bytes=64 * 1024,
        max_image_pixels=100_000,
        max_video_bytes=2 * 1024 * 1024,
        max_upload_frames=20,
        max_upload_bytes=1024 * 1024,
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a running front end."""
    with client(settings) as made:
        yield made


@pytest.fixture
def rows(api: httpx.Client, settings: Settings) -> Iterator[Database]:
    """The running front end's database."""
    assert api.get("/healthz").is_success
    database = Database(settings.database)
    yield database
    database.close()


@pytest.fixture
def stream_id(api: httpx.Client) -> str:
    """A stream that takes uploads."""
    answer = api.post("/streams", json={"name": "yard", "source": "upload", "model": "small"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])
