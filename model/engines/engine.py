"""What an engine is: the two passes of `model.engines.forms`, run on some device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.config import NetConfig
from model.engines.forms import LiveNetwork, Measuring
from model.engines.names import EngineName

FrameStack = NDArray[np.uint8]
"""(B, N*C, H, W): the last frames of each camera, oldest first."""


class EngineError(ValueError):
    """An engine that this machine or this bundle can't have."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the network gave of P cameras of a batch by pixel, on the engine's device."""

    predicted: Tensor
    """(P, C, H, W), about [0, 1]."""
    judged: Tensor | None
    """(P, 1, H, W) in [0, 1], where it judges."""


@dataclass(frozen=True, slots=True)
class EngineOutput:
    """A batch, measured."""

    columns: NDArray[np.float32]
    """(B, 3 + errors): see `Measuring`."""
    heat: NDArray[np.float32]
    """(B, rows, columns), >= 0."""
    queries: Tensor
    """(B, K, channels), on the engine's device."""
    shown: Shown | None = None
    """Of the cameras that it was asked for."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run."""

    config: NetConfig
    network: LiveNetwork
    measuring: Measuring


class Engine(Protocol):
    """One thread at a time calls it."""

    @property
    def name(self) -> EngineName:
        """What it is."""

    def run(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        shows: NDArray[np.bool_] | None = None,
    ) -> EngineOutput:
        """Predict and measure the newest frame of each camera.

        Args:
            frames: their last frames. items: (B, M, channels) or (1, M, channels).
            reads: whose memory is on.
            shows: of whom the pixels are wanted too; None is nobody.
        """

    def predict(self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]) -> Tensor:
        """The pictures alone: (B, C, H, W), fp32, about [0, 1], on the CPU."""
