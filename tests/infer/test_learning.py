"""A stream without a model: its picture is displayed, it has no scores, and a model can be set."""

from __future__ import annotations

from pathlib import Path

from service import keys
from service.messages import NO_MODEL, DropReason, StreamState
from tests.infer.conftest import Bus
from tests.support.footage import drawn_picture, write_video
from tests.support.rtsp import rtsp_server
from tests.support.servers import wait_for


def test_a_camera_without_a_model_is_displayed_and_gets_one(bus: Bus, tmp_path: Path) -> None:
    video = write_video(tmp_path / "one.mp4", map(drawn_picture, range(1200)), fps=20)
    videos = {"/one": video}
    with rtsp_server(videos) as base, bus.worker():
        bus.add("one", source=f"{base}/one", fps=20.0, model=None)
        status = bus.wait_state("one", StreamState.LEARNING)
        assert (status.reason, status.model) == (NO_MODEL, None)
        wait_for(lambda: bus.registry.preview("one"), "a preview")
        # Each frame is accounted for, but for one that is popped just now.
        status = bus.wait_status(
            "one", lambda each: each.dropped == {DropReason.NO_MODEL: each.captured - each.waiting}
        )
        assert (status.scored, status.target_fps) == (0, None)
        assert bus.redis.get(keys.snapshot("one")) is None
        assert bus.read_published("one") == []
        bus.add("one", source=f"{base}/one", fps=20.0, revision=2)
        assert bus.wait_state("one", StreamState.LIVE).model == "small"
        bus.add("one", source=f"{base}/one", fps=20.0, model=None, revision=3)
        assert bus.wait_state("one", StreamState.LEARNING).model is None
        frames = [score.frame for score in bus.read_published("one")]
    assert frames == sorted(set(frames))


def test_uploads_wait_for_a_model(bus: Bus) -> None:
    bus.add("one", model=None)
    bus.upload("one", 6)
    with bus.worker():
        assert bus.wait_state("one", StreamState.LEARNING).reason == NO_MODEL
        assert bus.redis.xlen(keys.uploads("one")) == 6
        bus.add("one", revision=2)
        scores = bus.wait_scores("one", 6)
    assert [score.frame for score in scores] == list(range(6))


def test_a_camera_without_a_model_that_is_away_says_so(bus: Bus, tmp_path: Path) -> None:
    bus.add("one", model=None, source="rtsp://127.0.0.1:9/none")
    bus.add("two", model=None, source=str(tmp_path / "none.mp4"))
    with bus.worker():
        assert bus.wait_state("one", StreamState.DOWN).reason == "the connection is refused"
        assert bus.wait_state("two", StreamState.FAILED).reason != NO_MODEL
        bus.add("one", model=None, source="rtsp://127.0.0.1:9/none", paused=True, revision=2)
        bus.wait_state("one", StreamState.PAUSED)
