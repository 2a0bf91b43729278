"""Streams without a model, and models that may not fit: what the API says of them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from redis import Redis

from service.bus.registry import Registry
from service.settings import Settings
from tests.support.bundles import save_small_bundle
from tests.support.clips import encoded
from tests.support.front_end import client


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """The front end's settings, with a models folder that a test may change."""
    save_small_bundle(tmp_path / "models")
    return settings.model_copy(update={"models_dir": tmp_path / "models"})


def test_a_stream_without_a_model_is_shown_and_takes_no_frames(
    api: httpx.Client, redis: Redis
) -> None:
    stream_id = api.post("/streams", json={"name": "a", "source": "upload"}).json()["id"]
    assert Registry(redis).streams()[stream_id].model is None
    refused = api.post(f"/streams/{stream_id}/frames", files={"file": ("a.jpg", encoded())})
    assert refused.status_code == 409
    assert "no model" in refused.json()["error"]["message"]
    threshold = api.get(f"/streams/{stream_id}/threshold").json()
    assert (threshold["threshold"], threshold["origin"]) == (None, "model")
    assert api.patch(f"/streams/{stream_id}", json={"model": "small"}).json()["model"] == "small"
    back = api.patch(f"/streams/{stream_id}", json={"model": None}).json()
    assert (back["model"], back["warnings"]) == (None, [])


def test_the_operators_default_is_used_where_there_is_one(settings: Settings) -> None:
    with client(settings.model_copy(update={"default_model": "small"})) as api:
        made = api.post("/streams", json={"name": "a", "source": "upload"}).json()
        assert made["model"] == "small"
        found = {each["name"]: each["is_default"] for each in api.get("/models").json()["items"]}
        assert (found["small"], found["demo"]) == (True, False)
        assert api.delete("/models/small").status_code == 409


def test_an_answer_warns_of_a_foreign_model_and_of_another_rate(api: httpx.Client) -> None:
    body = {"name": "a", "source": "rtsp://127.0.0.1:9/stream", "model": "ped2-fast"}
    made = api.post("/streams", json=body).json()
    (warning,) = made["warnings"]
    assert "ped2-fast was trained on another camera" in warning
    path = f"/streams/{made['id']}"
    assert api.patch(path, json={"model": "small"}).json()["warnings"] == []
    assert api.patch(path, json={"fps": 8}).json()["warnings"] == []
    (warning,) = api.patch(path, json={"fps": 25}).json()["warnings"]
    assert "fps is 25, and small was trained at 10 frames a second" in warning
    assert api.get(path).json()["warnings"] == [warning]
