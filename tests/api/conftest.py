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


def small_settings(folder: Path, redis_url: str, models_dir: Path) -> Settings:
    """Limits that tests can go over, and a folder `media` that the operator named."""
    media = folder / "media"
    media.mkdir()
    return make_settings(
        folder / "data",
        redis_url,
        models_dir,
        media_dirs=(media,),
        allow_private_receivers=True,
        max_image_bytes=64 * 1024,
        max_image_pixels=100_000,
        max_video_bytes=2 * 1024 * 1024,
        max_upload_frames=20,
        max_upload_bytes=1024 * 1024,
    )


@pytest.fixture
def settings(
    tmp_path: Path, valkey_server: RedisServer, redis: Redis, models_dir: Path
) -> Settings:
    """A client of the test's own front end, on an empty Redis."""
    redis.ping()
    return small_settings(tmp_path, valkey_server.url, models_dir)


@pytest.fixture
def media(settings: Settings) -> Path:
    """The folder that the operator named."""
    return settings.media_dirs[0]


@pytest.fixture(scope="module")
def module_settings(
    tmp_path_factory: pytest.TempPathFactory, valkey_server: RedisServer, models_dir: Path
) -> Settings:
    """A client of a front end that a whole module shares."""
    return small_settings(tmp_path_factory.mktemp("front-end"), valkey_server.url, models_dir)


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a running front end. Modules with many small questions share one instead."""
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
