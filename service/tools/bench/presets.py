"""Makes untrained networks of `normwatch train`'s presets, which take as long as trained ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Int8
from model.engines.network_passes import LiveNetwork
from model.engines.quantisation import measure_ranges
from model.frames import FrameShape
from model.network.mnad_memory import draw_items
from model.network.network_config import NetConfig
from model.network.unet import build_network
from model.scoring.score_config import JUDGED, LIVE
from model.training.trainer import PRESETS
from service.errors import BadInput
from service.tools.bench.camera_clips import fit_drawn_frames

WINDOWS = 4
"""Number of windows of drawn frames that the 8-bit ranges are measured on."""


def build_preset_bundle(name: str) -> Bundle:
    """Build a bundle of a preset for 256x256 grey frames, with PyTorch's initial weights.

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
        network = build_network(config).eval().requires_grad_(False)
    items = draw_items(config.memory_items, config.memory_channels, generator)
    ranges = measure_ranges(LiveNetwork(network, config).eval(), _draw_windows(config, items))
    return Bundle(
        f"preset {name}, untrained",
        config,
        network,
        items,
        score=JUDGED if judges else LIVE,
        # Its scores are of no use; a correlation of 1 lets the 8-bit engine be measured.
        int8=Int8(ranges, rank_correlation=1.0, frames=0),
    )


def _draw_windows(config: NetConfig, items: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    shape = FrameShape(config.height, config.width, config.channels)
    length = config.context + 1
    frames = np.stack(fit_drawn_frames(shape, length + WINDOWS - 1))
    for start in range(WINDOWS):
        window = torch.from_numpy(frames[start : start + length][None])
        yield window, items, torch.ones(1, dtype=torch.bool)
