"""Learning a model for a stream: the API, the keeper and the bus, with a learner that is played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from service.bus.registry import Registry
from service.learning_messages import LearningState
from service.settings import Settings
from tests.api.learner import FOOTAGE, PlayedLearner
from tests.support.bundles import save_small_bundle

CAMERA = "rtsp://viewer:geheim@127.0.0.1:9/stream"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """The front end's settings, with a models folder that a test may change."""
    save_small_bundle(tmp_path / "models")
    return settings.model_copy(update={"models_dir": tmp_path / "models"})


@pytest.fixture
def learner(redis: Redis, settings: Settings, api: httpx.Client) -> PlayedLearner:
    """A learner to play."""
    return PlayedLearner(redis, settings.user_models, api)


@pytest.fixture
def camera(api: httpx.Client) -> str:
    """A camera without a model."""
    answer = api.post("/streams", json={"name": "Tor Süd (2)", "source": CAMERA})
    assert answer.status_code == 201, answer.text
    assert answer.json()["model"] is None
    return str(answer.json()["id"])


def _learn(api: httpx.Client, stream_id: str, **body: object) -> dict[str, Any]:
    answer = api.post(f"/streams/{stream_id}/learn", json=body)
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_a_stream_learns_its_model_and_uses_it(
    api: httpx.Client, redis: Redis, learner: PlayedLearner, camera: str
) -> None:
    made = _learn(api, camera, seconds=1200, preset="tiny", epochs=3, flip=True)
    assert (made["state"], made["stream_id"]) == ("waiting", camera)
    assert (made["model"], made["is_in_use"], made["finished_at"]) == (None, False, None)
    assert api.get(f"/streams/{camera}").json()["learning"] == made
    job = learner.wait_for_job(made["id"])
    assert (job.sources, job.fps, job.seconds) == ((CAMERA,), 10.0, 1200.0)
    assert (job.bundle, job.preset, job.epochs, job.flip) == ("tor-sud-2-1", "tiny", 3, True)
    assert job.current_model is None
    collecting = learner.report_and_wait(
        made["id"],
        LearningState.COLLECTING,
        progress=0.25,
        remaining_s=900.0,
        reason="rtsp://viewer:geheim@127.0.0.1:9/stream is slow",
        footage=FOOTAGE,
    )
    assert (collecting["progress"], collecting["remaining_s"]) == (0.25, 900.0)
    assert collecting["footage"]["covered"] == [[0.1, 0.9]]
    assert "geheim" not in str(collecting)
    training = learner.report_and_wait(made["id"], LearningState.TRAINING, loss=0.5)
    assert (training["loss"], training["footage"]["used_s"]) == (0.5, 580.0)
    revision = api.get(f"/streams/{camera}").json()["revision"]
    name = learner.finish(made["id"])
    done = learner.wait_for_state(made["id"], LearningState.LIVE)
    assert (done["model"], done["is_in_use"]) == (name, True)
    assert (done["check"]["found"], done["check"]["kinds"][0]["kind"]) == (9, "intruder")
    assert done["pictures"] == ["intruder.jpg"]
    assert done["finished_at"] is not None
    stream = api.get(f"/streams/{camera}").json()
    assert (stream["model"], stream["learning"]) == (name, None)
    assert stream["revision"] == revision + 1
    assert Registry(redis).streams()[camera].model == name
    learner.wait_until_dropped(made["id"])
