"""The update rules: each against the reference, their limits, and what a detector does by them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.detect.camera_state import CameraState
from model.detect.detector import Detector
from model.detect.observation import CameraOptions, Observation
from model.network import memory_updates as updates
from model.network import mnad_memory
from model.network.update_rules import (
    PAPER_UPDATE,
    UPDATE_RULES,
    Learning,
    MemoryCounts,
    UpdateRule,
    count_frame,
)
from tests.model import reference
from tests.model.inputs import memories, tensor
from tests.support.bundles import SMALL, small_bundle

Memory = tuple[NDArray[np.float64], NDArray[np.float64]]
Frame = NDArray[np.uint8]


def _unit(*shape: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=random), dim=-1)


@given(memories())
def test_the_papers_rule_is_the_papers_step_to_the_bit(case: Memory) -> None:
    queries, items = (tensor(array, torch.float32) for array in case)
    moved = updates.update_items(queries, items, items.flip(1), PAPER_UPDATE)
    assert torch.equal(moved, mnad_memory.update(queries, items))


@given(memories(), st.sampled_from([0.5, 0.01]), st.sampled_from([0.0, 0.1]))
def test_a_rate_and_a_pull_are_steps_along_the_chord(
    case: Memory, rate: float, pull: float
) -> None:
    queries, items = case
    trained = np.roll(items, 1, axis=1)
    rule = UpdateRule("test", rate=rate, pull=pull)
    moved = updates.update_items(tensor(queries), tensor(items), tensor(trained), rule)[0].numpy()
    for item, aim, centre, found in zip(
        items, reference.update(queries, items), trained, moved, strict=True
    ):
        part = (1.0 - rate) * item + rate * aim
        assume(np.linalg.norm(part) > 1e-3)  # else the two are opposite, and no way leads over
        step = reference.unit(part)
        back = (1.0 - pull) * step + pull * centre
        assume(np.linalg.norm(back) > 1e-3)
        np.testing.assert_allclose(found, reference.unit(back), rtol=1e-7, atol=1e-9)


@given(memories(), st.sampled_from([0.01, 1.0, 30.0]))
def test_no_item_turns_farther_in_one_frame_than_its_rule_lets_it(
    case: Memory, degrees: float
) -> None:
    queries, items = case
    rule = UpdateRule("test", turn_deg=degrees)
    moved = updates.update_items(tensor(queries), tensor(items), tensor(items), rule)[0].numpy()
    for item, aim, found in zip(items, reference.update(queries, items), moved, strict=True):
        angle = reference.angle_deg(item, aim)
        assume(angle < 179.0)
        expected = reference.turned(item, aim, degrees) if angle > degrees else aim
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_an_item_never_leaves_the_cone_around_the_trained_one() -> None:
    trained = _unit(2, 4, 16)
    rule = UpdateRule("test", drift_deg=10.0)
    items = trained
    for step in range(20):
        items = updates.update_items(_unit(2, 50, 16, seed=step), items, trained, rule)
        assert float(updates.measure_angles_deg(items, trained).max()) <= 10.001
    assert float(updates.measure_angles_deg(items, trained).max()) > 9.99  # it would have
    torch.testing.assert_close(items.norm(dim=2), torch.ones(2, 4))


def test_a_pull_brings_an_item_back_that_was_led_away() -> None:
    trained = torch.eye(3)[None, :1]
    away = functional.normalize(trained + torch.tensor([0.0, 0.3, 0.0]), dim=2)
    rule = UpdateRule("test", rate=0.01, pull=0.05)
    items = away
    for _ in range(200):
        items = updates.update_items(trained, items, trained, rule)
    assert float(updates.measure_angles_deg(items, trained)) < 0.1 * float(
        updates.measure_angles_deg(away, trained)
    )


def test_angles_are_told_where_the_cosine_in_single_precision_is_one() -> None:
    angle = math.radians(0.002)
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([math.cos(angle), math.sin(angle)])
    assert float(updates.measure_angles_deg(one, other)) == pytest.approx(0.002, rel=1e-3)
    assert float(updates.measure_angles_deg(one, -one)) == 180.0


def test_a_slower_rule_moves_the_items_less() -> None:
    queries, items = _unit(1, 64, 32, seed=1), _unit(1, 10, 32)
    moved = {
        name: float(
            updates.measure_angles_deg(
                updates.update_items(queries, items, items, rule), items
            ).max()
        )
        for name, rule in UPDATE_RULES.items()
    }
    assert moved["paper"] == moved["rollback"] > 20.0
    assert 0.0 < moved["bounded"] <= 0.0501
    assert moved["bounded"] < moved["pulled"] <= 0.501
    assert moved["reference"] > 1.0


def test_frames_are_counted_until_the_trained_items_come_back() -> None:
    rule = UpdateRule("test", rollback_frames=5, storm_frames=3)
    state = MemoryCounts()
    seen: list[tuple[int, int, bool]] = []
    for below in (True, False, True, True, True, False, False, False, True):
        state, back = count_frame(state, rule, is_below=below)
        seen.append((state.frames, state.above, back))
    assert seen == [
        (1, 0, False), (2, 1, False), (3, 0, False), (4, 0, False), (0, 0, True),
        (1, 1, False), (2, 2, False), (0, 0, True), (1, 0, False),
    ]  # fmt: skip


def test_without_limits_nothing_ever_comes_back() -> None:
    state, back = count_frame(MemoryCounts(10**9, 10**6), PAPER_UPDATE, is_below=False)
    assert (state, back) == (MemoryCounts(10**9 + 1, 10**6 + 1), False)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: UpdateRule(rate=0.0), "rate must be above 0.*0.0"),
        (lambda: UpdateRule(rate=1.1), "rate must be above 0, at most 1, got 1.1"),
        (lambda: UpdateRule(rate=math.nan), "rate.*nan"),
        (lambda: UpdateRule(turn_deg=0.0), "turn_deg.*0.0"),
        (lambda: UpdateRule(turn_deg=181.0), "turn_deg.*181"),
        (lambda: UpdateRule(pull=-0.1), "pull must be from 0 to 1, got -0.1"),
        (lambda: UpdateRule(pull=2.0), "pull.*2.0"),
        (lambda: UpdateRule(drift_deg=math.inf), "drift_deg.*inf"),
        (lambda: UpdateRule(rollback_frames=-1), "rollback_frames.*-1"),
        (lambda: UpdateRule(storm_frames=-1), "storm_frames.*-1"),
        (lambda: UpdateRule(learning=Learning("sometimes")), "sometimes"),
    ],
)
def test_a_bad_rule_names_field_and_value(make: Callable[[], UpdateRule], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_rules_have_the_names_that_they_are_found_by() -> None:
    assert all(name == rule.name for name, rule in UPDATE_RULES.items())
    assert UPDATE_RULES["paper"] == UpdateRule() == PAPER_UPDATE


NET = replace(SMALL, base_width=2, height=32, width=48)


def _footage(count: int, seed: int = 0) -> list[Frame]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 200, (32, 48), dtype=np.uint8) for _ in range(count)]


def _play(
    detector: Detector, camera: CameraState, frames: list[Frame], rule: UpdateRule, gamma: float
) -> list[Observation]:
    options = CameraOptions(gamma=gamma, update=rule)
    return [detector.observe([camera], [frame], [options])[0] for frame in frames]


def test_cameras_with_different_rules_in_one_batch_equal_each_alone() -> None:
    detector = Detector(small_bundle(net=NET))
    rules = list(UPDATE_RULES.values())
    options = [CameraOptions(gamma=9.0, update=rule) for rule in rules]
    cameras = [detector.start() for _ in rules]
    frames = _footage(9)
    for frame in frames:
        together = detector.observe(cameras, [frame] * len(rules), options)
    for index, rule in enumerate(rules):
        alone = detector.start()
        seen = _play(detector, alone, frames, rule, 9.0)[-1]
        torch.testing.assert_close(cameras[index].items, alone.items, rtol=1e-5, atol=1e-6)
        assert together[index].memory_updated == seen.memory_updated
        assert together[index].memory_drift_deg == pytest.approx(seen.memory_drift_deg, abs=1e-2)
        assert together[index].psnr == pytest.approx(seen.psnr, rel=1e-5)


def test_the_papers_rule_is_what_a_camera_does_that_names_none() -> None:
    detector = Detector(small_bundle(net=NET))
    one, other = detector.start(), detector.start()
    for frame in _footage(8):
        detector.observe([one], [frame])
        detector.observe([other], [frame], [CameraOptions(update=PAPER_UPDATE)])
    assert torch.equal(one.items, other.items)
    assert not torch.equal(one.items, detector.start().items)


def test_held_keeps_what_was_learned_and_frozen_takes_it_back() -> None:
    bundle = small_bundle(net=NET)
    detector = Detector(bundle)
    camera = detector.start()
    learned = _play(detector, camera, _footage(7), PAPER_UPDATE, 9.0)[-1]
    items = camera.items.clone()
    held = _play(detector, camera, _footage(3, seed=1), UPDATE_RULES["held"], 9.0)[-1]
    assert torch.equal(camera.items, items)
    assert (learned.memory_updated, held.memory_updated) == (True, False)
    assert held.memory_drift_deg == learned.memory_drift_deg > 1.0
    frozen = _play(detector, camera, _footage(1, seed=2), UPDATE_RULES["frozen"], 9.0)[-1]
    assert torch.equal(camera.items, bundle.items[0])
    assert (frozen.memory_updated, frozen.memory_drift_deg) == (False, 0.0)


def test_frozen_reads_the_trained_items_at_once() -> None:
    detector = Detector(small_bundle(net=NET))
    frames = _footage(8)
    camera, fresh = detector.start(), detector.start()
    _play(detector, camera, frames[:-1], PAPER_UPDATE, 9.0)
    _play(detector, fresh, frames[:-1], UPDATE_RULES["frozen"], 9.0)
    one = _play(detector, camera, frames[-1:], UPDATE_RULES["frozen"], 9.0)[0]
    other = _play(detector, fresh, frames[-1:], UPDATE_RULES["frozen"], 9.0)[0]
    assert (one.psnr, one.distance) == (other.psnr, other.distance)


def test_with_the_memory_off_no_query_gets_an_answer_of_its_own() -> None:
    bundle = small_bundle(net=NET)
    queries, items = _unit(2, 6, 16), _unit(2, 10, 16, seed=1)
    reads = torch.tensor([rule.reads for rule in (UPDATE_RULES["off"], PAPER_UPDATE)])
    answers = updates.recall(bundle.network.memory, queries, items, reads)
    torch.testing.assert_close(answers[0], items[0].mean(dim=0).expand(6, 16))
    assert torch.equal(answers[1], mnad_memory.read(queries, items)[1])
    for parameter in bundle.network.parameters():
        parameter.mul_(2.0)  # untrained, the decoder hardly uses what it is given
    detector = Detector(bundle)
    on = _play(detector, detector.start(), _footage(6), UPDATE_RULES["frozen"], 9.0)[-1]
    off = _play(detector, detector.start(), _footage(6), UPDATE_RULES["off"], 9.0)[-1]
    assert off.psnr != on.psnr
    assert off.distance == on.distance


@pytest.mark.parametrize(("gamma", "frames"), [(9.0, 12), (0.0, 7)])
def test_rollback_brings_the_trained_items_back_after_a_time_or_a_storm(
    gamma: float, frames: int
) -> None:
    """The first four frames give no result, and aren't counted."""
    bundle = small_bundle(net=NET)
    detector = Detector(bundle)
    rule = UpdateRule("test", rollback_frames=12, storm_frames=5)
    camera = detector.start()
    _play(detector, camera, _footage(4), PAPER_UPDATE, gamma)
    for count, frame in enumerate(_footage(2, seed=1)):
        seen = _play(detector, camera, [frame], rule, 9.0)[-1]
        assert seen.memory_drift_deg > 1.0
        assert camera.counts == MemoryCounts(count + 1, 0)
    left = _footage(frames, seed=2)[2:]
    drifts = [seen.memory_drift_deg for seen in _play(detector, camera, left, rule, gamma)]
    assert min(drifts[:-1]) > 1.0
    assert drifts[-1] == 0.0
    assert camera.counts == MemoryCounts()
    assert torch.equal(camera.items, bundle.items[0])


def test_what_a_rule_counts_is_saved_with_the_camera() -> None:
    detector = Detector(small_bundle(net=NET))
    rule = UPDATE_RULES["rollback"]
    camera = detector.start()
    _play(detector, camera, _footage(7), rule, 0.0)
    assert camera.counts == MemoryCounts(3, 3)
    restored = detector.restore(camera.save())
    assert restored.counts == MemoryCounts(3, 3)
    kept = detector.restore(camera.without_frames().save())
    assert (kept.counts, len(kept.frames), len(camera.frames)) == (MemoryCounts(3, 3), 0, 4)
    assert torch.equal(kept.items, camera.items)


@pytest.mark.parametrize("bad", [b"[-2, 0]", b"[2, {}]", b"[1, 2, 3]"])
def test_a_state_with_damaged_counts_is_refused(bad: bytes) -> None:
    detector = Detector(small_bundle(net=NET))
    camera = detector.start()
    _play(detector, camera, _footage(6), PAPER_UPDATE, 9.0)
    data = camera.save().replace(b'"counts": [2, 0]', b'"counts": ' + bad)
    length = int.from_bytes(data[5:9], "little") + len(bad) - len(b"[2, 0]")
    with pytest.raises(ValueError, match="damaged"):
        detector.restore(data[:5] + length.to_bytes(4, "little") + data[9:])


def test_learning_is_named() -> None:
    assert {rule.learning for rule in UPDATE_RULES.values()} == set(Learning)
