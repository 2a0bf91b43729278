"""The interface of memories, which a network, training and a detector use, and its two kinds. The
equations are in `model.network.mnad_memory` and `model.network.memae_memory`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from model.network import memae_memory, mnad_memory
from model.network.losses import LossParts, LossTerms, total_loss
from model.network.network_config import MemoryKind, NetConfig


class Memory(Protocol):
    """Shapes: queries (B, K, C) of unit length, items (B or 1, M, C)."""

    @property
    def adapts(self) -> bool:
        """True where updates teach the items, in training and live; gradients teach others."""

    def draw_items(self, count: int, channels: int, generator: torch.Generator) -> Tensor:
        """Make items for the start of training, (1, count, channels), float32."""

    def read(self, queries: Tensor, items: Tensor) -> Tensor:
        """Answer each query from the items, (B, K, C)."""

    def count_decoder_channels(self, channels: int) -> int:
        """Returns the channels of `make_decoder_input`."""

    def make_decoder_input(self, queries: Tensor, recalled: Tensor) -> Tensor:
        """Combine queries and answers for the decoder, (B, K, `count_decoder_channels`)."""

    def select_nearest(self, queries: Tensor, items: Tensor) -> Tensor:
        """Select the item most similar to each query, at unit length, (B, K, C)."""

    def measure_usage(self, queries: Tensor, items: Tensor) -> Tensor:
        """Compute the share of the queries whose most similar item is m, (B, M)."""

    def compute_loss(
        self, predicted: Tensor, actual: Tensor, queries: Tensor, items: Tensor, terms: LossTerms
    ) -> LossParts:
        """Compute the loss that training minimises; frames (B, C, H, W) in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class MnadMemory:
    """A few items of unit length that updates move; the decoder gets queries and answers."""

    @property
    def adapts(self) -> bool:
        return True

    def draw_items(self, count: int, channels: int, generator: torch.Generator) -> Tensor:
        return mnad_memory.draw_items(count, channels, generator)

    def read(self, queries: Tensor, items: Tensor) -> Tensor:
        return mnad_memory.read(queries, items)

    def count_decoder_channels(self, channels: int) -> int:
        return 2 * channels

    def make_decoder_input(self, queries: Tensor, recalled: Tensor) -> Tensor:
        return torch.cat((queries, recalled), dim=2)

    def select_nearest(self, queries: Tensor, items: Tensor) -> Tensor:
        return mnad_memory.select(items, mnad_memory.find_nearest(queries, items)[..., 0])

    def measure_usage(self, queries: Tensor, items: Tensor) -> Tensor:
        return mnad_memory.measure_usage(queries, items)

    def compute_loss(
        self, predicted: Tensor, actual: Tensor, queries: Tensor, items: Tensor, terms: LossTerms
    ) -> LossParts:
        return total_loss(predicted, actual, queries, items, terms)


@dataclass(frozen=True, slots=True)
class MemaeMemory:
    """Many items that gradients learn and that stay as trained. The decoder sees answers alone:
    given the queries too, it would learn to ignore the memory."""

    threshold: float
    """λ of the hard shrinkage."""

    @property
    def adapts(self) -> bool:
        return False

    def draw_items(self, count: int, channels: int, generator: torch.Generator) -> Tensor:
        return memae_memory.draw_items(count, channels, generator)

    def read(self, queries: Tensor, items: Tensor) -> Tensor:
        return memae_memory.read(queries, items, self.threshold)

    def count_decoder_channels(self, channels: int) -> int:
        return channels

    def make_decoder_input(self, queries: Tensor, recalled: Tensor) -> Tensor:
        return recalled

    def select_nearest(self, queries: Tensor, items: Tensor) -> Tensor:
        unit = functional.normalize(items, dim=2)
        return mnad_memory.select(unit, mnad_memory.find_nearest(queries, unit)[..., 0])

    def measure_usage(self, queries: Tensor, items: Tensor) -> Tensor:
        return mnad_memory.measure_usage(queries, functional.normalize(items, dim=2))

    def compute_loss(
        self, predicted: Tensor, actual: Tensor, queries: Tensor, items: Tensor, terms: LossTerms
    ) -> LossParts:
        return memae_memory.total_loss(
            predicted, actual, queries, items, threshold=self.threshold, form=terms.form
        )


def build_memory(config: NetConfig) -> Memory:
    """Build the memory that a configuration describes."""
    if config.memory is MemoryKind.MEMAE:
        return MemaeMemory(config.memory_shrinkage / config.memory_items)
    return MnadMemory()
