"""PyTorch as the engine: on a CPU, or on a GPU with captured graphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.engines.engine import EngineOutput, FrameStack, Program, Shown
from model.engines.names import EngineName

HALVES = {
    EngineName.TORCH_BF16: torch.bfloat16,
    EngineName.CUDA_BF16: torch.bfloat16,
    EngineName.CUDA_FP16: torch.float16,
}
BATCHES = (1, 2, 4, 8, 16)
"""Sizes that a GPU's graphs are captured for; a batch is filled up to the next one."""


@dataclass(frozen=True, slots=True)
class _Passed:
    """What the two passes give of a batch, on the engine's device."""

    columns: Tensor
    heat: Tensor
    queries: Tensor
    predicted: Tensor
    judged: Tensor | None

    def shown(self, shows: NDArray[np.bool_] | None) -> Shown | None:
        """A copy of what is wanted of the first cameras."""
        if shows is None:
            return None
        chosen = torch.from_numpy(np.flatnonzero(shows)).to(self.predicted.device)
        judged = self.judged
        return Shown(self.predicted[chosen], None if judged is None else judged[chosen])


class TorchEngine:
    """Runs the passes as they are written, on any device of PyTorch's."""

    def __init__(self, program: Program, name: EngineName, device: torch.device) -> None:
        self._name = name
        self._device = device
        self._network = program.network.to(device)
        self._network.reduced = HALVES.get(name)
        self._measuring = program.measuring

    @property
    def name(self) -> EngineName:
        return self._name

    @torch.inference_mode()
    def run(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        shows: NDArray[np.bool_] | None = None,
    ) -> EngineOutput:
        done = self._passes(*self._moved(frames, items, reads))
        return EngineOutput(
            done.columns.cpu().numpy(), done.heat.cpu().numpy(), done.queries, done.shown(shows)
        )

    @torch.inference_mode()
    def predict(self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]) -> Tensor:
        predicted: Tensor = self._network(*self._moved(frames, items, reads))[0]
        return predicted.cpu()

    def _moved(
        self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]
    ) -> tuple[Tensor, Tensor, Tensor]:
        return (
            torch.from_numpy(frames).to(self._device),
            items.to(self._device),
            torch.from_numpy(reads).to(self._device),
        )

    def _passes(self, frames: Tensor, items: Tensor, reads: Tensor) -> _Passed:
        predicted, queries, *judged = self._network(frames, items, reads)
        columns, heat = self._measuring(predicted, queries, items, frames, *judged)
        return _Passed(columns, heat, queries, predicted, judged[0] if judged else None)


@dataclass(slots=True)
class _Captured:
    """One batch size: its inputs and outputs have fixed places."""

    frames: Tensor
    items: Tensor
    reads: Tensor
    outputs: _Passed
    graph: torch.cuda.CUDAGraph | None


class CudaEngine(TorchEngine):
    """A GPU: each batch is filled up to one of a few sizes, whose whole work is one graph.

    A frame of a small network is a hundred kernels of microseconds each: launched one by one, the
    processor would be the limit, not the GPU. On a CPU (for tests) there are no graphs, and all
    else is the same.
    """

    def __init__(self, program: Program, name: EngineName, device: torch.device) -> None:
        super().__init__(program, name, device)
        config = program.config
        count = config.channels * (config.context + 1)
        self._shape = (count, config.height, config.width)
        self._item_shape = (config.memory_items, config.memory_channels)
        self._captured: dict[int, _Captured] = {}

    @torch.inference_mode()
    def run(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        shows: NDArray[np.bool_] | None = None,
    ) -> EngineOutput:
        size = BATCHES[-1]
        parts = [
            self._replay(
                frames[start : start + size],
                items if len(items) == 1 else items[start : start + size],
                reads[start : start + size],
                None if shows is None else shows[start : start + size],
            )
            for start in range(0, len(frames), size)
        ]
        return EngineOutput(
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.heat for part in parts]),
            torch.cat([part.queries for part in parts]),
            _together([part.shown for part in parts if part.shown is not None]),
        )

    def _replay(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        shows: NDArray[np.bool_] | None,
    ) -> EngineOutput:
        count = len(frames)
        size = next(size for size in BATCHES if size >= count)
        captured = self._captured.get(size) or self._capture(size, items)
        captured.frames[:count].copy_(torch.from_numpy(frames), non_blocking=True)
        captured.items[:count].copy_(items.expand(count, -1, -1), non_blocking=True)
        captured.reads[:count].copy_(torch.from_numpy(reads), non_blocking=True)
        if captured.graph is None:
            captured.outputs = self._passes(captured.frames, captured.items, captured.reads)
        else:
            captured.graph.replay()
        done = captured.outputs
        # What stays on the device is copied: the next replay writes over it.
        return EngineOutput(
            done.columns[:count].cpu().numpy(),
            done.heat[:count].cpu().numpy(),
            done.queries[:count].clone(),
            done.shown(shows),
        )

    def _capture(self, size: int, items: Tensor) -> _Captured:
        frames = torch.zeros((size, *self._shape), dtype=torch.uint8, device=self._device)
        places = torch.empty((size, *self._item_shape), device=self._device)
        places.copy_(items[:1].expand(size, -1, -1))
        reads = torch.ones(size, dtype=torch.bool, device=self._device)
        if self._device.type != "cuda":
            outputs = self._passes(frames, places, reads)
            captured = _Captured(frames, places, reads, outputs, None)
        else:
            captured = self._capture_graph(frames, places, reads)
        self._captured[size] = captured
        return captured

    def _capture_graph(self, frames: Tensor, items: Tensor, reads: Tensor) -> _Captured:
        for _ in range(3):  # cuDNN chooses its algorithms before they are recorded
            self._passes(frames, items, reads)
        torch.cuda.synchronize(self._device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self._passes(frames, items, reads)
        return _Captured(frames, items, reads, outputs, graph)


def _together(parts: list[Shown]) -> Shown | None:
    if not parts:
        return None
    judged = [part.judged for part in parts if part.judged is not None]
    return Shown(
        torch.cat([part.predicted for part in parts]), torch.cat(judged) if judged else None
    )
