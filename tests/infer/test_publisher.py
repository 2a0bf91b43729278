"""When the publisher sends."""

from __future__ import annotations

import threading

import pytest

from service.bus.leases import Leases
from service.bus.log_entries import Notes
from service.infer.camera_outbox import CameraOutbox
from service.infer.result_publisher import ResultPublisher
from service.messages import FrameScore
from tests.infer.conftest import Bus


def _make_score(frame: int, value: float | None, threshold: float | None = 0.5) -> FrameScore:
    return FrameScore(
        frame=frame, epoch=1, captured_at=1.0, scored_at=2.0, score=value, threshold=threshold
    )


@pytest.mark.parametrize(
    ("value", "threshold", "expected"),
    [(0.4, 0.5, False), (0.5, 0.5, True), (0.9, None, False), (None, 0.5, False)],
)
def test_a_score_that_reaches_its_threshold_is_urgent(
    value: float | None, threshold: float | None, expected: bool
) -> None:
    outbox = CameraOutbox("one", 1)
    outbox.put(_make_score(0, value, threshold), None)
    assert outbox.urgent.is_set() is expected


def test_an_urgent_score_takes_along_what_was_being_gathered(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it not urgent, it would be gathered for longer than the test may last."""
    monkeypatch.setattr("service.infer.result_publisher.GATHER_S", 3600.0)
    publisher = ResultPublisher(
        bus.scores, bus.uploads, bus.registry, Notes(bus.redis), on_stale=lambda: None
    )
    epoch = Leases(bus.redis, "worker", 600.0).acquire("cam") or 0
    outbox = publisher.open("cam", epoch)
    stop = threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop, lambda: None), daemon=True)
    thread.start()
    outbox.put(_make_score(0, 0.1), None)
    publisher.notify()
    outbox.put(_make_score(1, 0.9), None)
    publisher.notify()
    assert [score.frame for score in bus.wait_scores("cam", 2)] == [0, 1]
    stop.set()
    outbox.urgent.set()
    thread.join()
