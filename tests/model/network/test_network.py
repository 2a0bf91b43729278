"""The networks: shapes, structure, gradients, and that they can learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from model.network import mnad_memory
from model.network.network_config import NetConfig, Task
from model.network.unet import MemoryNetwork, build_network, fold_batch_norms

TINY = NetConfig(base_width=4, height=32, width=48)
BOTH = pytest.mark.parametrize("task", list(Task))


def _items(config: NetConfig, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return mnad_memory.draw_items(config.memory_items, config.memory_channels, generator)


def _pictures(config: NetConfig, count: int = 2, seed: int = 0) -> torch.Tensor:
    shape = (count, config.input_channels, config.height, config.width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0


@BOTH
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("width", "size", "memory_shape"),
    [(4, (64, 96), (10, 0)), (8, (16, 24), (3, 7)), (3, (40, 16), (2, 100))],
)
def test_a_picture_of_the_same_size_and_unit_queries_come_out(
    task: Task, channels: int, width: int, size: tuple[int, int], memory_shape: tuple[int, int]
) -> None:
    config = NetConfig(
        task,
        width,
        channels,
        *size,
        memory_items=memory_shape[0],
        memory_channels=memory_shape[1],
    )
    pictures, queries = build_network(config).eval()(_pictures(config), _items(config))
    assert pictures.shape == (2, channels, *size)
    assert bool((pictures.abs() <= 1.0).all())
    assert queries.shape == (2, config.queries, config.memory_channels)
    torch.testing.assert_close(queries.norm(dim=2), torch.ones(2, config.queries))


@pytest.mark.parametrize("history", [1, 2, 7])
def test_the_context_may_have_another_length(history: int) -> None:
    config = replace(TINY, history=history)
    assert config.input_channels == history
    pictures, _ = build_network(config).eval()(_pictures(config), _items(config))
    assert pictures.shape == (2, 1, 32, 48)


def _convolution(n_in: int, n_out: int, *, normed: bool = True) -> int:
    return 9 * n_in * n_out + n_out + (2 * n_out if normed else 0)


def _parameters(w: int, n_in: int, n_out: int, *, skips: bool) -> int:
    """Counted from the description of the paper's network, layer by layer."""
    encoder = 0
    for before, after in ((n_in, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w)):
        encoder += _convolution(before, after)
        encoder += _convolution(after, after, normed=after != 8 * w)
    decoder = 0
    for before, after in ((16 * w, 8 * w), (8 * w, 4 * w), (4 * w, 2 * w), (2 * w, w)):
        decoder += _convolution(before, after) + _convolution(after, after)
        if after > w:
            decoder += _convolution(after, after // 2 if skips else after)
    return encoder + decoder + _convolution(w, n_out, normed=False)


@BOTH
@pytest.mark.parametrize("width", [4, 64])
def test_there_are_as_many_parameters_as_the_papers_layers_have(task: Task, width: int) -> None:
    config = NetConfig(task, width, channels=3)
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in build_network(config).parameters())
    expected = _parameters(width, config.input_channels, 3, skips=task is Task.PREDICTION)
    assert count == expected
    if width == 64:
        assert 15e6 < count < 21e6


@BOTH
def test_queries_leave_the_encoder_without_batch_norm_or_relu(task: Task) -> None:
    config = replace(TINY, task=task)
    network = build_network(config).eval()
    assert isinstance(network.encoder.last[-1], nn.Conv2d)
    _, queries = network(_pictures(config), _items(config))
    assert bool((queries < 0).any())


@BOTH
def test_gradients_reach_every_parameter(task: Task) -> None:
    config = replace(TINY, task=task)
    torch.manual_seed(0)
    network = build_network(config)
    pictures, _ = network(_pictures(config), _items(config))
    torch.autograd.backward((pictures - 0.3).square().mean())
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


@BOTH
def test_one_batch_can_be_learned_by_heart(task: Task) -> None:
    config = replace(TINY, task=task)
    torch.manual_seed(0)
    network, items = build_network(config), _items(config)
    inputs = _pictures(config, seed=1)
    target = inputs[:, -1:].roll(3, dims=3) * 0.5
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    errors = []
    for _ in range(120):
        predicted, _ = network(inputs, items)
        loss = (predicted - target).square().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        errors.append(loss.item())
    assert errors[-1] < 0.2 * errors[0]


def test_the_prediction_reads_the_memory() -> None:
    network = build_network(TINY).eval()
    one, _ = network(_pictures(TINY), _items(TINY))
    other, _ = network(_pictures(TINY), -_items(TINY, seed=5))
    assert not torch.equal(one, other)


def test_cameras_with_items_of_their_own_in_one_batch_equal_each_alone() -> None:
    network: MemoryNetwork = build_network(TINY).eval().channels_last()
    pictures = _pictures(TINY, 3)
    items = torch.cat([_items(TINY, seed) for seed in range(3)])
    together, queries = network(pictures, items)
    for index in range(3):
        alone, alone_queries = network(pictures[index, None], items[index, None])
        torch.testing.assert_close(together[index, None], alone, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(queries[index, None], alone_queries, rtol=1e-5, atol=1e-6)


def test_channels_last_changes_the_layout_and_no_value() -> None:
    network = build_network(TINY).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.channels_last()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@BOTH
def test_folding_batch_norms_changes_no_result_and_not_the_network(task: Task) -> None:
    config = replace(TINY, task=task)
    torch.manual_seed(0)
    network, items = build_network(config), _items(config)
    for seed in range(5):  # statistics that are not those at the start
        network(_pictures(config, seed=seed) * 3.0 + 0.5, items)
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fast = fold_batch_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    for one, other in zip(
        network(_pictures(config), items), fast(_pictures(config), items), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"height": 60}, "height must be a multiple of 8.*60"),
        ({"width": 8}, "width.*8"),
        ({"channels": 2}, r"channels must be 1 \(grey\) or 3 \(RGB\), got 2"),
        ({"base_width": 0}, "base_width.*0"),
        ({"memory_items": 1}, "memory_items.*1"),
        ({"memory_channels": -1}, "memory_channels.*-1"),
        ({"history": 0}, "history.*0"),
        ({"task": "guess"}, "guess"),
    ],
)
def test_a_bad_configuration_names_field_and_value(changes: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(TINY, **changes)


@pytest.mark.parametrize("judges", [False, True])
@pytest.mark.parametrize("patch", [2, 4])
def test_a_network_of_patches_keeps_the_picture_and_has_fewer_queries(
    patch: int, judges: bool
) -> None:
    config = NetConfig(base_width=4, height=64, width=128, patch=patch, judges=judges)
    pictures, queries = build_network(config).eval()(_pictures(config), _items(config))
    assert pictures.shape == (2, 1 + judges, 64, 128)
    assert queries.shape[1] == config.queries == (64 // 8 // patch) * (128 // 8 // patch)


def test_a_patch_is_what_the_first_convolution_sees_of_one_place() -> None:
    config = replace(TINY, patch=2, height=32, width=64)
    network = build_network(config).eval()
    pictures = _pictures(config, count=1)
    seen: list[torch.Tensor] = []
    network.encoder.stages[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(pictures, _items(config))
    assert seen[0].shape == (1, 16, 16, 32)
    torch.testing.assert_close(seen[0][0, 4:8, 3, 5].view(2, 2), pictures[0, 1, 6:8, 10:12])


@pytest.mark.parametrize(("patch", "height"), [(2, 24), (4, 48), (2, 16)])
def test_sides_are_multiples_of_the_feature_maps_grid(patch: int, height: int) -> None:
    with pytest.raises(ValueError, match=f"height must be a multiple of {8 * patch}"):
        NetConfig(base_width=4, height=height, width=64, patch=patch)


def test_a_patch_is_one_of_a_few() -> None:
    with pytest.raises(ValueError, match="patch must be 1, 2 or 4, got 3"):
        NetConfig(patch=3)
