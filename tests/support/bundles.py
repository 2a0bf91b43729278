"""Small bundles for tests: real networks, untrained, with ranges that make scores come out."""

from __future__ import annotations

from pathlib import Path

import torch

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Calibration
from model.bundles.catalog import Provenance
from model.network import mnad_memory
from model.network.network_config import NetConfig
from model.network.unet import build_network
from model.scoring.normal_range import Interval, NormalRange
from model.scoring.score_config import PAPER, SCORES

SMALL = NetConfig(base_width=4, height=64, width=64)


def small_bundle(
    name: str = "small", net: NetConfig = SMALL, threshold: float = 0.5, seed: int = 0
) -> Bundle:
    """An untrained bundle that scores 64x64 grey frames in a few milliseconds."""
    torch.manual_seed(seed)
    network = build_network(net).eval().requires_grad_(False)
    items = mnad_memory.draw_items(
        net.memory_items, net.memory_channels, torch.Generator().manual_seed(seed)
    )
    calibration = Calibration(
        gamma=1.0,
        normal=NormalRange(
            Interval(0.0, 0.1),
            {each.error.key: Interval(0.0, 0.5) for each in SCORES.values()}
            | {PAPER.error.key: Interval(-30.0, 0.0)},
        ),
        thresholds={"live": threshold, "paper": threshold},
    )
    return Bundle(name, net, network, items, calibration, provenance=Provenance(frame_rate=10.0))


def save_small_bundle(folder: Path, name: str = "small", threshold: float = 0.5) -> Path:
    """Write one below a models folder; returns its path."""
    path = folder / name
    bundles.save(small_bundle(name, threshold=threshold), path)
    return path
