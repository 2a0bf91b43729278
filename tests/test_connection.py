"""URLs of Redis: what they mean, what is refused, and servers that go and come back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from service.bus.connection import check_url, connect
from service.bus.leases import Leases
from service.bus.registry import Registry
from service.errors import BadInput
from service.messages import StreamConfig
from service.metrics import Metrics
from service.record.recorder import Recorder
from service.settings import Settings
from service.store.database import Database
from tests.record.rows import Worker, add_stream, frame_score
from tests.support import redis_groups
from tests.support.front_end import client, make_settings
from tests.support.servers import free_port, wait_for


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1/0",
        "rediss://u:p@redis.example:6380",
        "unix:///tmp/x.sock",
        "redis+sentinel://127.0.0.1/mymaster",
        "rediss+sentinel://u:p@a:1,b:2,[::1]:3/mymaster/4",
        "redis+cluster://127.0.0.1:1",
        "redis+cluster://u:p%40@a,b:2/0",
    ],
)
def test_every_form_is_taken_and_nothing_is_sent(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("127.0.0.1:6379", "one of the forms"),
        ("http://u:geheim@host/", "one of the forms"),
        ("redis://:geheim@host:port", "one of the forms"),
        ("redis+sentinel://u:geheim@a:1,b:2", "must name the master"),
        ("redis+sentinel://u:geheim@a:1/mymaster/x", "number of a database"),
        ("redis+sentinel://u:geheim@a:1,,b/mymaster", "list hosts"),
        ("redis+cluster://u:geheim@a:70000", "list hosts"),
        ("redis+cluster://u:geheim@a:1/3", "must not name a database"),
        ("redis+cluster://", "list hosts"),
    ],
)
def test_what_is_no_url_is_refused_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as caught:
        check_url(url)
    assert caught.value.field == "REDIS_URL"
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_servers_that_are_away_are_an_error_of_redis_without_the_password(kind: str) -> None:
    path = "/mymaster" if kind == "sentinel" else ""
    redis = connect(f"redis+{kind}://u:geheim@127.0.0.1:{free_port()}{path}")
    scripts = Leases(redis, "w", 5.0)
    for call in (redis.ping, lambda: scripts.acquire("cam"), lambda: Registry(redis).statuses("a")):
        with pytest.raises(RedisError) as caught:
            call()
        assert "geheim" not in str(caught.value)
    redis.close()


def test_a_front_end_begins_without_its_cluster(tmp_path: Path, models_dir: Path) -> None:
    url = f"redis+cluster://127.0.0.1:{free_port()}"
    with client(make_settings(tmp_path, url, models_dir)) as api:
        assert api.get("/streams").json() == {"items": []}
        assert api.get("/readyz").status_code == 503
        assert api.post("/streams", json={"name": "a", "source": "upload"}).status_code == 201


@pytest.mark.usefixtures("redis_program")
def test_a_recorder_on_a_cluster_goes_on_when_its_nodes_come_back(
    tmp_path: Path, database: Database
) -> None:
    names = [f"cam{number}" for number in range(6)]
    for name in names:
        add_stream(database, name)
    with redis_groups.cluster(tmp_path) as (url, nodes):
        redis = connect(url)
        recorder = Recorder(database, redis, Settings(), Metrics(), owner="f", clock=time.time)
        worker = Worker(redis)
        for name in names:
            worker.publish(name, [frame_score(0, 0.1), frame_score(1, 0.2)])
        assert recorder.step() == 12
        assert set(Registry(redis).streams()) == set(names)
        for node in nodes:
            node.kill()
        with pytest.raises(RedisError):
            recorder.step()
        for node in nodes:
            node.start()

        def records() -> bool:
            try:
                recorder.step()
            except RedisError:
                return False
            return set(Registry(redis).streams()) == set(names)

        wait_for(records, "the cluster")
        for name in names:
            Worker(redis).publish(name, [frame_score(2, 0.1)])
        assert recorder.step() == 6
        redis.close()


@pytest.mark.usefixtures("redis_program")
def test_a_client_follows_the_sentinels_to_the_new_master(tmp_path: Path) -> None:
    with redis_groups.sentinel(tmp_path) as watched:
        redis = connect(watched.url)
        registry = Registry(redis)
        registry.publish([StreamConfig(id="cam", revision=1, source="upload", model="m")])
        assert redis.wait(1, 10_000) == 1
        first = Leases(redis, "a", 5.0).acquire("cam")
        watched.master.kill()

        def follows() -> bool:
            try:
                registry.publish([StreamConfig(id="cam", revision=2, source="upload", model="m")])
            except RedisError as error:
                assert redis_groups.PASSWORD not in str(error)
                return False
            return True

        wait_for(follows, "the new master")
        assert registry.streams()["cam"].revision == 2
        assert watched.replica.says("HEXISTS", "nw:streams", "cam") == "True"
        assert first is not None
        redis.close()
