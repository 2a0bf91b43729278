"""What every test may ask for: real servers, databases, footage, small bundles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from service.bus.connection import connect
from service.store.database import Database
from tests.support import redis_groups, servers
from tests.support.bundles import save_small_bundle

SHARED = Path(__file__).resolve().parents[2] / "shared"
IN_CI = os.environ.get("CI") == "true"

# Scores are compared to the last digits, and an engine chosen by a stopwatch rounds in its own way;
# tests of the choice ask for it.
os.environ.setdefault("NORMWATCH_ENGINE", "torch-fp32")


def _missing(what: str) -> None:
    """Skip, visibly; in CI nothing may be missing."""
    if IN_CI:
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is missing on this machine")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of footage next to the project."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared next to the project")
    return SHARED


@pytest.fixture(scope="session")
def ped2(shared: Path) -> Path:
    """UCSD Ped2."""
    return shared / "data" / "ped2"


@pytest.fixture(scope="session")
def redis_program() -> str:
    """Debian's redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        _missing("redis-server")
    return str(program)


@pytest.fixture(scope="session")
def redis7_url(redis_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Redis 7."""
    server = servers.redis7(tmp_path_factory.mktemp("redis7"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def cluster_url(redis_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of three masters."""
    with redis_groups.cluster(tmp_path_factory.mktemp("cluster")) as (url, _):
        yield url


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RedisServer]:
    """The embedded server alone, for tests where the kind doesn't matter."""
    server = servers.valkey(tmp_path_factory.mktemp("bus"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis(valkey_server: servers.RedisServer) -> Iterator[Redis]:
    """An empty Redis (the embedded one)."""
    client = connect(valkey_server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(params=["valkey", "redis7", "cluster"])
def each_redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """An empty Redis of each kind: the embedded Valkey, Redis 7, and a cluster."""
    if request.param == "valkey":
        url = request.getfixturevalue("valkey_server").url
    else:
        url = request.getfixturevalue(f"{request.param}_url")
    client = connect(url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="session")
def mosquitto_program() -> str:
    """Debian's mosquitto."""
    program = shutil.which("mosquitto")
    if program is None:
        _missing("mosquitto")
    return str(program)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A migrated SQLite database."""
    made = Database(f"sqlite:///{tmp_path / 'test.db'}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server."""
    if servers.postgres_programs() is None:
        _missing("PostgreSQL")
    with servers.postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def each_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database of each kind, empty."""
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path / 'test.db'}")
    else:
        made = Database(request.getfixturevalue("postgres_url"))
        with made.engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
    made.migrate()
    yield made
    made.close()


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one small bundle, `small`."""
    folder = tmp_path_factory.mktemp("models")
    save_small_bundle(folder)
    return folder
