"""Brokers over HTTP: registered, listed, tested, updated, and cleared when they are deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.alert.mqtt.front_ends import REAL_PASSWORD, Listener, url
from tests.support.front_end import client, make_settings
from tests.support.servers import Broker, RedisServer, wait_for


@pytest.fixture
def api(
    tmp_path: Path, valkey_server: RedisServer, redis: Redis, models_dir: Path
) -> Iterator[httpx.Client]:
    """A front end that may call this machine."""
    settings = make_settings(
        tmp_path / "data", valkey_server.url, models_dir, allow_private_receivers=True
    )
    with client(settings) as made:
        yield made


def test_a_broker_lives_as_its_receiver_does(
    api: httpx.Client, broker: Broker, listener: Listener
) -> None:
    body = {"name": "yard", "source": "upload", "model": "small"}
    stream = api.post("/streams", json=body).json()["id"]
    made = api.post("/receivers", json={"url": url(broker)})
    assert made.status_code == 201, made.text
    hook = made.json()
    assert (hook["kind"], hook["url"], hook["secret"]) == (
        "mqtt",
        f"mqtt://***@127.0.0.1:{broker.port}/nw",
        None,
    )
    tested = api.post(f"/receivers/{hook['id']}/test").json()
    assert (tested["accepted"], tested["error"]) == (True, None)
    wait_for(lambda: listener.ids == [tested["message_id"]], "the test")
    config = f"homeassistant/device/normwatch_{hook['id']}/{stream}/config"
    wait_for(lambda: config in listener.held, "the stream")
    assert api.patch(f"/streams/{stream}", json={"name": "Yard"}).is_success
    wait_for(lambda: listener.json(config)["device"]["name"] == "Yard", "its name")
    wrong = {"url": url(broker, password="not-it")}
    assert api.patch(f"/receivers/{hook['id']}", json=wrong).is_success
    listener.wait("nw/status", b"offline")
    tested = api.post(f"/receivers/{hook['id']}/test").json()
    assert not tested["accepted"]
    assert "user name or password" in tested["error"]
    assert api.patch(f"/receivers/{hook['id']}", json={"url": url(broker)}).is_success
    wait_for(lambda: listener.held.get("nw/status") == b"online", "the right password")
    assert config in listener.held
    assert api.delete(f"/receivers/{hook['id']}").status_code == 204
    wait_for(lambda: listener.held == {}, "nothing")
    said = tested["error"] + made.text
    assert REAL_PASSWORD not in said
    assert "not-it" not in said


def test_a_wrong_broker_is_refused(api: httpx.Client) -> None:
    answer = api.post("/receivers", json={"url": "mqtt://u:geheim@broker.test/a/+"})
    assert answer.status_code == 422
    (field,) = answer.json()["error"]["fields"]
    assert field["field"] == "url"
    assert "topic prefix" in field["reason"]
    assert "geheim" not in answer.text
