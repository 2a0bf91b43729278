"""Networks of `normwatch train`'s presets, untrained: their time is that of trained ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from model.bundle import Bundle
from model.config import JUDGED, LIVE, Int8, NetConfig
from model.engines.forms import LiveNetwork
from model.engines.quantisation import measured_ranges
from model.frames import FrameShape
from model.memory import initial_items
from model.network import build
from model.training import PRESETS
from service.bench.footage import fitted_frames
from service.errors import BadInput

WINDOWS = 4
"""Of drawn frames, which give the 8-bit ranges."""


def preset_bundle(name: str) -> Bundle:
    """A bundle of that preset at 256x256 grey, with PyTorch's initial weights.

    Raises: BadInput: there is no such preset.
    """
    if name not in PRESETS:
        raise BadInput("--preset", name, f"must be one of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    judges = preset.train.judgement_weight > 0.0
    config = NetConfig(base_width=preset.base_width, patch=preset.patch, judges=judges)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(config).eval().requires_grad_(False)
    items = initial_items(config.memory_items, config.memory_channels, generator)
    ranges = measured_ranges(LiveNetwork(network, config).eval(), _windows(config, items))
    return Bundle(
        f"preset {name}, untrained",
        config,
        network,
        items,
        score=JUDGED if judges else LIVE,
        # Nothing is made of its scores: 1 lets the 8-bit engine be measured.
        int8=Int8(ranges, rank_correlation=1.0, frames=0),
    )


def _windows(config: NetConfig, items: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    shape = FrameShape(config.height, config.width, config.channels)
    length = config.context + 1
    frames = np.stack(fitted_frames(shape, length + WINDOWS - 1))
    for start in range(WINDOWS):
        window = torch.from_numpy(frames[start : start + length][None])
        yield window, items, torch.ones(1, dtype=torch.bool)
