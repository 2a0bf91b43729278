"""A browser, and a front end with something to show."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from redis import Redis

from service.settings import Settings
from service.store.database import Database
from tests.page.scene import Scene, fill
from tests.support.front_end import front_end, make_settings
from tests.support.servers import RedisServer

CHROMIUM = shutil.which("chromium")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing, and CI must have it")
        pytest.skip("chromium is missing on this machine")
    expect.set_options(timeout=20_000)  # as scene.open's: machines that test are busy
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield made
        made.close()


@pytest.fixture
def settings(
    tmp_path: Path, valkey_server: RedisServer, redis: Redis, models_dir: Path
) -> Settings:
    """An empty service."""
    redis.ping()
    return make_settings(tmp_path, valkey_server.url, models_dir)


@pytest.fixture
def scene(settings: Settings, redis: Redis) -> Iterator[Scene]:
    """A live upload stream with scores, events and a preview, and a second, quiet one."""
    database = Database(settings.database)
    with front_end(settings) as url:
        body = {"name": "Loading bay", "source": "upload", "model": "small"}
        stream_id = httpx.post(f"{url}/streams", json=body).json()["id"]
        source = "rtsp://u:geheim@127.0.0.1:9/s"
        quiet = {"name": "Stairwell <b>north</b>", "source": source, "model": "small"}
        httpx.post(f"{url}/streams", json=quiet)
        fill(database, redis, stream_id)
        made = Scene(url, database, redis, stream_id)
        yield made
    database.close()
    assert made.faults == []
