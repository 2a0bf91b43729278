"""The worker's parts alone: turns, states, snapshots, devices, models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from model.catalog import DOCUMENT, BundleError
from service.capture.camera import CaptureState
from service.errors import BadInput
from service.infer.device import choose_device, choose_threads, usable_cores
from service.infer.models import RETRY_S, LoadedModel, ModelPool
from service.infer.publisher import MAX_HELD, Outbox
from service.infer.snapshots import Snapshot, identity
from service.infer.states import AGE_WINDOW_S, Ages, Facts, Rate, stream_state
from service.messages import DropReason, FrameScore, StreamState
from tests.support.servers import wait_for


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (Facts(), StreamState.CONNECTING),
        (Facts(paused=True, failure="x"), StreamState.PAUSED),
        (Facts(failure="no such model"), StreamState.FAILED),
        (Facts(loaded=False), StreamState.CONNECTING),
        (Facts(source=CaptureState.CONNECTING), StreamState.CONNECTING),
        (Facts(source=CaptureState.PLAYING), StreamState.WARMING),
        (Facts(source=CaptureState.PLAYING, warming=False), StreamState.LIVE),
        (Facts(source=CaptureState.DOWN, source_reason="off"), StreamState.DOWN),
        (Facts(source=CaptureState.FAILED, source_reason="gone"), StreamState.FAILED),
        (Facts(source=CaptureState.ENDED, waiting=True, warming=False), StreamState.LIVE),
        (Facts(source=CaptureState.ENDED), StreamState.ENDED),
        (Facts(ended=True), StreamState.ENDED),
    ],
)
def test_a_state_follows_from_the_facts(facts: Facts, state: StreamState) -> None:
    found, reason = stream_state(facts)
    assert found is state
    if state in (StreamState.DOWN, StreamState.FAILED):
        assert reason == facts.source_reason + facts.failure


def test_a_rate_forgets() -> None:
    rate = Rate()
    for step in range(50):
        rate.add(step / 10)
    assert rate.per_second(5.0) == pytest.approx(10.0, rel=0.05)
    assert rate.per_second(60.0) == 0.0


def test_a_degraded_camera_is_live_and_says_why() -> None:
    facts = Facts(source=CaptureState.PLAYING, warming=False, overload="too slow")
    assert stream_state(facts) == (StreamState.LIVE, "too slow")
    down = Facts(source=CaptureState.DOWN, source_reason="off", overload="too slow")
    assert stream_state(down) == (StreamState.DOWN, "off")


def test_ages_are_those_of_late() -> None:
    ages = Ages()
    assert ages.quantiles(0.0) is None
    for step in range(100):
        ages.add(step / 10, step / 100)
    found = ages.quantiles(10.0)
    assert found is not None
    assert found.p50 == pytest.approx(0.5, abs=0.01)
    assert found.p99 == pytest.approx(0.98, abs=0.01)
    assert ages.quantiles(11.0 + AGE_WINDOW_S) is None


@given(st.binary(), st.booleans())
def test_a_snapshot_survives(state: bytes, ended: bool) -> None:
    snapshot = Snapshot(identity("rtsp://u:p@h/x", "sum"), state, ended)
    assert Snapshot.unpack(snapshot.pack()) == snapshot
    assert b"u:p@" not in snapshot.pack()[: len(snapshot.pack()) - len(state)]


@given(st.binary(max_size=200))
def test_damaged_snapshots_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Snapshot.unpack(b"NWSN\x01" + data)
    with pytest.raises(ValueError):
        Snapshot.unpack(data)


def test_devices_and_threads() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda")
    for bad in ("tpu", "cuda:x", "cpu:1", "cuda:99"):
        with pytest.raises(BadInput):
            choose_device(bad)
    assert choose_threads(3) == 3
    assert choose_threads(0) == usable_cores() >= 1


def test_a_model_that_comes_later_is_found(models_dir: Path, tmp_path: Path) -> None:
    now = [0.0]
    pool = ModelPool([tmp_path], "cpu", clock=lambda: now[0])

    def outcome() -> LoadedModel | str | None:
        try:
            return pool.get("late")
        except BundleError as error:
            return str(error)

    wait_for(lambda: isinstance(outcome(), str), "the failure")
    shutil.copytree(models_dir / "small", tmp_path / "late")
    assert isinstance(outcome(), str)
    now[0] += RETRY_S
    wait_for(lambda: isinstance(outcome(), LoadedModel), "the model")
    assert pool.names == ["late"]
    assert pool.get("late") is pool.get("late")
    pool.keep_only([])
    assert pool.names == []
    pool.close()


def test_a_model_edited_by_hand_is_refused_with_its_reason(
    models_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(models_dir / "small", tmp_path / "edited")
    file = tmp_path / "edited" / DOCUMENT
    document = json.loads(file.read_text())
    document["score"]["judgement"] = {"form": "judged"}
    file.write_text(json.dumps(document))
    pool = ModelPool([tmp_path], "cpu")
    reasons: list[str] = []

    def failed() -> bool:
        try:
            pool.get("edited")
        except BundleError as error:
            reasons.append(str(error))
        return bool(reasons)

    with capture_logs() as logged:
        wait_for(failed, "the failure")
    pool.close()
    assert logged == []
    assert "score.judgement" in reasons[0] and "net.judges false" in reasons[0]


def score(frame: int) -> FrameScore:
    return FrameScore(frame=frame, epoch=1, captured_at=0.0, scored_at=0.0)


def test_an_outbox_is_bounded_and_takes_the_epoch_of_now() -> None:
    outbox = Outbox("one", 1)
    for frame in range(MAX_HELD + 3):
        outbox.put(score(frame), None)
    assert outbox.dropped[DropReason.BACKLOG] == 3
    outbox.epoch = 2
    taken = outbox.take(2)
    assert [(out.score.frame, out.score.epoch) for out in taken] == [(3, 2), (4, 2)]
    outbox.put_back(taken)
    assert [out.score.frame for out in outbox.take(3)] == [3, 4, 5]
    outbox.shut()
    outbox.put(score(9999), None)
    assert not outbox.waiting
    assert outbox.dropped[DropReason.STALE_OWNER] == MAX_HELD - 3 + 1
