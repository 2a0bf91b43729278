"""Zones of a running stream: they apply while it runs, and go with it to another worker."""

from __future__ import annotations

from service.messages import FrameScore, StreamState
from tests.infer.conftest import Bus
from tests.support.servers import wait_for

TOP = [{"kind": "watch", "points": [[0, 0], [1, 0], [1, 0.25], [0, 0.25]]}]
WHOLE = [{"kind": kind, "points": [[0, 0], [1, 0], [1, 1], [0, 1]]} for kind in ("watch", "ignore")]


def _within_top(score: FrameScore) -> bool:
    assert score.region is not None
    return score.region[3] <= 0.25 + 1 / 64


def _upload(bus: Bus, count: int) -> list[FrameScore]:
    done = len(bus.read_published("one"))
    bus.upload("one", count, done)
    return bus.wait_scores("one", done + count)[done:]


def test_zones_change_while_it_runs_and_go_with_it_to_another_worker(bus: Bus) -> None:
    bus.add("one")
    with bus.worker(worker_id="first"):
        before = _upload(bus, 12)[4:]
        assert not any(map(_within_top, before))
        bus.add("one", revision=2, zones=TOP)
        wait_for(lambda: _within_top(_upload(bus, 1)[0]), "the zones")
        changed = _upload(bus, 8)
        assert all(map(_within_top, changed))
        scores = bus.read_published("one")
    assert [score.frame for score in scores] == list(range(len(scores)))
    assert all(score.state is StreamState.LIVE for score in scores[4:]), "no frame was lost to it"
    with bus.worker(worker_id="second"):
        after = _upload(bus, 8)
        assert [score.state for score in after[:5]] == 4 * [StreamState.WARMING] + ["live"]
        assert all(map(_within_top, after[4:]))
        bus.add("one", revision=3)
        wait_for(lambda: not _within_top(_upload(bus, 1)[0]), "the whole picture")


def test_zones_that_leave_nothing_fail_one_camera(bus: Bus) -> None:
    """The front end refuses them; a newer one may do otherwise."""
    bus.add("one", zones=WHOLE)
    with bus.worker():
        assert "nothing of the picture" in bus.wait_state("one", StreamState.FAILED).reason
        bus.add("one", revision=2, zones=WHOLE[:1])
        assert len(_upload(bus, 6)) == 6
        bus.wait_state("one", StreamState.LIVE)
