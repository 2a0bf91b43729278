"""Counted costs against PyTorch's own counter, and against the network as it is built."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from model.network import mnad_memory
from model.network.cost import Cost, Precision, Work, WorkPart, count_cost
from model.network.network_config import MemoryKind, NetConfig, Task
from model.network.unet import MemoryNetwork, build_network
from model.scoring.prediction_error import pool_cells
from model.scoring.score_config import JUDGED, LIVE

BASE = NetConfig(base_width=4, height=64, width=96)
CONFIGS = pytest.mark.parametrize(
    "config",
    [
        BASE,
        replace(BASE, base_width=3, memory_channels=7, memory_items=5),
        replace(BASE, patch=2),
        replace(BASE, patch=4, judges=True),
        replace(BASE, channels=3, history=2, patch=2, judges=True),
        replace(BASE, channels=3, height=96, width=64),
        replace(BASE, task=Task.RECONSTRUCTION),
        replace(BASE, task=Task.RECONSTRUCTION, channels=3, patch=2),
        replace(BASE, memory=MemoryKind.MEMAE, memory_items=40),
        replace(BASE, task=Task.RECONSTRUCTION, memory=MemoryKind.MEMAE, memory_items=7),
    ],
    ids=str,
)


def _inputs(config: NetConfig) -> tuple[Tensor, Tensor]:
    pictures = torch.rand(1, config.input_channels, config.height, config.width)
    shape = (config.memory_items, config.memory_channels)
    return pictures, mnad_memory.draw_items(*shape, torch.Generator().manual_seed(0))


def _built(config: NetConfig) -> MemoryNetwork:
    return build_network(config).eval()


def _layers(counted: Cost) -> dict[str, Work]:
    return {layer.name: layer.work for layer in counted.layers}


@CONFIGS
def test_multiply_adds_are_those_that_pytorch_counts(config: NetConfig) -> None:
    network = _built(config)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*_inputs(config))
    counted = count_cost(config)
    assert counted.sum_parts(WorkPart.NETWORK).flop == counter.get_total_flops()
    by_module = {
        name.removeprefix("MemoryNetwork."): sum(flops.values())
        for name, flops in counter.get_flop_counts().items()
    }
    stages = {name: work for name, work in counted.sum_stages().items() if name in by_module}
    assert len(stages) == 12  # 4 of the encoder, 7 of the decoder, and the last
    assert {name: work.flop for name, work in stages.items()} == {
        name: by_module[name] for name in stages
    }


@CONFIGS
def test_parameters_are_those_of_the_network(config: NetConfig) -> None:
    network = _built(config)
    buffers = {name for name, _ in network.named_buffers()}
    learned = {
        name: tensor.numel() for name, tensor in network.state_dict().items() if name not in buffers
    }
    counted = count_cost(config)
    assert counted.sum_parts().parameters == sum(learned.values())
    for stage, work in counted.sum_stages().items():
        parts = [count for name, count in learned.items() if name.startswith(f"{stage}.")]
        assert work.parameters == sum(parts), stage


@CONFIGS
def test_values_are_those_that_go_through_each_convolution(config: NetConfig) -> None:
    network = _built(config)
    seen: dict[str, tuple[int, int, int]] = {}

    def watch(name: str, layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
        weights = sum(parameter.numel() for parameter in layer.parameters())

        def see(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            seen[name] = (weights, inputs[0].numel(), output.numel())

        layer.register_forward_hook(see)

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            watch(name, module)
    with torch.inference_mode():
        network(*_inputs(config))
    layers = _layers(count_cost(config))
    assert len(seen) == 20
    assert seen == {
        name: (work.weights, work.read, work.written)
        for name, work in layers.items()
        if work.weights
    }


@CONFIGS
def test_scoring_and_update_cost_what_pytorch_counts(config: NetConfig) -> None:
    pictures, items = _inputs(config)
    network = _built(config)
    with torch.inference_mode():
        queries, _ = network.encode(pictures)
    steps = (JUDGED if config.judges else LIVE).steps
    maps = torch.rand(1, config.height, config.width)
    with FlopCounterMode(display=False) as scoring:
        network.memory.select_nearest(queries, items)
        cells = [pool_cells(maps, step) for step in steps]
    counted = count_cost(config)
    assert counted.sum_parts(WorkPart.SCORING).flop == scoring.get_total_flops()
    blurred = [step for step in steps if step.blur_cells > 0]
    assert len(cells) == len(blurred) + config.judges
    with FlopCounterMode(display=False) as updating:
        if network.memory.adapts:
            mnad_memory.update(queries, items)
    assert counted.sum_parts(WorkPart.UPDATE).flop == updating.get_total_flops()
    assert (counted.sum_parts(WorkPart.UPDATE).flop > 0) == network.memory.adapts


def test_the_reference_form_takes_92_gflop_a_frame() -> None:
    network = count_cost(NetConfig()).sum_parts(WorkPart.NETWORK)
    assert network.flop == 92_203_384_832
    fast = count_cost(NetConfig(base_width=16, patch=2, judges=True)).sum_parts(WorkPart.NETWORK)
    assert 59 < network.flop / fast.flop < 60


def test_a_patch_of_two_is_a_quarter_of_the_work_but_for_first_and_last() -> None:
    whole, patched = count_cost(BASE).sum_stages(), count_cost(replace(BASE, patch=2)).sum_stages()
    inner = whole.keys() - {"encoder.stages.0", "decoder.last", "scoring"}
    assert all(whole[name].multiply_adds == 4 * patched[name].multiply_adds for name in inner)


def test_weights_are_moved_once_for_a_batch() -> None:
    work = Work(multiply_adds=100, weights=10, read=3, written=2)
    assert work.weight_bytes(Precision.INT8) == 10
    assert work.activation_bytes(Precision.BF16) == 10
    assert work.intensity(Precision.FP32) == 200 / (40 + 20)
    assert work.intensity(Precision.FP32, batch=4) == 800 / (40 + 80)


def test_a_floor_is_the_longer_of_computing_and_moving_layer_by_layer() -> None:
    counted = count_cost(BASE)
    network = counted.sum_parts(WorkPart.NETWORK)
    computing = counted.compute_floor_s(Precision.FP32, flop_s=1e9, bytes_s=1e30)
    assert computing == pytest.approx(network.flop / 1e9)
    moving = counted.compute_floor_s(Precision.BF16, flop_s=1e30, bytes_s=1e9, batch=3)
    moved = network.weight_bytes(Precision.BF16) + 3 * network.activation_bytes(Precision.BF16)
    assert moving == pytest.approx(moved / 1e9)
    both = counted.compute_floor_s(Precision.FP32, flop_s=1e9, bytes_s=1e8)
    only_moving = counted.compute_floor_s(Precision.FP32, flop_s=1e30, bytes_s=1e8)
    assert max(computing, only_moving) < both < computing + only_moving
