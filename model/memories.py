"""MNAD's and MemAE's memory behind one interface: what a network, a run of training and a detector
need of the memory that they are given. The equations are in `model.memory` and `model.memae`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from model import memae, memory
from model.config import MemoryKind, NetConfig
from model.losses import LossParts, LossTerms, total_loss


class Memory(Protocol):
    """Shapes: queries (B, K, C) of unit length, items (B or 1, M, C)."""

    @property
    def adapts(self) -> bool:
        """Whether updates teach the items, in training and live; else gradients do, in training."""

    def initial_items(self, count: int, channels: int, generator: torch.Generator) -> Tensor:
        """Items before training, (1, count, channels), float32."""

    def read(self, queries: Tensor, items: Tensor) -> Tensor:
        """What the memory answers, (B, K, C)."""

    def decoder_channels(self, channels: int) -> int:
        """Channels of what `decoder_input` gives."""

    def decoder_input(self, queries: Tensor, recalled: Tensor) -> Tensor:
        """What the decoder is shown of queries and answers, (B, K, decoder_channels)."""

    def nearest_items(self, queries: Tensor, items: Tensor) -> Tensor:
        """The item most similar to each query, at unit length, (B, K, C)."""

    def usage(self, queries: Tensor, items: Tensor) -> Tensor:
        """Share of the queries whose most similar item is m, (B, M)."""

    def loss(
        self, predicted: Tensor, actual: Tensor, queries: Tensor, items: Tensor, terms: LossTerms
    ) -> LossParts:
        """What training makes small; frames (B, C, H, W) in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class MnadMemory:
    """A few items of unit length that updates move; the decoder sees queries beside answers."""

    @property
    def adapts(self) -> bool:
        return True

    def initial_items(self, count: int, channels: int, generator: torch.Generator) -> Tensor:
        return memory.initial_items(count, channels, generator)

    def read(self, queries: Tensor, items: Tensor) -> Tensor:
        return memory.read(queries, items)

    def decoder_channels(self, channels: int) -> int:
        return 2 * channels

    def decoder_input(self, queries: Tensor, recalled: Tensor) -> Tensor:
        return torch.cat((queries, recalled), dim=2)

    def nearest_items(self, queries: Tensor, items: Tensor) -> Tensor:
        return memory.select(items, memory.nearest(queries, items)[..., 0])

    def usage(self, queries: Tensor, items: Tensor) -> Tensor:
        return memory.usage(queries, items)

    def loss(
        self, predicted: Tensor, actual: Tensor, queries: Tensor, items: Tensor, terms: LossTerms
    ) -> LossParts:
        return total_loss(predicted, actual, queries, items, terms)


@dataclass(frozen=True, slots=True)
class MemaeMemory:
    """Many items that gradients learn and that stay as trained. The decoder sees answers alone:
    beside the queries it would learn to look past the memory."""

    threshold: float
    """λ of the hard shrinkage."""

    @property
    def adapts(self) -> bool:
        return False

    def initial_items(self, count: int, channels: int, generator: torch.Generator) -> Tensor:
        return memae.initial_items(count, channels, generator)

    def read(self, queries: Tensor, items: Tensor) -> Tensor:
        return memae.read(queries, items, self.threshold)

    def decoder_channels(self, channels: int) -> int:
        return channels

    def decoder_input(self, queries: Tensor, recalled: Tensor) -> Tensor:
        return recalled

    def nearest_items(self, queries: Tensor, items: Tensor) -> Tensor:
        unit = functional.normalize(items, dim=2)
        return memory.select(unit, memory.nearest(queries, unit)[..., 0])

    def usage(self, queries: Tensor, items: Tensor) -> Tensor:
        return memory.usage(queries, functional.normalize(items, dim=2))

    def loss(
        self, predicted: Tensor, actual: Tensor, queries: Tensor, items: Tensor, terms: LossTerms
    ) -> LossParts:
        return memae.total_loss(
            predicted, actual, queries, items, threshold=self.threshold, form=terms.form
        )


def memory_of(config: NetConfig) -> Memory:
    """The memory that a configuration describes."""
    if config.memory is MemoryKind.MEMAE:
        return MemaeMemory(config.memory_shrinkage / config.memory_items)
    return MnadMemory()
