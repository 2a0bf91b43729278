"""Drawn scenes, pictures of them, and how a `Scene` reads those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.scene.features import extract
from model.scene.scene import Scene
from model.scene.scene_phases import SceneReading
from model.scene.scene_rules import SceneRules

Frame = NDArray[np.uint8]
Drawn = NDArray[np.float32]
SIZE = 128
STILL = 60


def draw_scene(seed: int = 0, size: int = SIZE) -> Drawn:
    """Draw walls, windows and paths, all with edges, with a mean level of about 110."""
    random = np.random.default_rng(seed)
    picture = np.full((size, size), 110.0, np.float32)
    for _ in range(60):
        left, top = random.integers(0, size - size // 8, 2)
        width, height = random.integers(size // 16, size // 3, 2)
        picture[top : top + height, left : left + width] = random.uniform(40.0, 180.0)
    return picture


def shoot(pictures: Iterable[Drawn], *, noise: float = 2.0) -> list[Frame]:
    """Take the pictures with a camera: noisy, 8 bits."""
    random = np.random.default_rng(1)
    return [
        (picture + random.normal(0.0, noise, picture.shape)).round().clip(0, 255).astype(np.uint8)
        for picture in pictures
    ]


def shoot_still(picture: Drawn, count: int, *, noise: float = 2.0) -> list[Frame]:
    """Take the same picture `count` times."""
    return shoot([picture] * count, noise=noise)


def read_all(scene: Scene, frames: Iterable[Frame]) -> list[SceneReading]:
    """Append frames to the scene's past; returns their readings."""
    readings = []
    for frame in frames:
        readings.append(scene.read(extract(frame).thumb))
        scene.append(readings[-1])
    return readings


def make_settled_scene(rules: SceneRules | None = None) -> Scene:
    """Make a `Scene` that knows the drawn scene."""
    scene = Scene(rules or SceneRules())
    readings = read_all(scene, shoot_still(draw_scene(), STILL))
    assert all(list_scored(readings))
    return scene


def list_scored(readings: Sequence[SceneReading]) -> list[bool]:
    """List whether each frame may get a score."""
    return [reading.phase.has_scores for reading in readings]


def list_changes(readings: Sequence[SceneReading]) -> list[str]:
    """List the reasons of the changes that were found."""
    return [reading.change.reason for reading in readings if reading.change is not None]
