"""The network as the paper has it, run as it is written: what faster forms are compared with.

It stays slow on purpose: base width 64, 256x256, eager fp32, plain batch norms, contiguous tensors.
Its weights are random, which costs no less time than trained ones.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import measures, memory
from model.config import ErrorForm, NetConfig, PsnrPeak
from model.memory import initial_items
from model.network import build

REFERENCE_CONFIG = NetConfig()
"""The paper's, and the defaults of `NetConfig`: base width 64, 10 items, 256x256 grey."""
COLUMNS = ("psnr", "distance", "gate_error")
"""What is measured of each frame."""


class ReferenceForm:
    """Cameras with one network, each with items of its own. For one thread."""

    def __init__(self, cameras: int = 1, *, device: str = "cpu", seed: int = 0) -> None:
        config = REFERENCE_CONFIG
        self._device = torch.device(device)
        generator = torch.Generator().manual_seed(seed)
        items = initial_items(config.memory_items, config.memory_channels, generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build(config).eval().requires_grad_(False)
        self._network = network.to(self._device)
        self._items: Tensor = items.repeat(cameras, 1, 1).to(self._device)

    @torch.inference_mode()
    def observe(self, frames: NDArray[np.uint8]) -> list[list[float]]:
        """Predict each camera's newest frame, measure it, and let its memory learn from it.

        Args: frames: (B, 5, 256, 256), the newest last, B the number of cameras.
        Returns: of each camera what `COLUMNS` names. The paper's min-max over a clip comes after.
        """
        pictures = torch.from_numpy(frames).to(self._device).float() / 255.0
        actual = pictures[:, -1:]
        predicted, queries = self._network(pictures[:, :-1] * 2.0 - 1.0, self._items)
        predicted = (predicted + 1.0) / 2.0
        chosen = memory.select(self._items, memory.nearest(queries, self._items)[..., 0])
        rows = torch.stack(
            (
                measures.psnr(predicted, actual, PsnrPeak.FRAME),
                measures.query_distance(queries, chosen, ErrorForm.MEAN_SQUARE),
                measures.gate_error(predicted, actual, ErrorForm.MEAN_SQUARE),
            ),
            dim=1,
        )
        self._items = memory.update(queries, self._items)
        measured: list[list[float]] = rows.tolist()
        return measured
