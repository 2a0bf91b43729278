"""Tiny clips of a square that walks steadily; where it jumps or grows, that is abnormal."""

from __future__ import annotations

import numpy as np

from model.footage.clips import Clip
from model.network.network_config import NetConfig

NET = NetConfig(base_width=2, height=16, width=24, memory_items=3)


def clip(name: str, count: int, *, seed: int = 0, abnormal: range = range(0)) -> Clip:
    """`count` frames of 16 x 24, grey."""
    random = np.random.default_rng(seed)
    frames = random.integers(40, 48, (count, 16, 24), dtype=np.uint8)
    for step in range(count):
        left = (seed + step) % 18
        frames[step, 4:10, left : left + 6] = 200
        if step in abnormal:
            frames[step, :, (5 * step) % 12 :] = 255
    return Clip(name, frames)
