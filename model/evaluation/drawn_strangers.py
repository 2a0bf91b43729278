"""Draws strangers that no camera's footage holds: an animal with moving legs, and a cart.

Training's drawn shapes are stiff and have a texture of the footage; these move, and have their own.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model.evaluation.tracked_things import TrackedThing
from model.training.cutouts import Alpha, Picture, soften

FINE = 4
"""Shapes are drawn so many times as large, then reduced: their edges are smooth."""
STRIDES_A_SECOND = 1.6


def draw_stranger(
    random: np.random.Generator, frames: int, side: float, fps: float, *, colours: int
) -> TrackedThing:
    """Draw an animal or a cart in so many frames, moving to the right from x = 0.

    Args:
        side: the length of its longer side in pixels.
        colours: 1 or 3 channels.
    """
    draw = _draw_animal if random.random() < 0.5 else _draw_cart
    speed = side * random.uniform(0.5, 1.5) / fps
    levels = random.uniform(20.0, 235.0, (2, 3))
    pictures: list[Picture] = []
    alphas: list[Alpha] = []
    size = max(12, round(1.3 * side))
    grain = random.normal(0.0, 6.0, (size, size)).astype(np.float32)
    for index in range(frames):
        shade = draw(size * FINE, 2.0 * np.pi * STRIDES_A_SECOND * index / fps)
        fine = cv2.resize(shade, (size, size), interpolation=cv2.INTER_AREA)
        small = np.asarray(fine, np.float32)
        mask = np.asarray(small > 40.0, np.uint8)
        alphas.append(soften(mask))
        pictures.append(_colour(small, levels, grain, colours))
    centres = tuple((speed * index, 0.0) for index in range(frames))
    return TrackedThing(tuple(pictures), tuple(alphas), centres, side)


def _colour(
    shade: NDArray[np.float32], levels: NDArray[np.float64], grain: Picture, colours: int
) -> Picture:
    """Give a shade from 0 to 255 two colours, and light from above."""
    share = np.clip(shade / 255.0, 0.0, 1.0)[..., None]
    light = np.linspace(1.1, 0.8, len(shade))[:, None, None]
    mixed = light * ((1.0 - share) * levels[0] + share * levels[1]) + grain[..., None]
    picture = np.clip(mixed, 0.0, 255.0).astype(np.float32)
    return picture if colours == 3 else np.ascontiguousarray(picture.mean(axis=-1))


def _draw_animal(size: int, phase: float) -> NDArray[np.float32]:
    canvas = np.zeros((size, size), np.float32)
    thick = max(2, size // 18)
    x, y = size // 2, size // 2
    for number, hip in enumerate((-0.26, -0.20, 0.18, 0.24)):
        swing = 0.09 * np.sin(phase + (0.0, np.pi, np.pi, 0.0)[number])
        top = (round(x + hip * size), y)
        foot = (round(x + (hip + swing) * size), round(y + 0.33 * size))
        cv2.line(canvas, top, foot, 120.0 if number % 2 else 160.0, thick)
    cv2.ellipse(canvas, (x, y), (round(0.3 * size), round(0.12 * size)), 0, 0, 360, 200.0, -1)
    nod = round(0.02 * size * np.sin(2.0 * phase))
    head = (round(x + 0.36 * size), round(y - 0.15 * size) + nod)
    cv2.line(canvas, (round(x + 0.25 * size), y), head, 200.0, 2 * thick)
    cv2.circle(canvas, head, round(0.08 * size), 255.0, -1)
    tail = (round(x - 0.42 * size), round(y - (0.12 + 0.05 * np.sin(phase)) * size))
    cv2.line(canvas, (round(x - 0.28 * size), y), tail, 160.0, thick)
    return canvas


def _draw_cart(size: int, phase: float) -> NDArray[np.float32]:
    canvas = np.zeros((size, size), np.float32)
    x, y = size // 2, size // 2
    corner = np.array([[-0.4, 0.0], [-0.34, -0.22], [0.12, -0.22], [0.24, 0.0], [0.4, 0.04]])
    below = np.array([[0.4, 0.2], [-0.4, 0.2]])
    points = np.array([x, y]) + size * np.concatenate([corner, below])
    cv2.fillPoly(canvas, [points.astype(np.int32)], 180.0)
    window = np.array([x, y]) + size * np.array([[-0.3, -0.03], [-0.27, -0.17], [0.07, -0.17]])
    cv2.fillPoly(canvas, [window.astype(np.int32)], 250.0)
    radius = round(0.1 * size)
    for middle in (-0.22, 0.24):
        centre = (round(x + middle * size), round(y + 0.2 * size))
        cv2.circle(canvas, centre, radius, 60.0, -1)
        spoke = radius * np.array([np.cos(phase), np.sin(phase)])
        cv2.line(
            canvas, centre, (centre[0] + int(spoke[0]), centre[1] + int(spoke[1])), 220.0, FINE
        )
    return canvas
