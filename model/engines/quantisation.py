"""8-bit arithmetic for a trained network: each convolution reads integers and multiplies integers.

What a convolution reads is rounded to 256 levels of a range that normal footage gave (128 of them
below 0 where values may be negative); its weights to 127 levels for each output channel. Weights
have 7 bits, not 8: on processors without VNNI, two products of full size overflow the 16 bits in
which they are added, and a bundle would score differently from one machine to the next.
Levels are fixed: nothing is measured at run time.

The first convolution stays in fp32. It takes differences of nearly equal frames, and
rounded weights don't cancel: on Ped2 (width 16) that alone brought the rank correlation of live
scores with fp32's from 0.9966 down to 0.9825.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from model.bundles.calibration_config import InputRange
from model.bundles.range_names import UNQUANTISED
from model.engines.network_passes import LiveNetwork

LEVELS = 255
WEIGHT_LEVELS = 63
"""Levels of a weight, each way from 0."""
LEAST_RANGE = 1e-6
RANGE_QUANTILE = 0.9999
"""The few values of a frame above it are clipped, for finer steps below."""

_Convolution = nn.Conv2d | nn.ConvTranspose2d


class _Quantised(nn.Module):
    """A convolution whose input and weights stand on levels. fp32 outside, int8 once compiled."""

    scales: Tensor
    zeros: Tensor

    def __init__(self, convolution: _Convolution, span: InputRange) -> None:
        super().__init__()
        self.convolution = convolution
        signed = span.low < 0.0
        reach = max(span.high, -span.low, LEAST_RANGE)
        self.scale = reach / (LEVELS // 2) if signed else reach / LEVELS
        # All 256, so that 0 is one of them: OpenVINO spreads any range over 256 levels.
        self.least, self.most = (-(LEVELS // 2) - 1, LEVELS // 2) if signed else (0, LEVELS)
        self.axis = 1 if isinstance(convolution, nn.ConvTranspose2d) else 0
        weight = convolution.weight.detach()
        largest = weight.abs().amax(dim=[d for d in range(4) if d != self.axis])
        self.register_buffer("scales", (largest / WEIGHT_LEVELS).clamp_min(1e-12))
        self.register_buffer("zeros", torch.zeros_like(largest, dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fake_quantize_per_tensor_affine(x, self.scale, 0, self.least, self.most)
        layer = self.convolution
        weight = torch.fake_quantize_per_channel_affine(
            layer.weight, self.scales, self.zeros, self.axis, -WEIGHT_LEVELS, WEIGHT_LEVELS
        )
        if isinstance(layer, nn.ConvTranspose2d):
            return functional.conv_transpose2d(x, weight, layer.bias, 2, 1, 1)
        return functional.conv2d(x, weight, layer.bias, padding=1)


def find_convolutions(network: LiveNetwork) -> dict[str, _Convolution]:
    """Find the convolutions that are quantised, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and name != UNQUANTISED
    }


def quantise_network(network: LiveNetwork, ranges: Mapping[str, InputRange]) -> LiveNetwork:
    """Copy the network, each convolution quantised.

    Raises: ValueError: a convolution has no range.
    """
    copied = copy.deepcopy(network)
    for name, layer in find_convolutions(copied).items():
        if name not in ranges:
            raise ValueError(f"the 8-bit ranges lack {name}")
        owner, _, place = name.rpartition(".")
        setattr(copied.get_submodule(owner), place, _Quantised(layer, ranges[name]))
    return copied


@torch.inference_mode()
def measure_ranges(
    network: LiveNetwork, inputs: Iterable[tuple[Tensor, Tensor, Tensor]]
) -> dict[str, InputRange]:
    """Measure the range of each convolution's input over normal footage, as `LiveNetwork` takes it.

    Raises: ValueError: there are no inputs.
    """
    ranges: dict[str, InputRange] = {}
    with _record_ranges(network, ranges):
        for each in inputs:
            network(*each)
    if not ranges:
        raise ValueError("no normal footage to measure 8-bit ranges on")
    return ranges


@contextmanager
def _record_ranges(network: LiveNetwork, ranges: dict[str, InputRange]) -> Iterator[None]:
    def add_hook(name: str, layer: nn.Module) -> RemovableHandle:
        def record(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            span, before = _measure_range(inputs[0]), ranges.get(name)
            if before is not None:
                span = InputRange(min(span.low, before.low), max(span.high, before.high))
            ranges[name] = span

        return layer.register_forward_pre_hook(record)

    with ExitStack() as hooks:
        for name, layer in find_convolutions(network).items():
            hooks.callback(add_hook(name, layer).remove)
        yield


def _measure_range(values: Tensor) -> InputRange:
    flat = values.detach().flatten()
    count = max(1, round((1.0 - RANGE_QUANTILE) * flat.numel()))
    high = float(flat.topk(count).values[-1])
    low = float(flat.topk(count, largest=False).values[-1])
    return InputRange(min(low, 0.0), max(high, 0.0))
