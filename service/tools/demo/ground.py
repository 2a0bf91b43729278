"""Draws the place that the camera sees: a paved walkway before a lawn and a building. It is the
same for all seeds, because the camera is fixed."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from model.frames import Picture
from service.tools.demo.brush import Brush

WIDTH, HEIGHT = 320, 240
"""Size of a frame, in pixels."""
OVERSAMPLING = 2
"""Pictures are drawn this many times as wide and high, then shrunk: edges and motion are smooth."""

CAMERA_HEIGHT = 4.5
"""Metres."""
FOCAL = 320.0
"""Pixels."""
HORIZON = 40.0
"""Row of the frame, in pixels."""
LAWN_DEPTH = 26.0
"""Metres from the camera at which the paving ends."""
HEDGE_DEPTH = 42.0

Values = NDArray[np.float64]


def compute_scale(depth: float) -> float:
    """Return the frame's pixels for a metre at a distance from the camera in metres."""
    return FOCAL / depth


def compute_row(depth: float) -> float:
    """Return the row of the frame where the ground is at that distance."""
    return HORIZON + CAMERA_HEIGHT * compute_scale(depth)


def place_brush(picture: Picture, x: float, depth: float, facing: int = 1) -> Brush:
    """Return a brush for what stands `x` metres right of the middle, on an oversampled picture."""
    scale = compute_scale(depth)
    foot = ((WIDTH / 2 + x * scale) * OVERSAMPLING, compute_row(depth) * OVERSAMPLING)
    return Brush(picture, foot, scale * OVERSAMPLING, facing)


@cache
def draw_background() -> Picture:
    """Draw the empty place, oversampled. Callers copy it before they draw on it."""
    random = np.random.default_rng(7)
    shape = (HEIGHT * OVERSAMPLING, WIDTH * OVERSAMPLING)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64) / OVERSAMPLING
    ground = _draw_paving(rows, columns, random)
    _draw_grass(ground, rows, random)
    picture = np.clip(ground, 0, 255).astype(np.uint8)
    _draw_building(picture)
    _draw_hedge(picture, random)
    for x in (-8.5, 1.0, 9.5):
        _draw_tree(picture, x, 30.0, random)
    _draw_lamp(picture, -5.2, 25.5)
    _draw_bench(picture, 5.0, 25.2)
    light = 1.06 - 0.30 * ((columns / WIDTH - 0.42) ** 2 + (rows / HEIGHT - 0.6) ** 2)
    grain = 1.5 * random.standard_normal((*shape, 1))
    return np.asarray(np.clip(picture * light[..., None] + grain, 0, 255), np.uint8)


def _make_mottle(random: np.random.Generator, shape: tuple[int, ...], cell: int) -> Values:
    """Make smooth noise of mean 0 and about unit height, in blotches of `cell` pixels."""
    coarse = random.standard_normal((shape[0] // cell + 2, shape[1] // cell + 2))
    smooth = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float64)


def _draw_paving(rows: Values, columns: Values, random: np.random.Generator) -> Values:
    """Draw slabs of 1.6 x 1.2 m, each a little different, with joints that fade with distance."""
    depth = CAMERA_HEIGHT * FOCAL / np.maximum(rows - HORIZON, 1.0)
    across = (columns - WIDTH / 2) * depth / FOCAL
    course = np.floor(depth / 1.2)
    along = across / 1.6 + 0.5 * (course % 2)
    slab = np.floor(along)
    scattered = np.sin(course * 12.9898 + slab * 78.233) * 43758.5453
    tone = 150.0 + 12.0 * (scattered - np.floor(scattered) - 0.5)
    tone += 3.0 * _make_mottle(random, rows.shape, 32) + 2.0 * _make_mottle(random, rows.shape, 4)
    joint = (depth / 1.2 - course < 0.04) | (along - slab < 0.03)
    tone -= 30.0 * joint * np.clip(12.0 / depth, 0.0, 1.0)
    return np.asarray(tone[..., None] * np.array([0.94, 0.99, 1.03]), np.float64)


def _draw_grass(picture: Values, rows: Values, random: np.random.Generator) -> None:
    edge = compute_row(LAWN_DEPTH)
    blades = (
        1.0
        + 0.07 * _make_mottle(random, rows.shape, 3)
        + 0.05 * _make_mottle(random, rows.shape, 30)
    )
    lawn = rows < edge
    picture[lawn] = (blades[..., None] * np.array([66.0, 118.0, 92.0]))[lawn]
    picture[(rows >= edge) & (rows < edge + 1.5)] = (176.0, 180.0, 182.0)


def _draw_building(picture: Picture) -> None:
    """Draw a brick front with two rows of windows, behind the hedge."""
    wall = place_brush(picture, 0.0, HEDGE_DEPTH)
    wall.fill_area([(-22.0, 0.0), (-22.0, 12.0), (22.0, 12.0), (22.0, 0.0)], (108, 128, 158))
    for course in range(48):
        wall.draw_line([(-22.0, 0.25 * course), (22.0, 0.25 * course)], 0.03, (98, 118, 148))
    for floor in (2.4, 6.0):
        for column in range(-6, 7):
            left = 3.4 * column - 0.9
            frame = [(left, floor), (left, floor + 2.2), (left + 1.8, floor + 2.2)]
            wall.fill_area([*frame, (left + 1.8, floor)], (206, 210, 212))
            pane = [(left + 0.15, floor + 0.15), (left + 0.15, floor + 2.05)]
            pane += [(left + 1.65, floor + 2.05), (left + 1.65, floor + 0.15)]
            wall.fill_area(pane, (112 - 3 * column, 96 - 2 * column, 78))
            wall.draw_line([(left + 0.9, floor), (left + 0.9, floor + 2.2)], 0.12, (206, 210, 212))


def _draw_hedge(picture: Picture, random: np.random.Generator) -> None:
    hedge = place_brush(picture, 0.0, HEDGE_DEPTH - 4.0)
    for _ in range(1400):
        centre = (float(random.uniform(-20.0, 20.0)), float(random.uniform(0.1, 1.5)))
        shade = float(random.uniform(0.55, 1.0)) * (0.7 + 0.2 * centre[1])
        hedge.fill_disc(centre, 0.28, (44 * shade, 92 * shade, 62 * shade))


def _draw_tree(picture: Picture, x: float, depth: float, random: np.random.Generator) -> None:
    tree = place_brush(picture, x, depth)
    tree.cast_shadow(0.6, 2.2, 0.4)
    tree.draw_line([(0.0, 0.0), (0.0, 2.6)], 0.30, (52, 70, 88))
    for _ in range(260):
        angle, reach = random.uniform(0.0, 2.0 * np.pi), 1.7 * float(random.uniform()) ** 0.5
        centre = (reach * float(np.cos(angle)), 3.6 + 0.9 * reach * float(np.sin(angle)))
        shade = float(random.uniform(0.6, 1.0)) * (0.62 + 0.10 * centre[1])
        tree.fill_disc(centre, 0.26, (54 * shade, 112 * shade, 74 * shade))


def _draw_lamp(picture: Picture, x: float, depth: float) -> None:
    lamp = place_brush(picture, x, depth)
    lamp.cast_shadow(0.3, 0.5, 0.12)
    lamp.draw_line([(0.0, 0.0), (0.0, 4.0)], 0.12, (70, 68, 64))
    lamp.fill_disc((0.0, 4.1), 0.24, (214, 226, 230))


def _draw_bench(picture: Picture, x: float, depth: float) -> None:
    bench = place_brush(picture, x, depth)
    bench.cast_shadow(0.0, 1.1, 0.14)
    for side in (-0.8, 0.8):
        bench.draw_line([(side, 0.0), (side, 0.9)], 0.10, (60, 60, 60))
    for height in (0.45, 0.68, 0.88):
        bench.draw_line([(-0.95, height), (0.95, height)], 0.10, (66, 104, 142))
