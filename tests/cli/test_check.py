"""`normwatch check`, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.learning_messages import CheckSummary
from service.tools.demo.video import write_video
from service.tools.demo.walkway import draw_frames
from tests.support.commands import outcome, refusal

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few seconds of the scene that the bundle `demo` knows."""
    path = tmp_path_factory.mktemp("footage") / "scene.mp4"
    write_video(path, draw_frames(901, 4.0, []))
    return path


def test_footage_that_is_too_short_does_not_pass(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, report = tmp_path / "check.json", tmp_path / "report"
    options = ("--hold-out", "0.5", "--json", str(file), "--report", str(report))
    code, said = outcome(capsys, "check", "demo", str(video), *options)
    assert code == 1
    assert "at least 3 minutes are needed" in said
    assert "not passed: it can't be checked" in said
    assert CheckSummary.model_validate(json.loads(file.read_text())).scenes == 0
    assert (report / "index.html").exists()


def test_what_is_wrong_is_refused(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--hold-out" in refusal(capsys, "check", "demo", str(video), "--hold-out", "0.9")
    assert "is a file" in refusal(capsys, "check", "demo", str(video), "--report", str(video))
    assert "no such" in refusal(capsys, "check", "demo", str(tmp_path / "none.mp4"))
    refusal(capsys, "check", "nobody", str(video))
