"""When a container needs an API key, and whom it answers without one; and its health check."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from redis import Redis
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.api.auth import AccessGate
from service.api.network_exposure import check_exposure
from service.bus.learnings import Learnings
from service.bus.registry import Registry
from service.errors import BadInput
from service.messages import WorkerStatus
from service.settings import Settings
from tests.support.servers import RedisServer, free_port

HEALTH = Path(__file__).resolve().parents[2] / "deploy/health.py"


@pytest.fixture(scope="module")
def health() -> ModuleType:
    spec = importlib.util.spec_from_file_location("health", HEALTH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_port_published_on_loopback_needs_no_key() -> None:
    check_exposure(Settings(host="0.0.0.0", published_host="127.0.0.1"))


@pytest.mark.parametrize("published", ["0.0.0.0", "192.168.1.5", "::", ""])
def test_a_port_published_elsewhere_needs_a_key(published: str) -> None:
    with pytest.raises(BadInput, match=r"NORMWATCH_PUBLISHED_HOST.*API key"):
        check_exposure(Settings(host="0.0.0.0", published_host=published))
    check_exposure(
        Settings(host="0.0.0.0", published_host=published, api_keys=("a-secret-of-many-letters",))
    )


def _asked_as(host: str, settings: Settings) -> int:
    app = AccessGate(Starlette(routes=[Route("/", lambda _: PlainTextResponse("hello"))]), settings)

    async def ask() -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}:8000") as http:
            return (await http.get("/")).status_code

    return asyncio.run(ask())


def test_only_allowed_names_are_answered_without_a_key() -> None:
    settings = Settings(allowed_hosts=("api",))
    assert _asked_as("api", settings) == 200
    assert _asked_as("API", settings) == 200
    assert _asked_as("127.0.0.1", settings) == 200
    assert _asked_as("evil.example", settings) == 421


def test_allowed_hosts_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMWATCH_ALLOWED_HOSTS", "api, normwatch.lan")
    assert Settings().allowed_hosts == ("api", "normwatch.lan")


def _report(redis: Redis, worker_id: str, seen_at: float) -> None:
    status = WorkerStatus(id=worker_id, started_at=0.0, seen_at=seen_at, streams=0, device="cpu")
    Registry(redis).report({}, status)


def test_a_worker_is_well_while_it_reports(
    health: ModuleType,
    redis: Redis,
    valkey_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NORMWATCH_REDIS_URL", valkey_server.url)
    assert "no worker of box" in health.find_worker_problem("box")
    _report(redis, "box-7", time.time())
    assert health.find_worker_problem("box") is None
    assert "no worker of other" in health.find_worker_problem("other")
    _report(redis, "box-7", time.time() - 3600)
    assert "no worker of box" in health.find_worker_problem("box")


def test_a_learner_is_well_while_it_reports(
    health: ModuleType,
    redis: Redis,
    valkey_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NORMWATCH_REDIS_URL", valkey_server.url)
    assert "no learner of box" in health.find_learner_problem("box")
    Learnings(redis).beat("box-7", time.time())
    assert health.find_learner_problem("box") is None
    Learnings(redis).beat("box-7", time.time() - 3600)
    assert "no learner of box" in health.find_learner_problem("box")


def test_parts_that_do_not_answer_are_not_well(
    health: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("NORMWATCH_REDIS_URL", f"redis://127.0.0.1:{port}/0")
    monkeypatch.setenv("NORMWATCH_PORT", str(port))
    assert "Redis does not answer" in health.find_worker_problem("box")
    assert "Redis does not answer" in health.find_learner_problem("box")
    assert "is not ready" in health.find_api_problem()
