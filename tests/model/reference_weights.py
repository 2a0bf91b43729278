"""Weights and items for the reference implementation's network, drawn again by anyone.

The values follow the recipe of `../shared/data/README.md`, section reference, so that at the
reference's own width they are those that its outputs there were computed with.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """A network of the reference's kind; its own is 64 wide and takes 3 channels."""

    width: int = 64
    channels: int = 3
    frames: int = 4
    """Frames of the input; 1 for a reconstruction."""
    skips: bool = True


def tensor_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The state dict's names and shapes.

    A convolution module is two of (convolution, batch norm, ReLU), numbered 0 to 5, hence tensors
    at 0, 1, 3 and 4. `moduleConv4` ends after its second convolution; `moduleDeconv1` has one more.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def add_norm(name: str, channels: int) -> None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{key}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    for name, n_in, n_out in _convolutions(shape):
        size = (n_in, n_out, 3, 3) if "Upsample" in name else (n_out, n_in, 3, 3)
        shapes |= {f"{name}.weight": size, f"{name}.bias": (n_out,)}
        stem, number = name.rsplit(".", 1)
        if number != "6" and name != "encoder.moduleConv4.3":
            add_norm(f"{stem}.{int(number) + 1}", n_out)
    add_norm("encoder.moduleBatchNorm", 8 * shape.width)  # the reference never calls it
    return shapes


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


def random_weights(shape: Shape) -> dict[str, Tensor]:
    """Float32 weights, spread so that signals neither die nor explode."""
    return {name: _draw(name, size) for name, size in tensor_shapes(shape).items()}


def _draw(name: str, size: tuple[int, ...]) -> Tensor:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rsplit(".", 1)[1]
    if kind == "num_batches_tracked":
        return torch.tensor(1)
    if kind == "weight" and len(size) == 4:
        fan = size[0] * 9 / 4 if "Upsample" in name else 9 * size[1]
        drawn = random.standard_normal(size) * np.sqrt(2 / fan)
    elif kind in ("weight", "running_var"):
        drawn = random.uniform(0.5, 1.5, size)
    else:
        drawn = random.standard_normal(size) * (0.1 if kind == "running_mean" else 0.05)
    return torch.from_numpy(drawn.astype(np.float32))


def random_items(channels: int, count: int = 10) -> Tensor:
    """Items of unit length, (count, channels), float32."""
    drawn = np.random.default_rng(zlib.crc32(b"items")).uniform(0, 1, (count, channels))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return torch.from_numpy(drawn.astype(np.float32))
