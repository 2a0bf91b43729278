"""PyTorch as the engine: on a CPU, or on a GPU with captured graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.engines.engine import EngineOutput, EngineProgram, FrameStack, PixelOutputs
from model.engines.kept_outputs import Array, PicturePart
from model.engines.names import EngineName

HALVES = {
    EngineName.TORCH_BF16: torch.bfloat16,
    EngineName.CUDA_BF16: torch.bfloat16,
    EngineName.CUDA_FP16: torch.float16,
}
BATCHES = (1, 2, 4, 8, 16)
"""Batch sizes that a GPU's graphs are captured for; a batch is filled up to the next one."""


@dataclass(frozen=True, slots=True)
class _BatchTensors:
    """The outputs of the two passes for a batch, on the engine's device."""

    columns: Tensor
    heat: Tensor
    queries: Tensor
    predicted: Tensor
    judged: Tensor | None

    def copy_pixels(self, with_pixels: NDArray[np.bool_] | None) -> PixelOutputs | None:
        """Copy the pixels of these cameras, which are the first of the batch."""
        if with_pixels is None:
            return None
        chosen = torch.from_numpy(np.flatnonzero(with_pixels)).to(self.predicted.device)
        judged = self.judged
        return PixelOutputs(self.predicted[chosen], None if judged is None else judged[chosen])


class TorchEngine:
    """Runs the passes as they are written, on any device of PyTorch's."""

    def __init__(self, program: EngineProgram, name: EngineName, device: torch.device) -> None:
        self._name = name
        self._device = device
        self._network = program.network.to(device)
        self._network.reduced = HALVES.get(name)
        self._measuring = program.measuring

    @property
    def name(self) -> EngineName:
        return self._name

    @property
    def batches(self) -> int:
        return 1

    @property
    def computes_parts(self) -> bool:
        return self._device.type == "cpu"

    def prepare_parts(self) -> None:
        """Nothing is compiled."""

    @torch.inference_mode()
    def run(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        with_pixels: NDArray[np.bool_] | None = None,
        parts: Sequence[PicturePart | None] | None = None,
    ) -> EngineOutput:
        done = self._passes(*self._move_to_device(frames, items, reads), parts)
        return EngineOutput(
            done.columns.cpu().numpy(),
            done.heat.cpu().numpy(),
            done.queries,
            done.copy_pixels(with_pixels),
        )

    @torch.inference_mode()
    def predict(self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]) -> Tensor:
        predicted: Tensor = self._network(*self._move_to_device(frames, items, reads))[0]
        return predicted.cpu()

    def _move_to_device(
        self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]
    ) -> tuple[Tensor, Tensor, Tensor]:
        return (
            torch.from_numpy(frames).to(self._device),
            items.to(self._device),
            torch.from_numpy(reads).to(self._device),
        )

    def _passes(
        self,
        frames: Tensor,
        items: Tensor,
        reads: Tensor,
        parts: Sequence[PicturePart | None] | None = None,
    ) -> _BatchTensors:
        if parts is None or not any(parts):
            predicted, queries, *judged = self._network(frames, items, reads)
        else:
            predicted, queries, *judged = self._compose(frames, items, reads, parts)
        columns, heat = self._measuring(predicted, queries, items, frames, *judged)
        return _BatchTensors(columns, heat, queries, predicted, judged[0] if judged else None)

    def _compose(
        self, frames: Tensor, items: Tensor, reads: Tensor, parts: Sequence[PicturePart | None]
    ) -> list[Tensor]:
        """Run the network for the parts, and complete each camera's output from what is kept."""
        whole = [i for i, part in enumerate(parts) if part is None or part.crop is None]
        places = items.expand(len(frames), -1, -1)
        rows: list[Sequence[Tensor]] = [()] * len(parts)
        if whole:
            outputs = self._network(frames[whole], places[whole], reads[whole])
            for at, index in enumerate(whole):
                rows[index] = [output[at : at + 1] for output in outputs]
        for index, part in enumerate(parts):
            if part is None:
                continue
            if part.crop is None:
                part.kept.replace(*_to_arrays(rows[index]))
                continue
            one = slice(index, index + 1)
            cut = torch.from_numpy(part.cut(frames[one].numpy()))
            part.kept.paste(part.crop, *_to_arrays(self._network(cut, places[one], reads[one])))
            rows[index] = [torch.from_numpy(each) for each in part.kept.arrays]
        return [torch.cat(each) for each in zip(*rows, strict=True)]


def _to_arrays(outputs: Sequence[Tensor]) -> tuple[Array, Array, Array | None]:
    """Convert the network's outputs to what `KeptOutputs` takes."""
    predicted, queries, *judged = (output.numpy() for output in outputs)
    return predicted, queries, judged[0] if judged else None


@dataclass(slots=True)
class _Captured:
    """One batch size: its inputs and outputs have fixed places."""

    frames: Tensor
    items: Tensor
    reads: Tensor
    outputs: _BatchTensors
    graph: torch.cuda.CUDAGraph | None


class CudaEngine(TorchEngine):
    """A GPU: each batch is filled up to one of a few sizes, whose whole work is one graph.

    A frame of a small network is a hundred kernels of microseconds each: launched one by one, the
    processor would be the limit, not the GPU. On a CPU (for tests) there are no graphs, and all
    else is the same.
    """

    def __init__(self, program: EngineProgram, name: EngineName, device: torch.device) -> None:
        super().__init__(program, name, device)
        config = program.config
        count = config.channels * (config.context + 1)
        self._shape = (count, config.height, config.width)
        self._item_shape = (config.memory_items, config.memory_channels)
        self._captured: dict[int, _Captured] = {}

    @property
    def computes_parts(self) -> bool:
        return False

    @torch.inference_mode()
    def run(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        with_pixels: NDArray[np.bool_] | None = None,
        parts: Sequence[PicturePart | None] | None = None,
    ) -> EngineOutput:
        if parts is not None:
            raise ValueError("a GPU's engine computes whole pictures")
        size = BATCHES[-1]
        batches = [
            self._replay(
                frames[start : start + size],
                items if len(items) == 1 else items[start : start + size],
                reads[start : start + size],
                None if with_pixels is None else with_pixels[start : start + size],
            )
            for start in range(0, len(frames), size)
        ]
        return EngineOutput(
            np.concatenate([batch.columns for batch in batches]),
            np.concatenate([batch.heat for batch in batches]),
            torch.cat([batch.queries for batch in batches]),
            _concatenate([batch.pixels for batch in batches if batch.pixels is not None]),
        )

    def _replay(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        with_pixels: NDArray[np.bool_] | None,
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
            done.copy_pixels(with_pixels),
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


def _concatenate(parts: list[PixelOutputs]) -> PixelOutputs | None:
    if not parts:
        return None
    judged = [part.judged for part in parts if part.judged is not None]
    return PixelOutputs(
        torch.cat([part.predicted for part in parts]), torch.cat(judged) if judged else None
    )
