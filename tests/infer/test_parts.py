"""The worker's parts alone: turns, states, snapshots, devices, models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from model.bundles.catalog import DOCUMENT, BundleError
from service.bus.scores import PublishResult, PublishVerdict
from service.errors import BadInput
from service.infer.camera_outbox import MAX_HELD, MAX_NOTES, CameraOutbox, PreviewPicture
from service.infer.device import choose_device, choose_threads, usable_cores
from service.infer.frame_counts import AGE_WINDOW_S, FrameAges, FrameRate
from service.infer.model_pool import RETRY_S, LoadedModel, ModelPool
from service.infer.snapshots import Snapshot, compute_identity
from service.messages import DropReason, FrameScore, NoteKind, StreamNote, StreamState
from tests.support.servers import wait_for


def test_a_rate_forgets() -> None:
    rate = FrameRate()
    for step in range(50):
        rate.add(step / 10)
    assert rate.compute_per_second(5.0) == pytest.approx(10.0, rel=0.05)
    assert rate.compute_per_second(60.0) == 0.0


def test_ages_are_those_of_the_last_half_minute() -> None:
    ages = FrameAges()
    assert ages.compute_quantiles(0.0) is None
    for step in range(100):
        ages.add(step / 10, step / 100)
    found = ages.compute_quantiles(10.0)
    assert found is not None
    assert found.p50 == pytest.approx(0.5, abs=0.01)
    assert found.p99 == pytest.approx(0.98, abs=0.01)
    assert ages.compute_quantiles(11.0 + AGE_WINDOW_S) is None


@given(st.binary(), st.booleans(), st.sampled_from([None, False, True]))
def test_a_snapshot_survives(state: bytes, ended: bool, fits: bool | None) -> None:
    snapshot = Snapshot(compute_identity("rtsp://u:p@h/x", "sum"), state, ended, fits)
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
    document["score"]["judgement"] = {"kind": "judged"}
    file.write_text(json.dumps(document))
    pool = ModelPool([tmp_path], "cpu")
    reasons: list[str] = []

    def fails() -> bool:
        try:
            pool.get("edited")
        except BundleError as error:
            reasons.append(str(error))
        return bool(reasons)

    with capture_logs() as logged:
        wait_for(fails, "the failure")
    pool.close()
    assert logged == []
    assert "score.judgement" in reasons[0] and "net.judges false" in reasons[0]


def make_score(frame: int) -> FrameScore:
    return FrameScore(frame=frame, epoch=1, captured_at=0.0, scored_at=0.0)


def test_an_outbox_is_bounded_and_takes_the_epoch_of_now() -> None:
    outbox = CameraOutbox("one", 1)
    for frame in range(MAX_HELD + 3):
        outbox.put(make_score(frame), None)
    assert outbox.dropped[DropReason.BACKLOG] == 3
    outbox.epoch = 2
    taken = outbox.take(2)
    assert [(out.score.frame, out.score.epoch) for out in taken] == [(3, 2), (4, 2)]
    outbox.put_back(taken)
    assert [out.score.frame for out in outbox.take(3)] == [3, 4, 5]
    outbox.close()
    outbox.put(make_score(9999), None)
    assert not outbox.waiting
    assert outbox.dropped[DropReason.STALE_OWNER] == MAX_HELD - 3 + 1


def test_what_an_outbox_sends_is_counted_once() -> None:
    outbox = CameraOutbox("one", 1)
    for frame in range(5):
        outbox.put(make_score(frame), None)
    taken = outbox.take(4)
    assert (outbox.held, outbox.is_empty) == (5, False)
    outbox.put_back(taken)
    assert outbox.held == 5
    taken = outbox.take(5)
    duplicate, evicting = (
        PublishResult(PublishVerdict.DUPLICATE),
        PublishResult(PublishVerdict.PUBLISHED, evicted=1),
    )
    outbox.settle([duplicate, evicting, *[PublishResult(PublishVerdict.PUBLISHED)] * 3])
    assert (outbox.held, outbox.is_empty) == (0, True)
    assert (outbox.scored, outbox.dropped[DropReason.BACKLOG]) == (4, 1)


def make_note(at: float) -> StreamNote:
    return StreamNote(kind=NoteKind.STATE, at=at, state=StreamState.LIVE, epoch=1)


def test_notes_are_bounded_keep_their_order_and_take_the_epoch_of_now() -> None:
    outbox = CameraOutbox("one", 1)
    for number in range(MAX_NOTES + 2):
        outbox.add_note(make_note(float(number)))
    assert outbox.lost.notes == 2
    outbox.adopt(7)
    first = outbox.next_note()
    assert first is not None and (first.at, first.epoch) == (2.0, 7)
    outbox.remove_note(first)
    outbox.suspend()
    assert outbox.next_note() is None
    outbox.adopt(8)
    second = outbox.next_note()
    assert second is not None and (second.at, second.epoch) == (3.0, 8)


def test_a_preview_that_is_replaced_before_it_is_sent_is_counted() -> None:
    outbox = CameraOutbox("one", 1)
    for frame in range(3):
        outbox.put_preview(PreviewPicture(b"jpeg", None, frame, 0.0))
    preview = outbox.take_preview()
    assert preview is not None and preview.frame == 2
    assert outbox.take_preview() is None
    assert outbox.lost.previews == 2
