"""A new threshold reaches a camera that runs, and nothing but its scores' thresholds shows it."""

from __future__ import annotations

from pathlib import Path

from service.messages import StreamState
from tests.infer.conftest import Bus
from tests.support.cameras import numbered_video
from tests.support.servers import wait_for


def test_another_threshold_cuts_no_frames_and_warms_nothing_up(bus: Bus, tmp_path: Path) -> None:
    video = numbered_video(tmp_path / "walk.mp4", 250)
    bus.add("one", source=str(video), fps=10.0)
    with bus.worker():
        bus.wait_scores("one", 8)
        bus.add("one", source=str(video), fps=10.0, revision=2, threshold=0.83)
        wait_for(lambda: bus.read_published("one")[-1].threshold == 0.83, "the new threshold")
        count = len(bus.read_published("one"))
        scores = bus.wait_scores("one", count + 5)
        status = bus.wait_state("one", StreamState.LIVE)
    numbers = [score.frame for score in scores]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [score.state for score in scores[4:]] == [StreamState.LIVE] * (len(scores) - 4)
    assert {score.threshold for score in scores[4:]} == {0.5, 0.83}
    assert len({score.epoch for score in scores}) == 1
    assert status.reconnects == 0
