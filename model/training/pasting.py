"""Pastes cut-out and drawn things into a window of frames.

A picture here is (H, W) or (H, W, 3), float32 in grey levels; a window is T of them in a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.training.cutouts import Alpha, Mask, MovingThing, Picture


@dataclass(slots=True)
class Thing:
    """A thing to paste: T pictures and T alphas of one size, with position, motion and change."""

    pictures: list[Picture]
    alphas: list[Alpha]
    centre: tuple[float, float]
    """x, y in the whole picture at which it was cut out."""
    side: float
    """The length of its longer side in pixels."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Its movement in pixels a frame, in addition to that in its pictures."""
    scale: tuple[float, float] = (1.0, 1.0)
    turn: float = 0.0
    """Radians."""
    gain: float = 1.0

    @classmethod
    def from_cut(cls, found: MovingThing) -> Thing:
        """Make a thing to paste just as it was found."""
        return cls(list(found.pictures), list(found.alphas), found.centre, found.side)


def mirror(thing: Thing) -> None:
    """Mirror it left to right, in place."""
    thing.pictures = [np.ascontiguousarray(picture[:, ::-1]) for picture in thing.pictures]
    thing.alphas = [np.ascontiguousarray(alpha[:, ::-1]) for alpha in thing.alphas]


def draw_velocity(random: np.random.Generator, side: float) -> tuple[float, float]:
    """Draw a velocity in pixels a frame: a 70th to a sixth of the side, mostly horizontal."""
    speed = side * float(np.exp(random.uniform(np.log(0.014), np.log(0.17))))
    if random.random() < 0.35:
        angle = random.uniform(0.0, 2.0 * np.pi)
    else:
        angle = np.pi * int(random.integers(2)) + random.normal(0.0, 0.25)
    return speed * float(np.cos(angle)), speed * float(np.sin(angle))


def draw_shape(random: np.random.Generator, side: int) -> Mask:
    """Draw one to three ellipses, rings, bars or polygons over one another, on a square."""
    canvas = np.zeros((side, side), np.uint8)
    width, height = (int(side * random.uniform(0.16, 0.7)) for _ in range(2))
    for _ in range(int(random.integers(1, 4))):
        x = side // 2 + int(random.integers(-width // 3, width // 3 + 1))
        y = side // 2 + int(random.integers(-height // 3, height // 3 + 1))
        a, b = (max(3, int(extent * random.uniform(0.2, 0.5))) for extent in (width, height))
        form = random.integers(5)
        if form < 2:
            thickness = -1 if form == 0 else int(random.integers(1, 4))
            cv2.ellipse(canvas, (x, y), (a, b), random.uniform(0, 180), 0, 360, 1, thickness)
        elif form == 2:
            cv2.rectangle(canvas, (x - a, y - b), (x + a, y + b), 1, -1)
        elif form == 3:
            rise = int(b * random.uniform(-1, 1))
            cv2.line(canvas, (x - a, y - rise), (x + a, y + rise), 1, int(random.integers(1, 5)))
        else:
            corners = random.normal((x, y), (width / 3, height / 3), (5, 2))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], 1)
    return canvas


def put_on(picture: Picture, alpha: Alpha, rider: MovingThing, random: np.random.Generator) -> None:
    """Put a cut-out thing on a drawn one, in place, if it fits."""
    top, cover = rider.pictures[0], rider.alphas[0]
    height, width = cover.shape
    side = len(alpha)
    if height > side or width > side:
        return
    y = int(np.clip(side // 2 - height + random.integers(0, 16), 0, side - height))
    x = int(np.clip(side // 2 - width // 2 + random.integers(-8, 9), 0, side - width))
    here = (slice(y, y + height), slice(x, x + width))
    picture[here] += _match_axes(cover, top) * (top - picture[here])
    alpha[here] = np.maximum(alpha[here], cover)


def _match_axes(alpha: Alpha, picture: Picture) -> Alpha:
    """Give the alpha the picture's axes."""
    return alpha if picture.ndim == 2 else alpha[..., None]


def paste(pictures: list[Picture], thing: Thing, centre: tuple[float, float]) -> Alpha:
    """Paste a thing into a window, in place; `centre` is its position in the last frame.

    Returns: the alpha with which it covers the last frame, (H, W).
    """
    height, width = pictures[0].shape[:2]
    cos, sin = np.cos(thing.turn), np.sin(thing.turn)
    across, down = thing.scale
    linear = np.array([[cos * across, -sin * down], [sin * across, cos * down]])
    rows, columns = thing.alphas[0].shape
    middle = linear @ np.array([0.5 * columns - 0.5, 0.5 * rows - 0.5])
    cover = np.zeros((height, width), np.float32)
    corners = linear @ np.array([[0, columns, 0, columns], [0, 0, rows, rows]], float)
    for index, (source, mask) in enumerate(zip(thing.pictures, thing.alphas, strict=True)):
        before = index - (len(pictures) - 1)
        place = np.array(centre) + before * np.array(thing.shift) - middle
        here = _find_box(corners + place[:, None], height, width)
        cover[...] = 0.0
        if here is None:
            continue
        # Only the box that the thing covers: a picture is many times as large.
        top, left = here[0].start, here[1].start
        size = (here[1].stop - left, here[0].stop - top)
        matrix = np.hstack([linear, (place - (left, top))[:, None]])
        moved = cv2.warpAffine(source, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        cover[here] = cv2.warpAffine(mask, matrix, size)
        pixels = np.clip(moved * thing.gain, 0.0, 255.0)
        part = pictures[index][here]
        part += _match_axes(cover[here], part) * (pixels - part)
    return cover


def _find_box(corners: NDArray[np.float64], height: int, width: int) -> tuple[slice, slice] | None:
    """Find the rows and columns of a picture in which corners (2, N), x and y, enclose something;
    None if they lie outside of it."""
    left, top = np.floor(corners.min(axis=1)).astype(int) - 1
    right, bottom = np.ceil(corners.max(axis=1)).astype(int) + 2
    rows = slice(max(0, int(top)), min(height, int(bottom)))
    columns = slice(max(0, int(left)), min(width, int(right)))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None
