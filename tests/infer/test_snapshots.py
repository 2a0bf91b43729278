"""What a new owner restores of a camera's state, and when it packs its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from model.detect.detector import Detector
from service.infer.model_pool import LoadedModel
from service.infer.snapshots import Snapshot, SnapshotKeeper
from service.messages import StreamConfig
from tests.support.bundles import small_bundle

CONFIG = StreamConfig(id="one", revision=1, source="rtsp://camera/1", model="small")


@pytest.fixture(scope="module")
def model() -> Iterator[LoadedModel]:
    yield LoadedModel("small", "checksum", Detector(small_bundle()), "key")


def test_a_snapshot_is_packed_only_when_something_changed_and_it_is_due(model: LoadedModel) -> None:
    keeper = SnapshotKeeper(None, every_s=3600.0)
    restored = keeper.restore(model, CONFIG)
    state, ended = restored.state, restored.ended
    assert not ended
    assert keeper.pack_if_due(state, model, CONFIG, ended=False, at_once=True) is None
    keeper.mark_changed()
    assert keeper.pack_if_due(state, model, CONFIG, ended=False) is not None
    keeper.mark_changed()
    assert keeper.pack_if_due(state, model, CONFIG, ended=False) is None, "not due yet"
    assert keeper.pack_if_due(state, model, CONFIG, ended=False, at_once=True) is not None


def _pack(model: LoadedModel, *, ended: bool = False) -> bytes:
    state = model.detector.start()
    state.items = torch.flip(state.items, [-1])
    keeper = SnapshotKeeper(None, every_s=0.0)
    keeper.mark_changed()
    packed = keeper.pack_if_due(state, model, CONFIG, ended=ended)
    assert packed is not None
    return packed


def test_a_snapshot_is_restored_once_for_the_same_source_and_weights(model: LoadedModel) -> None:
    packed, trained = _pack(model), model.detector.start().items
    keeper = SnapshotKeeper(packed, every_s=1.0)
    assert not torch.equal(keeper.restore(model, CONFIG).state.items, trained)
    assert torch.equal(keeper.restore(model, CONFIG).state.items, trained)

    other = CONFIG.model_copy(update={"source": "rtsp://camera/2"})
    assert torch.equal(SnapshotKeeper(packed, 1.0).restore(model, other).state.items, trained)
    damaged = SnapshotKeeper(packed[:20], 1.0)
    assert torch.equal(damaged.restore(model, CONFIG).state.items, trained)
    forgotten = SnapshotKeeper(packed, 1.0)
    forgotten.forget_inherited()
    assert torch.equal(forgotten.restore(model, CONFIG).state.items, trained)


@pytest.mark.parametrize("loop", [False, True])
def test_a_recording_that_was_played_stays_ended_unless_it_loops(
    model: LoadedModel, loop: bool
) -> None:
    packed = _pack(model, ended=True)
    assert Snapshot.unpack(packed).ended
    config = CONFIG.model_copy(update={"loop": loop})
    ended = SnapshotKeeper(packed, 1.0).restore(model, config).ended
    assert ended is not loop
