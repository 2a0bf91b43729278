"""The network exactly as in the paper; faster forms are compared with it.

It stays slow on purpose: base width 64, 256x256, eager fp32, plain batch norms, contiguous tensors.
Its weights are random, which costs no less time than trained ones.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.network import mnad_memory
from model.network.mnad_memory import draw_items
from model.network.network_config import NetConfig
from model.network.unet import build_network
from model.scoring import measures
from model.scoring.score_config import NormForm, PsnrPeak

REFERENCE_CONFIG = NetConfig()
"""The paper's, and the defaults of `NetConfig`: base width 64, 10 items, 256x256 grey."""
COLUMNS = ("psnr", "distance", "gate_error")
"""The measures of each frame."""


class ReferenceForm:
    """Cameras with one network, each with items of its own. For one thread."""

    def __init__(self, cameras: int = 1, *, device: str = "cpu", seed: int = 0) -> None:
        config = REFERENCE_CONFIG
        self._device = torch.device(device)
        generator = torch.Generator().manual_seed(seed)
        items = draw_items(config.memory_items, config.memory_channels, generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_network(config).eval().requires_grad_(False)
        self._network = network.to(self._device)
        self._items: Tensor = items.repeat(cameras, 1, 1).to(self._device)

    @torch.inference_mode()
    def observe(self, frames: NDArray[np.uint8]) -> list[list[float]]:
        """Predict each camera's newest frame, measure it, and let its memory learn from it.

        Args: frames: (B, 5, 256, 256), the newest last, B the number of cameras.
        Returns: `COLUMNS` for each camera. The paper's min-max over a clip comes after.
        """
        pictures = torch.from_numpy(frames).to(self._device).float() / 255.0
        actual = pictures[:, -1:]
        predicted, queries = self._network(pictures[:, :-1] * 2.0 - 1.0, self._items)
        predicted = (predicted + 1.0) / 2.0
        chosen = mnad_memory.select(
            self._items, mnad_memory.find_nearest(queries, self._items)[..., 0]
        )
        rows = torch.stack(
            (
                measures.psnr(predicted, actual, PsnrPeak.FRAME),
                measures.query_distance(queries, chosen, NormForm.MEAN_SQUARE),
                measures.gate_error(predicted, actual, NormForm.MEAN_SQUARE),
            ),
            dim=1,
        )
        self._items = mnad_memory.update(queries, self._items)
        measured: list[list[float]] = rows.tolist()
        return measured
