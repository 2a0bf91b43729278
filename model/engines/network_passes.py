"""The two passes of a live frame, pure functions of tensors, which every engine runs: the network,
which may be computed in less precision, and the measures of its outputs, always in fp32.

Shapes: B cameras, N frames of a camera (its context and the new one), C channels of a frame, K
queries, M items. The items are an input: one compiled network serves every camera and update.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.engines.required_measures import RequiredMeasures
from model.network import memory_updates as updates
from model.network.memories import Memory
from model.network.network_config import NetConfig, Task
from model.network.unet import MemoryNetwork, fold_batch_norms
from model.scoring import measures
from model.scoring.prediction_error import error_map, pool_cells, pool_top
from model.scoring.score_config import ErrorKind, ErrorStep


class LiveNetwork(nn.Module):
    """A trained network as it runs: batch norms folded, one last convolution for each output.

    It is a copy for inference only: the network that it is made from stays as it is.
    """

    def __init__(self, network: MemoryNetwork, config: NetConfig) -> None:
        super().__init__()
        copied = fold_batch_norms(network).channels_last()
        self.encoder = copied.encoder
        self.trunk = copied.decoder
        self.memory: Memory = copied.memory
        self.config = config
        self.reduced: torch.dtype | None = None
        """Encoder and decoder are computed in this type (autocast); None leaves them in fp32."""
        pixels = config.channels * config.patch**2
        last = copied.decoder.last
        del copied.decoder.last
        self.picture = _copy_outputs(last, slice(0, pixels))
        self.judge = _copy_outputs(last, slice(pixels, None)) if config.judges else None

    def forward(self, frames: Tensor, items: Tensor, reads: Tensor) -> tuple[Tensor, ...]:
        """Predict the newest of the frames.

        Args:
            frames: (B, N*C, H, W), uint8, oldest first.
            items: (B, M, channels), or (1, M, channels) shared by all.
            reads: (B,), bool: whether the camera's memory is on (`UpdateRule.reads`).
        Returns: pictures, (B, C, H, W), about [0, 1]; queries, (B, K, channels), unit length; and
            where it judges, (B, 1, H, W) in [0, 1].
        """
        config = self.config
        known = frames[:, : -config.channels] if config.task is Task.PREDICTION else frames
        # (x / 255) * 2 - 1 in this order: as in training.
        pictures = (known.float() / 255.0 * 2.0 - 1.0).contiguous(memory_format=torch.channels_last)
        with self._autocast(frames.device):
            features, skips = self.encoder(pictures)
        queries = functional.normalize(features.float().flatten(2).transpose(1, 2), dim=2)
        recalled = updates.recall(self.memory, queries, items, reads)
        inputs = self.memory.make_decoder_input(queries, recalled).transpose(1, 2)
        inputs = inputs.reshape(inputs.shape[0], inputs.shape[1], *features.shape[2:])
        with self._autocast(frames.device):
            x = self.trunk.trunk(inputs, skips)
            picture = self._shuffle_pixels(self.picture(x))
            judged = None if self.judge is None else self._shuffle_pixels(self.judge(x))
        predicted = (torch.tanh(picture.float()) + 1.0) / 2.0
        if judged is None:
            return predicted, queries
        return predicted, queries, judged.float().sigmoid()

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        return torch.autocast(device.type, self.reduced) if self.reduced else nullcontext()

    def _shuffle_pixels(self, x: Tensor) -> Tensor:
        return x if self.config.patch == 1 else functional.pixel_shuffle(x, self.config.patch)


def _copy_outputs(last: nn.Conv2d, part: slice) -> nn.Conv2d:
    """Copy some output channels of a convolution into a convolution of its own."""
    weight, bias = last.weight[part], last.bias
    chosen = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
    chosen.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        chosen.bias = nn.Parameter(bias[part].detach().clone(), requires_grad=False)
    return chosen


COLUMNS = ("psnr", "distance", "gate_error")
"""The measures of each frame that `Measuring` puts before the errors."""


class Measuring(nn.Module):
    """P, D, E_t, the pooled errors and the heat of a batch of frames, in fp32."""

    def __init__(self, memory: Memory, config: NetConfig, required: RequiredMeasures) -> None:
        super().__init__()
        self.memory = memory
        self.config = config
        self.required = required

    def forward(
        self,
        predicted: Tensor,
        queries: Tensor,
        items: Tensor,
        frames: Tensor,
        judged: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Measure each frame against its prediction.

        Args: as `LiveNetwork` takes and gives them.
        Returns: (B, 3 + errors), in the order of `COLUMNS` and `RequiredMeasures.errors`; and the
            heat, (B, rows, columns).
        """
        required = self.required
        actual = frames[:, -self.config.channels :].float() / 255.0
        chosen = self.memory.select_nearest(queries, items)
        cells = PooledCells(predicted, actual, None if judged is None else judged[:, 0])
        columns = [
            measures.psnr(predicted, actual, required.peak),
            measures.query_distance(queries, chosen, required.form),
            measures.gate_error(predicted, actual, required.form),
            *(cells.pool_error(step) for step in required.errors),
        ]
        return torch.stack(columns, dim=1), cells.pool(required.heat)


class PooledCells:
    """Pooled maps of one batch, each computed once."""

    def __init__(
        self,
        predicted: Tensor,
        actual: Tensor,
        judged: Tensor | None,
        watched: Tensor | None = None,
    ) -> None:
        """Args:
        predicted: (B, C, H, W), about [0, 1]. actual: the same.
        judged: (B, H, W) in [0, 1].
        watched: (B, H, W), bool: pixels that aren't have no error.
        """
        self._pictures = (predicted, actual)
        self._judged = judged
        self._watched = watched
        self._maps: dict[ErrorKind, Tensor] = {}
        self._cells: dict[tuple[object, ...], Tensor] = {}

    def pool(self, step: ErrorStep) -> Tensor:
        """Pool the error into cells, (B, rows, columns)."""
        key = (step.kind, step.cell, step.stride, step.blur_cells)
        if key not in self._cells:
            if step.kind not in self._maps:
                self._maps[step.kind] = self._make_map(step.kind)
            self._cells[key] = pool_cells(self._maps[step.kind], step)
        return self._cells[key]

    def _make_map(self, kind: ErrorKind) -> Tensor:
        found = error_map(kind, *self._pictures, self._judged)
        return found if self._watched is None else found * self._watched

    def pool_error(self, step: ErrorStep) -> Tensor:
        """Pool the error of whole frames, (B,)."""
        if step.kind is ErrorKind.PSNR:
            return -measures.psnr(*self._pictures, step.peak)
        return pool_top(self.pool(step), step.top_cells)


def make_example_inputs(config: NetConfig, items: Tensor, cameras: int = 1) -> Sequence[Tensor]:
    """Make inputs of `LiveNetwork`, of the right shapes and types: black frames."""
    count = config.channels * (config.context + 1)
    frames = torch.zeros(cameras, count, config.height, config.width, dtype=torch.uint8)
    return frames, items.expand(cameras, -1, -1), torch.ones(cameras, dtype=torch.bool)
