"""The interface of engines, which run the passes of `network_passes` on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.engines.kept_outputs import PicturePart
from model.engines.names import EngineName
from model.engines.network_passes import LiveNetwork, Measuring
from model.network.network_config import NetConfig

FrameStack = NDArray[np.uint8]
"""(B, N*C, H, W): the last frames of each camera, oldest first."""


class EngineError(ValueError):
    """An engine that this machine or this bundle can't have."""


@dataclass(frozen=True, slots=True)
class PixelOutputs:
    """The network's outputs by pixel, for P cameras of a batch, on the engine's device."""

    predicted: Tensor
    """(P, C, H, W), about [0, 1]."""
    judged: Tensor | None
    """(P, 1, H, W) in [0, 1], where it judges."""


@dataclass(frozen=True, slots=True)
class EngineOutput:
    """The measures of a batch."""

    columns: NDArray[np.float32]
    """(B, 3 + errors): see `Measuring`."""
    heat: NDArray[np.float32]
    """(B, rows, columns), >= 0."""
    queries: Tensor
    """(B, K, channels), on the engine's device."""
    pixels: PixelOutputs | None = None
    """The pixels of the cameras that they were asked for."""
    threads_cpu_s: float = 0.0
    """CPU seconds that the engine's own threads spent on it, as far as it knows."""


@dataclass(frozen=True, slots=True)
class EngineProgram:
    """A network, and the measures of its outputs, for an engine to run."""

    config: NetConfig
    network: LiveNetwork
    measuring: Measuring


class Engine(Protocol):
    """As many threads at a time may call it as it takes batches."""

    @property
    def name(self) -> EngineName:
        """The engine's name."""

    @property
    def batches(self) -> int:
        """Batches that it works on at a time."""

    @property
    def computes_parts(self) -> bool:
        """True where it can run the network on a part of a picture."""

    def prepare_parts(self) -> None:
        """Make ready for parts of every shape, which otherwise delays the first of each."""

    def run(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        with_pixels: NDArray[np.bool_] | None = None,
        parts: Sequence[PicturePart | None] | None = None,
    ) -> EngineOutput:
        """Predict and measure the newest frame of each camera.

        Measures and outputs are of whole pictures: outside of a part they are what is kept of the
        camera.

        Args:
            frames: their last frames. items: (B, M, channels) or (1, M, channels).
            reads: the cameras whose memory is on.
            with_pixels: the cameras whose pixels are returned too; None is none.
            parts: what is computed for each camera, and kept; None is the whole picture, of which
                nothing is kept. Only for an engine that `computes_parts`.
        """

    def predict(self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]) -> Tensor:
        """Predict the pictures alone: (B, C, H, W), fp32, about [0, 1], on the CPU."""
