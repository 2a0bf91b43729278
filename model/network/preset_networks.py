"""The networks of `model.training.trainer.PRESETS`, without torch, for those that compare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from model.network.network_config import NetConfig

PRESET_NETWORKS: Mapping[str, NetConfig] = {
    "paper": NetConfig(base_width=64),
    "medium": NetConfig(base_width=32, judges=True),
    "small": NetConfig(base_width=16, judges=True),
    "fast": NetConfig(base_width=16, judges=True, patch=2),
    "tiny": NetConfig(base_width=8, judges=True),
}
"""By the preset's name; size and colour of the pictures are the footage's."""


def have_same_architecture(one: NetConfig, other: NetConfig) -> bool:
    """Return whether weights of one fit the other, but for the number of colours."""
    return _list_architecture(one) == _list_architecture(other)


def _list_architecture(net: NetConfig) -> dict[str, object]:
    """List the fields that weights depend on, without the colour."""
    free = ("height", "width", "channels")
    return {name: value for name, value in asdict(net).items() if name not in free}
