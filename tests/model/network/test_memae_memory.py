"""MemAE's memory against the reference, in a network, in training and live."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from model.bundles import bundle as bundles
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.network import memae_memory
from model.network.memories import build_memory
from model.network.network_config import MemoryKind, NetConfig, Task
from model.network.unet import build_network
from model.network.update_rules import UPDATE_RULES
from model.scoring.score_config import NormForm
from model.training.trainer import TrainConfig, Training
from tests.model import reference
from tests.model.drawn import NET, clip
from tests.model.inputs import memories, tensor
from tests.support.bundles import small_bundle

Memory = tuple[NDArray[np.float64], NDArray[np.float64]]
MEMAE = replace(NET, memory=MemoryKind.MEMAE, memory_items=20)


@given(memories(), st.sampled_from([0.0, 0.5, 1.0, 1.2]), st.floats(0.1, 9.0))
def test_addressing_reading_and_entropy_are_the_papers(
    case: Memory, shrinkage: float, length: float
) -> None:
    queries, items = case
    items = items * np.linspace(length, 1.0, len(items))[:, None]  # items of any length
    threshold = shrinkage / len(items)
    cosines = queries @ (items / np.linalg.norm(items, axis=1, keepdims=True)).T
    powers = np.exp(cosines)
    clear = np.abs(powers / powers.sum(axis=1, keepdims=True) - threshold) > 1e-5
    if not clear.all():  # on the edge of the shrinkage, rounding decides
        return
    weights = memae_memory.weigh_items(tensor(queries), tensor(items), threshold)
    expected = reference.memae_addressing(queries, items, threshold)
    np.testing.assert_allclose(weights[0].numpy(), expected, rtol=1e-6, atol=1e-9)
    answer = memae_memory.read(tensor(queries), tensor(items), threshold)[0].numpy()
    expected_answer = reference.memae_read(queries, items, threshold)
    np.testing.assert_allclose(answer, expected_answer, rtol=1e-6, atol=1e-9)
    spread = float(memae_memory.compute_entropy(weights))
    assert spread == pytest.approx(reference.memae_entropy(expected), rel=1e-6, abs=1e-9)


def test_shrinkage_leaves_the_items_above_the_threshold_alone_and_they_sum_to_one() -> None:
    items = functional.normalize(torch.randn(1, 200, 16, generator=_random()), dim=2)
    weights = memae_memory.weigh_items(items[:, :5] + 0.1, items, 2.0 / 200)
    soft = memae_memory.weigh_items(items[:, :5] + 0.1, items, 0.0)
    assert torch.equal(weights > 0, soft > 2.0 / 200)
    assert 0.0 < float((weights > 0).float().mean()) < 0.2
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(1, 5))


def _random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_query_that_no_item_answers_gets_nothing_and_stays_finite() -> None:
    items = torch.ones(1, 4, 3)  # all weights are 1/4 then
    queries = torch.eye(3)[None]
    assert torch.equal(memae_memory.read(queries, items, 0.3), torch.zeros(1, 3, 3))
    loss = memae_memory.total_loss(
        torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), queries, items.requires_grad_(),
        threshold=0.3, form=NormForm.MEAN_SQUARE,
    )  # fmt: skip
    torch.autograd.backward(loss.total)
    assert items.grad is not None and bool(items.grad.isfinite().all())


def test_the_loss_is_the_frames_and_the_entropys() -> None:
    predicted, actual = torch.rand(2, 2, 1, 4, 4, generator=_random()).unbind()
    queries, items = torch.randn(1, 9, 5, generator=_random(1)), torch.randn(1, 8, 5)
    parts = memae_memory.total_loss(
        predicted, actual, queries, items, threshold=1 / 8, form=NormForm.MEAN_SQUARE
    )
    spread = memae_memory.compute_entropy(memae_memory.weigh_items(queries, items, 1 / 8))
    expected = (predicted - actual).square().mean() + 2e-4 * spread
    torch.testing.assert_close(parts.total, expected)
    assert (float(parts.compact), float(parts.separate)) == (0.0, 0.0)


def test_the_papers_number_of_items_stands_where_none_is_named() -> None:
    config = NetConfig(memory=MemoryKind.MEMAE)
    assert (config.memory_items, NetConfig().memory_items) == (2000, 10)
    assert build_memory(config) == build_memory(replace(config, memory_items=2000))


@pytest.mark.parametrize("task", list(Task))
def test_the_decoder_sees_the_memorys_answer_and_not_the_queries(task: Task) -> None:
    config = replace(MEMAE, task=task, base_width=8, memory_channels=0)
    torch.manual_seed(0)
    network = build_network(config).eval()
    picture = torch.rand(1, config.input_channels, config.height, config.width) * 2 - 1
    queries, skips = network.encode(picture)
    recalled = network.memory.read(queries, torch.randn(1, 20, config.memory_channels))
    one = network.decode(queries, recalled, skips)
    assert torch.equal(one, network.decode(-queries, recalled, skips))
    assert not torch.equal(one, network.decode(queries, -recalled, skips))


def _trained(tmp_path: Path, *, stop_at: int | None = None) -> Training:
    clips = [clip("a", 12), clip("b", 9, seed=4)]
    run = Training(MEMAE, TrainConfig(epochs=3, batch=4, learning_rate=3e-3, bf16=False), clips)
    if stop_at is not None:
        run.run(checkpoint=tmp_path / "checkpoint", stop=lambda: run.step >= stop_at)
        run = Training(run.net, run.config, clips)
        run.resume(tmp_path / "checkpoint")
    run.run()
    return run


def test_training_teaches_the_items_by_gradient_and_resumes_to_the_bit(tmp_path: Path) -> None:
    whole = _trained(tmp_path)
    start = whole.memory.draw_items(20, MEMAE.memory_channels, _random())
    assert bool((whole.items.detach() != start).any(dim=2).all())
    resumed = _trained(tmp_path, stop_at=3)
    assert torch.equal(resumed.items, whole.items)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_training_makes_the_loss_smaller() -> None:
    run = Training(
        MEMAE, TrainConfig(epochs=40, batch=8, learning_rate=3e-3, bf16=False), [clip("a", 20)]
    )
    losses: list[float] = []
    run.run(on_step=lambda progress: losses.append(progress.total))
    assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:4])


@pytest.mark.parametrize("rule", sorted(UPDATE_RULES))
def test_live_frames_never_change_the_items(rule: str, tmp_path: Path) -> None:
    small = small_bundle(net=replace(MEMAE, height=32, width=48))
    bundles.save(small, tmp_path)
    detector = Detector(bundles.load(tmp_path))
    camera = detector.start()
    options = CameraOptions(gamma=9.0, update=UPDATE_RULES[rule])
    random = np.random.default_rng(0)
    for _ in range(7):
        frame = random.integers(0, 255, (32, 48), dtype=np.uint8)
        (seen,) = detector.observe([camera], [frame], [options])
    assert (seen.warming, seen.memory_updated, seen.memory_drift_deg) == (False, False, 0.0)
    assert torch.equal(camera.items, small.items[0])
    saved = camera.save()
    assert small.items.numpy().tobytes() not in saved  # the bundle has them
    assert torch.equal(detector.restore(saved).items, camera.items)
