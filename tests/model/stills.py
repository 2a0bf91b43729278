"""Drawn scenes, and what is seen in pictures of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.looks import Look
from model.scene import Scene
from model.scene_rules import SceneRules

Frame = NDArray[np.uint8]
Drawn = NDArray[np.float32]
SIZE = 128
STILL = 60


def draw_scene(seed: int = 0, size: int = SIZE) -> Drawn:
    """Walls, windows and paths, all with edges, of mean about 110."""
    random = np.random.default_rng(seed)
    picture = np.full((size, size), 110.0, np.float32)
    for _ in range(60):
        left, top = random.integers(0, size - size // 8, 2)
        width, height = random.integers(size // 16, size // 3, 2)
        picture[top : top + height, left : left + width] = random.uniform(40.0, 180.0)
    return picture


def shot(pictures: Iterable[Drawn], *, noise: float = 2.0) -> list[Frame]:
    """As a camera has them: noisy, 8 bits."""
    random = np.random.default_rng(1)
    return [
        (picture + random.normal(0.0, noise, picture.shape)).round().clip(0, 255).astype(np.uint8)
        for picture in pictures
    ]


def still(picture: Drawn, count: int, *, noise: float = 2.0) -> list[Frame]:
    """The same, so many times."""
    return shot([picture] * count, noise=noise)


def look_at(scene: Scene, frames: Iterable[Frame]) -> list[Look]:
    """Take frames in; what the scene said of each."""
    looks = []
    for frame in frames:
        looks.append(scene.look(frame))
        scene.take_in(looks[-1])
    return looks


def settled(rules: SceneRules | None = None) -> Scene:
    """One that knows the drawn scene."""
    scene = Scene(rules or SceneRules())
    assert not any(look.quiet for look in look_at(scene, still(draw_scene(), STILL)))
    return scene


def changes_in(looks: Sequence[Look]) -> list[str]:
    """The changes of the light that were told."""
    return [look.change.reason for look in looks if look.change is not None]
