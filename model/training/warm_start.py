"""Starts a training from the weights of a shipped bundle instead of random ones.

The bundle must have the same architecture. Its pictures may have another size, which the weights
don't depend on, and be grey where the new network's are in colour, or the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.bundles.bundle import load
from model.bundles.catalog import SHIPPED, find_bundle, read_document
from model.network.network_config import NetConfig
from model.network.preset_networks import have_same_architecture

AUTO = "auto"
NONE = "none"
STARTS = ("ped2-fast", "ped2-judged")
"""Shipped bundles to start from; `demo` knows drawn things only."""
FIRST_LAYER = "encoder.stages.0.0.weight"
LAST_LAYER = "decoder.last"
GREY_SHARES = (0.299, 0.587, 0.114)
"""The shares of red, green and blue in grey, by which frames are converted."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The weights that a training begins with."""

    bundle: str
    """The name of the bundle that they are from."""
    digest: str
    """The SHA-256 of its weights: a checkpoint belongs to it."""
    tensors: Mapping[str, Tensor]
    """The network's state."""
    items: Tensor
    """(1, M, C), unit length."""


def find_start(net: NetConfig) -> Path | None:
    """Find the shipped bundle whose weights fit the network; None if there is none."""
    for name in STARTS:
        path = SHIPPED / name
        if have_same_architecture(read_document(path).net, net):
            return path
    return None


def choose_start(choice: str, net: NetConfig, folders: Sequence[Path] = ()) -> WarmStart | None:
    """Load the weights to begin with; None stands for random ones.

    Args:
        choice: `auto`, `none`, or a bundle's name or path.
        folders: the user's bundles.
    Raises: BundleError: there is no such bundle. ValueError: it doesn't fit the network.
    """
    if choice == NONE:
        return None
    path = find_start(net) if choice == AUTO else find_bundle(choice, folders)
    return load_start(path, net) if path else None


def load_start(path: Path, net: NetConfig) -> WarmStart:
    """Load a bundle's weights for a network like its own, converted to its colour.

    Raises: BundleError: it can't be read. ValueError: its architecture is another one.
    """
    bundle = load(path)
    if not have_same_architecture(bundle.config, net):
        raise ValueError(f"{bundle.name} has another architecture than this training's network")
    tensors = {name: tensor.clone() for name, tensor in bundle.network.state_dict().items()}
    if bundle.config.channels != net.channels:
        _convert_colour(tensors, bundle.config, net.channels)
    digest = read_document(path).weights_sha256
    return WarmStart(bundle.name, digest, tensors, bundle.items.clone())


def _convert_colour(tensors: dict[str, Tensor], source: NetConfig, channels: int) -> None:
    """Make the first and last layer fit another number of colours, in place.

    Grey to RGB: the network sees the picture's grey, and predicts that grey for each colour. RGB to
    grey: each weight of the first layer is the sum over the colours, of the last one their mean.
    """
    cells = source.patch**2
    first = tensors[FIRST_LAYER]  # (out, T * colours * cells, 3, 3)
    parts = first.reshape(len(first), -1, source.channels, cells, *first.shape[2:])
    if channels == 1:
        parts = parts.sum(dim=2, keepdim=True)
    else:
        parts = torch.cat([share * parts for share in GREY_SHARES], dim=2)
    tensors[FIRST_LAYER] = parts.flatten(1, 3).contiguous()
    for kind in ("weight", "bias"):
        last = tensors[f"{LAST_LAYER}.{kind}"]  # ((colours + judges) * cells, ...)
        colours = last[: source.channels * cells].reshape(source.channels, cells, *last.shape[1:])
        grey = colours.mean(dim=0)
        tensors[f"{LAST_LAYER}.{kind}"] = torch.cat(
            (*(grey for _ in range(channels)), last[source.channels * cells :])
        )
