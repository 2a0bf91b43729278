"""`normwatch learn` as a user runs it: on a real front end, with a real learner."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.bundles.bundle import load
from service.model_folders import read_check
from tests.learn.conftest import LearnBench
from tests.support.commands import outcome, refusal
from tests.support.front_end import client


@pytest.fixture
def api(bench: LearnBench, walkway: Path) -> Iterator[httpx.Client]:
    """A front end that may read the video, with a stream `gate` without a model."""
    settings = bench.settings.model_copy(update={"media_dirs": (walkway.parent,)})
    with client(settings) as made:
        body = {"name": "gate", "source": str(walkway), "model": None}
        assert made.post("/streams", json=body).status_code == 201
        yield made


def _read_stream(api: httpx.Client) -> Any:
    (stream,) = api.get("/streams").json()["items"]
    return stream


def test_a_model_is_learned_checked_and_put_live(
    bench: LearnBench, api: httpx.Client, walkway: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--seconds", "20", "--preset", "tiny", "--epochs", "1", "--train-anyway")
    url = ("--url", str(api.base_url))
    with bench.learner():
        code, said = outcome(capsys, "learn", "gate", *options, "--activate", "always", *url)
    assert code == 0, said
    stream = _read_stream(api)
    assert f"model {stream['model']}" in said
    (learning,) = api.get(f"/streams/{stream['id']}/learnings").json()["items"]
    assert learning["state"] == "live" and learning["is_in_use"]
    assert learning["footage"]["seconds"] == pytest.approx(20.0, abs=0.2)
    path = bench.settings.user_models / stream["model"]
    check = read_check(path)
    assert check is not None and check.verdict in said
    assert learning["check"] == check.model_dump(mode="json")
    assert learning["pictures"]
    origin = load(path).provenance
    assert origin.settings["stream"] == stream["id"]
    assert origin.settings["learning"] == learning["id"]
    assert origin.frames + origin.held_out_frames <= 200
    assert origin.frame_rate == pytest.approx(10.0, abs=0.1)


def test_an_interrupted_command_leaves_the_learning_and_another_cancels_it(
    bench: LearnBench, api: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ("--url", str(api.base_url))
    assert "no learning under way" in refusal(capsys, "learn", "gate", "--follow", *url)
    command = [sys.executable, "-P", "-m", "service", "learn", "gate", *url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(signal.SIGINT)
        lines += process.stdout.readlines()
    assert process.returncode == 130
    assert "waiting" in lines[1] and "the learning goes on" in lines[-1]
    assert "under way" in refusal(capsys, "learn", "gate", *url), "one at a time"
    assert _read_stream(api)["learning"]["state"] == "waiting"
    code, said = outcome(capsys, "learn", "gate", "--cancel", *url)
    assert code == 0 and "is cancelled" in said
    assert _read_stream(api)["learning"] is None


def test_what_is_wrong_is_said_in_one_line(
    api: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ("--url", str(api.base_url))
    assert "there are: gate" in refusal(capsys, "learn", "door", *url)
    said = refusal(capsys, "learn", "gate", "--seconds", "1", *url)
    assert "refuses: seconds: " in said and "{" not in said
    assert "'paper' is not one of" in refusal(capsys, "learn", "gate", "--preset", "paper", *url)
    nobody = ("--url", "http://127.0.0.1:1")
    assert "no other options" in refusal(capsys, "learn", "gate", "--cancel", "--flip", *url)
    assert "does not answer" in refusal(capsys, "learn", "gate", *nobody)
