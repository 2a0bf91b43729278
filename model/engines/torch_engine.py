"""PyTorch as the engine: on a CPU, or on a GPU with captured graphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.engines.engine import EngineOutput, FrameStack, Program
from model.engines.names import EngineName

HALVES = {
    EngineName.TORCH_BF16: torch.bfloat16,
    EngineName.CUDA_BF16: torch.bfloat16,
    EngineName.CUDA_FP16: torch.float16,
}
BATCHES = (1, 2, 4, 8, 16)
"""Sizes that a GPU's graphs are captured for; a batch is filled up to the next one."""


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
    def run(self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]) -> EngineOutput:
        columns, heat, queries = self._passes(*self._moved(frames, items, reads))
        return EngineOutput(columns.cpu().numpy(), heat.cpu().numpy(), queries)

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

    def _passes(
        self, frames: Tensor, items: Tensor, reads: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        predicted, queries, *judged = self._network(frames, items, reads)
        columns, heat = self._measuring(predicted, queries, items, frames, *judged)
        return columns, heat, queries


@dataclass(slots=True)
class _Captured:
    """One batch size: its inputs and outputs have fixed places."""

    frames: Tensor
    items: Tensor
    reads: Tensor
    outputs: tuple[Tensor, Tensor, Tensor]
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
    def run(self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]) -> EngineOutput:
        parts = [
            self._replay(
                frames[start : start + BATCHES[-1]],
                items if len(items) == 1 else items[start : start + BATCHES[-1]],
                reads[start : start + BATCHES[-1]],
            )
            for start in range(0, len(frames), BATCHES[-1])
        ]
        return EngineOutput(
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.heat for part in parts]),
            torch.cat([part.queries for part in parts]),
        )

    def _replay(self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]) -> EngineOutput:
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
        columns, heat, queries = captured.outputs
        # The queries are copied: the next replay writes over them.
        return EngineOutput(
            columns[:count].cpu().numpy(), heat[:count].cpu().numpy(), queries[:count].clone()
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
