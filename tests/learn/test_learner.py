"""A learner from a camera or videos to a bundle, killed and cancelled on the way."""

from __future__ import annotations

from pathlib import Path

from model.bundles.bundle import load
from service.learning_messages import CheckSummary, LearningState
from tests.learn.conftest import LearnBench


def test_a_video_becomes_a_checked_bundle(bench: LearnBench, walkway: Path) -> None:
    bench.ask(walkway, train_anyway=True)
    with bench.learner() as learner:
        ready = bench.wait_for_state(LearningState.READY)
    assert ready.learner == learner.id
    assert ready.footage is not None and ready.footage.seconds > 19.0
    path = bench.settings.user_models / "cam-one"
    check = CheckSummary.model_validate_json((path / "check.json").read_bytes())
    assert ready.check == check
    assert list((path / "report").iterdir())
    origin = load(path).provenance
    assert origin.settings["stream"] == "cam" and origin.settings["learning"] == "one"
    assert origin.frames + origin.held_out_frames <= 200
    assert origin.frame_rate == 10.0
