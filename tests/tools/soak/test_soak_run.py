"""A short soak of the whole service: every frame is accounted for, every camera comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.tools.bench.load import TimedFrame
from service.tools.soak.incidents import CameraFault, Incident
from service.tools.soak.soak_run import SoakPlan, find_recoveries, soak
from tests.support.commands import outcome
from tests.support.rtsp import require_gstreamer

SECONDS, SEED = 45.0, 6


@pytest.mark.timeout(240)
def test_every_frame_of_a_short_soak_is_accounted_for(models_dir: Path) -> None:
    require_gstreamer()
    happened: list[Incident] = []
    plan = SoakPlan(models_dir / "small", 3, SECONDS, 5.0, 5.0, SEED)
    figures = soak(plan, happened.append)
    assert [each.incident for each in figures.recoveries] == happened and happened
    assert [account.unaccounted for account in figures.accounts] == [0, 0, 0]
    assert all(account.rows == account.scored > SECONDS for account in figures.accounts)
    parts = {trend.part for trend in figures.trends}
    assert {"supervisor", "front end", "worker", "redis"} <= parts
    assert len(figures.ages_s) >= sum(account.scored for account in figures.accounts) / 2


def test_a_camera_is_back_with_its_first_frame_after_the_fault() -> None:
    happened = [
        Incident(0, CameraFault.STALL, 10.0, 20.0),
        Incident(1, CameraFault.RESET, 12.0, 14.0),
        Incident(0, CameraFault.REFUSE, 40.0, 50.0),
    ]
    times = [(0, 9.0), (0, 15.0), (0, 23.5), (0, 24.0), (1, 60.0), (0, 39.0)]
    scored = [
        TimedFrame(camera=camera, captured_at=1000.0 + at, scored_at=1000.1 + at)
        for camera, at in times
    ]
    back = [each.after_s for each in find_recoveries(happened, scored, began=1000.0)]
    assert back == [3.5, 46.0, None]


def test_a_warm_up_as_long_as_the_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = outcome(capsys, "soak", "--minutes", "2", "--warm-up", "3")
    assert code != 0
    assert "--warm-up" in said and "3" in said
