"""The shape of a network and of its memory, which is saved with the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from model.validation import require

DOWNSCALE = 8
"""Three poolings of two: the feature map is this much smaller than the picture, each way."""
LEAST_SIDE = 16
"""The least height and width of a picture, in patches."""
PATCHES = (1, 2, 4)


class Task(StrEnum):
    """The network's task: to predict the next frame, or to reconstruct a frame."""

    PREDICTION = "prediction"
    RECONSTRUCTION = "reconstruction"


class MemoryKind(StrEnum):
    """The memory between encoder and decoder; see `model.network.memories`."""

    MNAD = "mnad"
    MEMAE = "memae"


MEMORY_ITEMS = {MemoryKind.MNAD: 10, MemoryKind.MEMAE: 2000}
"""The number of items that each memory has in its paper."""


@dataclass(frozen=True, slots=True)
class NetConfig:
    """Shape of the network and of its memory.

    The paper's network is `base_width=64`, hence 512 feature channels, with 10 items.
    """

    task: Task = Task.PREDICTION
    base_width: int = 64
    channels: int = 1
    height: int = 256
    width: int = 256
    history: int = 4
    memory_items: int = 0
    """0 stands for as many as the memory has in its paper."""
    memory_channels: int = 0
    """Channels of a query and of an item; 0 stands for 8 x base_width."""
    memory: MemoryKind = MemoryKind.MNAD
    memory_shrinkage: float = 1.0
    """λ of MemAE's hard shrinkage, in units of 1 / memory_items; the paper's are from 1 to 3."""
    judges: bool = False
    """True: a second output says of each pixel how likely it is abnormal."""
    patch: int = 1
    """Side of the squares of pixels that the convolutions take as one place with more channels: 2
    is a quarter of the work. The paper's is 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", Task(self.task))
        object.__setattr__(self, "memory", MemoryKind(self.memory))
        if self.memory_items == 0:
            object.__setattr__(self, "memory_items", MEMORY_ITEMS[self.memory])
        if self.memory_channels == 0:
            object.__setattr__(self, "memory_channels", 8 * self.base_width)
        require(self.base_width >= 1, "base_width", self.base_width, "at least 1")
        require(self.channels in (1, 3), "channels", self.channels, "1 (grey) or 3 (RGB)")
        require(self.patch in PATCHES, "patch", self.patch, "1, 2 or 4")
        for name in ("height", "width"):
            size = getattr(self, name)
            require(
                size >= LEAST_SIDE * self.patch and size % self.downscale == 0,
                name,
                size,
                f"a multiple of {self.downscale}, at least {LEAST_SIDE * self.patch}",
            )
        require(1 <= self.history <= 32, "history", self.history, "from 1 to 32 frames")
        require(self.memory_items >= 2, "memory_items", self.memory_items, "at least 2")
        require(self.memory_channels >= 1, "memory_channels", self.memory_channels, "at least 1")
        require(
            math.isfinite(self.memory_shrinkage) and self.memory_shrinkage >= 0.0,
            "memory_shrinkage",
            self.memory_shrinkage,
            "a number, 0 or more",
        )

    @property
    def context(self) -> int:
        """Frames that must come before the first one that can be scored."""
        return self.history if self.task is Task.PREDICTION else 0

    @property
    def input_channels(self) -> int:
        """Channels of the network's input: the context frames, stacked."""
        return self.channels * max(self.context, 1)

    @property
    def downscale(self) -> int:
        """The picture's size divided by the feature map's, each way."""
        return DOWNSCALE * self.patch

    @property
    def queries(self) -> int:
        """K, the number of queries that one frame gives."""
        return (self.height // self.downscale) * (self.width // self.downscale)
