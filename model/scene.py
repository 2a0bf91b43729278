"""What a camera's picture as a whole tells of the scene: its light, and whether it still fits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SceneChange:
    """The light changed as a whole."""

    reason: str
    """One sentence: how much of the picture, from which levels to which."""
