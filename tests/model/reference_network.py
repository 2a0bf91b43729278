"""The reference implementation's network, restated from the paper's layers under its tensor names,
and what it computes of a frame; plain functions in float64, sharing no code with `model`.

A convolution module is two of (convolution, batch norm, ReLU), numbered 0 to 5, hence tensors at 0,
1, 3 and 4. `moduleConv4` ends after its second convolution; `moduleDeconv1` has one more, and a
tanh. Frames are BGR, as OpenCV reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tests.model import reference

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """A network of the reference's kind; its own is 64 wide and takes 3 channels."""

    width: int = 64
    channels: int = 3
    frames: int = 4
    """Frames of the input; 1 of a reconstruction."""
    skips: bool = True


def _convolutions(shape: Shape) -> Iterator[tuple[str, int, int]]:
    """Name, inputs and outputs of each convolution, the transposed ones last."""
    w, kept = shape.width, 1 if shape.skips else 2
    modules = [
        ("encoder.moduleConv1", shape.frames * shape.channels, w),
        ("encoder.moduleConv2", w, 2 * w),
        ("encoder.moduleConv3", 2 * w, 4 * w),
        ("encoder.moduleConv4", 4 * w, 8 * w),
        ("decoder.moduleConv", 16 * w, 8 * w),
        ("decoder.moduleDeconv3", 8 * w, 4 * w),
        ("decoder.moduleDeconv2", 4 * w, 2 * w),
        ("decoder.moduleDeconv1", 2 * w, w),
    ]
    for name, n_in, n_out in modules:
        yield f"{name}.0", n_in, n_out
        yield f"{name}.3", n_out, n_out
    yield "decoder.moduleDeconv1.6", w, shape.channels
    yield "decoder.moduleUpsample4.0", 8 * w, 4 * w * kept
    yield "decoder.moduleUpsample3.0", 4 * w, 2 * w * kept
    yield "decoder.moduleUpsample2.0", 2 * w, w * kept


def random_weights(shape: Shape, seed: int = 0) -> dict[str, Tensor]:
    """Float32 weights by the reference's names, spread so that signals neither die nor explode."""
    draw = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}

    def norm(name: str, channels: int) -> None:
        weights[f"{name}.weight"] = 0.5 + torch.rand(channels, generator=draw)
        weights[f"{name}.bias"] = 0.2 * torch.randn(channels, generator=draw)
        weights[f"{name}.running_mean"] = 0.2 * torch.randn(channels, generator=draw)
        weights[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=draw)
        weights[f"{name}.num_batches_tracked"] = torch.tensor(7)

    for name, n_in, n_out in _convolutions(shape):
        up = "Upsample" in name
        size = (n_in, n_out, 3, 3) if up else (n_out, n_in, 3, 3)
        spread = (2.0 / (9 * n_in)) ** 0.5 * (2.0 if up else 1.0)
        weights[f"{name}.weight"] = spread * torch.randn(size, generator=draw)
        weights[f"{name}.bias"] = 0.1 * torch.randn(n_out, generator=draw)
        stem, number = name.rsplit(".", 1)
        if number != "6" and (stem, number) != ("encoder.moduleConv4", "3"):
            norm(f"{stem}.{int(number) + 1}", n_out)
    norm("encoder.moduleBatchNorm", 8 * shape.width)  # it has one that it never calls
    return weights


def _norm(x: Tensor, name: str, weights: Mapping[str, Tensor]) -> Tensor:
    values = [weights[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
    return functional.batch_norm(x, *values)


def _module(x: Tensor, name: str, weights: Mapping[str, Tensor]) -> Tensor:
    for number in (0, 3):
        layer = (weights[f"{name}.{number}.{key}"] for key in ("weight", "bias"))
        x = functional.conv2d(x, *layer, padding=1)
        if f"{name}.{number + 1}.weight" in weights:
            x = _norm(x, f"{name}.{number + 1}", weights).relu()
    return x


def _up(x: Tensor, name: str, weights: Mapping[str, Tensor]) -> Tensor:
    layer = (weights[f"{name}.0.{key}"] for key in ("weight", "bias"))
    x = functional.conv_transpose2d(x, *layer, stride=2, padding=1, output_padding=1)
    return _norm(x, f"{name}.1", weights).relu()


class ReferenceCamera:
    """One test stream in the reference implementation: its items go from frame to frame."""

    def __init__(self, weights: Mapping[str, Tensor], items: Array, *, gamma: float) -> None:
        self.weights = {name: value.double() for name, value in weights.items()}
        self.items = items
        self.gamma = gamma
        self.skips = len(self.weights["decoder.moduleUpsample4.1.weight"]) < items.shape[1]

    def observe(
        self, inputs: list[Array], actual: Array, *, over_all: bool
    ) -> tuple[float, float, float, bool]:
        """P, D, E_t and whether the items moved. Frames are (channels, H, W), BGR, in [0, 1]."""
        picture, queries = self.predict(inputs)
        predicted = (picture + 1.0) / 2.0
        difference = predicted - actual
        psnr = 10.0 * np.log10(1.0 / float((difference**2).mean()))
        distance = reference.distance(queries, self.items, squared=True)
        each = difference**2
        weight = 1.0 - np.exp(-each)
        gate = float((weight * each).sum() / weight.sum())
        moves = gate < self.gamma
        if moves:
            self.items = update(queries, self.items, over_all=over_all)
        return psnr, distance, gate, moves

    def predict(self, inputs: list[Array]) -> tuple[Array, Array]:
        """The picture in [-1, 1], (channels, H, W), and the unit queries (K, C)."""
        x = torch.from_numpy(np.concatenate(inputs))[None] * 2.0 - 1.0
        kept = []
        for name in ("encoder.moduleConv1", "encoder.moduleConv2", "encoder.moduleConv3"):
            x = _module(x, name, self.weights)
            kept.append(x)
            x = functional.max_pool2d(x, 2)
        features = _module(x, "encoder.moduleConv4", self.weights)
        _, channels, height, width = features.shape
        rows = features[0].permute(1, 2, 0).reshape(-1, channels).numpy()
        queries = np.array([reference.unit(row) for row in rows])
        both = np.concatenate((queries, reference.read(queries, self.items)), axis=1)
        x = torch.from_numpy(both).reshape(height, width, 2 * channels).permute(2, 0, 1)[None]
        x = _module(x, "decoder.moduleConv", self.weights)
        for number in (4, 3, 2):
            x = _up(x, f"decoder.moduleUpsample{number}", self.weights)
            if self.skips:
                x = torch.cat((x, kept.pop()), dim=1)
            x = _module(x, f"decoder.moduleDeconv{number - 1}", self.weights)
        layer = (self.weights[f"decoder.moduleDeconv1.6.{key}"] for key in ("weight", "bias"))
        return functional.conv2d(x, *layer, padding=1).tanh()[0].numpy(), queries


def update(queries: Array, items: Array, *, over_all: bool) -> Array:
    """The items after a frame; `over_all` takes the maximum over all k, as the reference does."""
    if not over_all:
        return reference.update(queries, items)
    result = items.copy()
    chosen = [reference.ranking(query, items)[0] for query in queries]
    for m, item in enumerate(items):
        v = reference.softmax([float(item @ query) for query in queries])
        pulled = [v[k] / max(v) * queries[k] for k, nearest in enumerate(chosen) if nearest == m]
        result[m] = reference.unit(item + sum(pulled)) if pulled else item
    return result
