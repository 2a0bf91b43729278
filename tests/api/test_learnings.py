"""Learning a model for a stream: the API, the keeper and the bus, with a learner that is played."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from service.bus.registry import Registry
from service.learning_messages import CheckSummary, LearningState
from service.settings import Settings
from service.store.database import Database
from service.store.tables import StreamRow
from tests.api.learner import FOOTAGE, PlayedLearner, make_check
from tests.support.bundles import save_small_bundle
from tests.support.clips import encoded, video
from tests.support.front_end import client
from tests.support.servers import wait_for

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


@pytest.fixture(scope="module")
def shared(module_settings: Settings) -> Iterator[httpx.Client]:
    """One front end for questions that change nothing."""
    with client(module_settings) as made:
        yield made


@pytest.fixture(scope="module")
def shared_camera(shared: httpx.Client) -> str:
    """A camera of that front end."""
    return str(shared.post("/streams", json={"name": "x", "source": CAMERA}).json()["id"])


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


def test_versions_are_rejected_put_live_rolled_back_and_deleted(
    api: httpx.Client, settings: Settings, rows: Database, learner: PlayedLearner, camera: str
) -> None:
    first = _learn(api, camera)
    one = learner.finish(first["id"])
    learner.wait_for_state(first["id"], LearningState.LIVE)
    second = _learn(api, camera)
    two = learner.finish(second["id"], make_check(is_passed=False))
    rejected = learner.wait_for_state(second["id"], LearningState.REJECTED)
    assert (rejected["reason"], rejected["model"]) == ("It finds too little.", two)
    assert (one, two) == ("tor-sud-2-1", "tor-sud-2-2")
    assert api.get(f"/streams/{camera}").json()["model"] == one
    with rows.write() as session:
        row = session.get(StreamRow, camera)
        assert row is not None
        row.calibrated_threshold = 0.7
    live = api.post(f"/learnings/{second['id']}/activate").json()
    assert (live["state"], live["is_in_use"], live["reason"]) == ("live", True, "")
    assert api.get(f"/streams/{camera}").json()["model"] == two
    with rows.read() as session:
        row = session.get(StreamRow, camera)
        assert row is not None
        assert row.calibrated_threshold is None, "it was of the other model's scores"
    assert api.post(f"/learnings/{first['id']}/activate").json()["is_in_use"] is True
    items = api.get(f"/streams/{camera}/learnings").json()["items"]
    assert [(each["id"], each["is_in_use"]) for each in items] == [
        (second["id"], False),
        (first["id"], True),
    ]
    found = {each["name"]: each for each in api.get("/models").json()["items"]}
    assert found[one]["stream_id"] == camera
    assert found[one]["check"]["found"] == 9
    assert (found["demo"]["check"], found["demo"]["stream_id"]) == (None, None)
    refused = api.delete(f"/models/{one}")
    assert refused.status_code == 409
    assert "in use" in refused.json()["error"]["message"]
    assert api.delete(f"/models/{two}").status_code == 204
    assert not (settings.user_models / two).exists()
    assert learner.read(second["id"])["model"] is None
    again = api.post(f"/learnings/{second['id']}/activate")
    assert again.status_code == 409
    assert "no model" in again.json()["error"]["message"]


@pytest.mark.parametrize(
    ("activate", "check", "state", "reason"),
    [
        ("always", make_check(is_passed=False), "live", ""),
        ("never", make_check(), "ready", "when you like"),
        ("if_better", None, "rejected", "was not checked"),
    ],
)
def test_what_was_asked_for_decides_about_a_ready_model(
    api: httpx.Client,
    learner: PlayedLearner,
    camera: str,
    activate: str,
    check: CheckSummary | None,
    state: str,
    reason: str,
) -> None:
    made = _learn(api, camera, activate=activate)
    name = learner.wait_for_job(made["id"]).bundle
    learner.write_bundle(name, check or make_check())
    learner.report(made["id"], LearningState.READY, check=check)
    wait_for(lambda: learner.read(made["id"])["finished_at"], "the decision")
    done = learner.read(made["id"])
    assert done["state"] == state
    assert reason in done["reason"]
    assert done["is_in_use"] == (state == "live")
    assert api.get(f"/streams/{camera}").json()["learning"] is None


def test_one_is_under_way_until_it_is_cancelled(
    api: httpx.Client, settings: Settings, learner: PlayedLearner, camera: str
) -> None:
    made = _learn(api, camera)
    refused = api.post(f"/streams/{camera}/learn")
    assert refused.status_code == 409
    assert made["id"] in refused.json()["error"]["message"]
    learner.report_and_wait(made["id"], LearningState.COLLECTING, footage=FOOTAGE)
    assert learner.wait_for_job(made["id"]).train_anyway is False
    assert api.post(f"/learnings/{made['id']}/train").json()["request"]["train_anyway"] is True
    wait_for(lambda: learner.wait_for_job(made["id"]).train_anyway, "the changed job")
    assert learner.wait_for_job(made["id"]).train_now
    cancelled = api.post(f"/learnings/{made['id']}/cancel").json()
    assert cancelled["state"] == "cancelled"
    wait_for(lambda: learner.wait_for_job(made["id"]).is_cancelled, "the cancelled job")
    learner.finish(made["id"])
    second = _learn(api, camera)
    assert learner.wait_for_job(second["id"]).bundle == "tor-sud-2-2"
    assert learner.read(made["id"])["state"] == "cancelled", "it came too late"
    assert api.get(f"/streams/{camera}").json()["model"] is None
    for path in ("cancel", "train"):
        over = api.post(f"/learnings/{made['id']}/{path}")
        assert over.status_code == 409
        assert "it is cancelled" in over.json()["error"]["message"]
    assert learner.report_and_wait(second["id"], LearningState.FAILED, reason="no picture")[
        "finished_at"
    ]
    assert api.post(f"/learnings/{second['id']}/activate").status_code == 409


def test_it_is_trained_with_what_there_is_once_that_is_enough_to_train_on(
    api: httpx.Client, learner: PlayedLearner, camera: str
) -> None:
    made = _learn(api, camera, fps=5)
    path = f"/learnings/{made['id']}/train"

    def ask() -> str:
        refused = api.post(path)
        assert refused.status_code == 409
        return str(refused.json()["error"]["message"])

    assert ask() == "nothing is collected yet"
    little = FOOTAGE.model_copy(update={"seconds": 15.9})
    learner.report_and_wait(made["id"], LearningState.COLLECTING, footage=little)
    assert ask() == "only 15 s of footage are collected yet, of at least 16 s"
    assert learner.read(made["id"])["request"]["train_anyway"] is False
    enough = FOOTAGE.model_copy(update={"seconds": 16.0})
    learner.report(made["id"], LearningState.COLLECTING, footage=enough)
    wait_for(lambda: api.post(path).is_success, "enough footage")
    assert learner.wait_for_state(made["id"], LearningState.COLLECTING)["request"]["train_anyway"]
    api.post(f"/learnings/{made['id']}/cancel")
    slow = _learn(api, camera, fps=1)
    learner.report_and_wait(slow["id"], LearningState.COLLECTING, footage=enough)
    refused = api.post(f"/learnings/{slow['id']}/train")
    assert "of at least 60 s" in refused.json()["error"]["message"]


def test_no_model_goes_live_before_its_learning_is_ready(
    api: httpx.Client, learner: PlayedLearner, camera: str
) -> None:
    made = _learn(api, camera, activate="never")
    name = learner.wait_for_job(made["id"]).bundle
    learner.report_and_wait(made["id"], LearningState.CHECKING)
    archive = api.get("/models/small/archive").content
    taken = api.post(f"/models/{name}", content=archive)
    assert taken.status_code == 409
    assert f"{name} will be the model of learning {made['id']}" in taken.text
    learner.write_bundle(name, make_check())
    early = api.post(f"/learnings/{made['id']}/activate")
    assert early.status_code == 409
    assert "no model yet: it is checking" in early.json()["error"]["message"]
    learner.report_and_wait(made["id"], LearningState.READY, check=make_check())
    assert api.post(f"/learnings/{made['id']}/activate").json()["is_in_use"]


def test_the_weights_to_begin_with_have_the_presets_network(api: httpx.Client, camera: str) -> None:
    for start, preset, reason in (
        ("demo", "fast", "models that fit the preset: ped2-fast; presets that fit the model: none"),
        ("ped2-judged", "fast", "presets that fit the model: small"),
        ("ped2-fast", "small", "models that fit the preset: ped2-judged; "),
        ("small", "tiny", "models that fit the preset: none; "),
    ):
        body = {"start": start, "preset": preset}
        answer = api.post(f"/streams/{camera}/learn", json=body)
        assert answer.status_code == 422, answer.text
        (found,) = answer.json()["error"]["fields"]
        assert (found["field"], reason in found["reason"]) == ("start", True), found
    assert _learn(api, camera, start="ped2-judged", preset="small")["request"]["preset"] == "small"


def test_a_restart_of_the_front_end_loses_no_learning(settings: Settings, redis: Redis) -> None:
    states = (LearningState.WAITING, LearningState.COLLECTING, LearningState.TRAINING)
    begun: dict[str, str] = {}
    with client(settings) as api:
        learner = PlayedLearner(redis, settings.user_models, api)
        for state in states:
            body = {"name": state.value, "source": CAMERA}
            stream_id = api.post("/streams", json=body).json()["id"]
            begun[stream_id] = _learn(api, stream_id)["id"]
            learner.wait_for_job(begun[stream_id])
            if state is not LearningState.WAITING:
                learner.report_and_wait(begun[stream_id], state)
    # Their learner goes on while no front end runs.
    names = {stream_id: learner.finish(ident) for stream_id, ident in begun.items()}
    with client(settings) as api:
        learner = PlayedLearner(redis, settings.user_models, api)
        for stream_id, ident in begun.items():
            learner.wait_for_state(ident, LearningState.LIVE)
            assert api.get(f"/streams/{stream_id}").json()["model"] == names[stream_id]


def test_a_removed_stream_takes_its_learnings_with_it_and_leaves_the_model(
    api: httpx.Client, settings: Settings, learner: PlayedLearner, camera: str
) -> None:
    first = _learn(api, camera)
    name = learner.finish(first["id"])
    learner.wait_for_state(first["id"], LearningState.LIVE)
    second = _learn(api, camera)
    learner.wait_for_job(second["id"])
    assert api.delete(f"/streams/{camera}").status_code == 204
    learner.wait_until_dropped(second["id"])
    for ident in (first["id"], second["id"]):
        assert api.get(f"/learnings/{ident}").status_code == 404
    assert api.get(f"/streams/{camera}/learnings").status_code == 404
    assert (settings.user_models / name / "bundle.json").is_file()


def test_a_stream_learns_from_videos_too(
    api: httpx.Client, redis: Redis, media: Path, learner: PlayedLearner
) -> None:
    (media / "a.mp4").write_bytes(video(5))
    body = {"name": "東口", "source": "upload"}
    stream_id = api.post("/streams", json=body).json()["id"]
    nothing = api.post(f"/streams/{stream_id}/learn", json={})
    assert nothing.status_code == 422
    (field,) = nothing.json()["error"]["fields"]
    assert (field["field"], "must name videos" in field["reason"]) == ("sources", True)
    made = _learn(api, stream_id, sources=[str(media / "a.mp4")], fps=5)
    assert made["request"]["sources"] == [str(media / "a.mp4")]
    job = learner.wait_for_job(made["id"])
    assert (job.sources, job.fps, job.bundle) == ((str(media / "a.mp4"),), 5.0, "camera-1")
    api.post(f"/learnings/{made['id']}/cancel")
    url = _learn(api, stream_id, sources=[CAMERA])
    assert url["request"]["sources"] == ["rtsp://***@127.0.0.1:9/stream"]
    assert learner.wait_for_job(url["id"]).sources == (CAMERA,)


def test_only_pictures_of_the_report_are_answered(
    api: httpx.Client, settings: Settings, learner: PlayedLearner, camera: str
) -> None:
    made = _learn(api, camera)
    name = learner.finish(made["id"])
    learner.wait_for_state(made["id"], LearningState.LIVE)
    report = settings.user_models / name / "report"
    outside = settings.user_models / "outside.jpg"
    outside.write_bytes(encoded())
    (report / "link.jpg").symlink_to(outside)
    path = f"/learnings/{made['id']}/report"
    answer = api.get(f"{path}/intruder.jpg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    for picture in (
        "notes.txt",
        "link.jpg",
        "missing.jpg",
        "..%2Fbundle.json",
        "..%2F..%2Foutside.jpg",
        "%2Fetc%2Fpasswd",
        ".jpg",
    ):
        assert api.get(f"{path}/{picture}").status_code == 404, picture
    assert api.get("/learnings/nobody/report/intruder.jpg").status_code == 404


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"seconds": 15}, "seconds", "greater than or equal to 16"),
        ({"seconds": 86_401}, "seconds", "less than or equal to 86400"),
        ({"seconds": "600"}, "seconds", "valid number"),
        ({"fps": 0}, "fps", "greater than or equal to 0.1"),
        ({"fps": 61}, "fps", "less than or equal to 60"),
        ({"preset": "huge"}, "preset", "'fast', 'small', 'medium' or 'tiny'"),
        ({"epochs": 0}, "epochs", "greater than or equal to 1"),
        ({"epochs": 1001}, "epochs", "less than or equal to 1000"),
        ({"epochs": 1.5}, "epochs", "integer"),
        ({"activate": "maybe"}, "activate", "'if_better', 'always' or 'never'"),
        ({"sources": []}, "sources", "at least 1"),
        ({"sources": ["upload"]}, "sources[0]", "must be a video"),
        ({"sources": ["/nowhere/a.mp4"]}, "sources[0]", "NORMWATCH_MEDIA_DIRS"),
        ({"sources": [CAMERA, CAMERA]}, "sources[0]", "alone"),
        ({"sources": ["rtsp://***@h/1"]}, "sources[0]", "***"),
        ({"start": "nobody"}, "start", "auto, none or one of the models: small"),
        ({"speed": 3}, "speed", "not permitted"),
    ],
)
def test_bad_input_is_named(
    shared: httpx.Client, shared_camera: str, body: dict[str, object], field: str, reason: str
) -> None:
    answer = shared.post(f"/streams/{shared_camera}/learn", json=body)
    assert answer.status_code == 422, answer.text
    (found,) = answer.json()["error"]["fields"]
    assert found["field"] == field
    assert reason in found["reason"]
    assert "geheim" not in answer.text


def test_what_is_not_there_is_not_found(shared: httpx.Client) -> None:
    for method, path in (
        ("POST", "/streams/nobody/learn"),
        ("GET", "/streams/nobody/learnings"),
        ("GET", "/learnings/nobody"),
        ("POST", "/learnings/nobody/cancel"),
        ("POST", "/learnings/nobody/train"),
        ("POST", "/learnings/a%00b/activate"),
    ):
        assert shared.request(method, path).status_code == 404, path
