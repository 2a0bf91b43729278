"""Finds the places of a fixed camera's picture that change, and rectangles that cover them.

`study_tiles.py` uses it. The picture is split into places of 16x16 pixels, one for each query of a
network with `patch` 2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.footage.clips import Clip

PLACE, SIDE = 16, 16
"""Pixels of a place in each direction; places of the picture in each direction."""
BLOCK = 4
"""Frames are compared by the means of blocks of this many pixels in each direction."""
WINDOW = 5
"""Differences that make a place active: those between the frames that the network sees, and one
before, so that a place is computed once more after it has become still."""
NOISE_QUANTILE = 0.99
"""The noise is this quantile of a place's differences over time. A codec repeats a still place for
many frames, then corrects it by some grey levels: a median would miss that."""
QUIET_PLACES, MOST_NOISE = 0.1, 2.0
"""This share of a camera's places sees little but noise. Others are at most MOST_NOISE times as
noisy as those, so that a walkway doesn't count as noise."""
LEAST_NOISE = 1.0
"""Grey levels below which rounding to 8 bits decides."""
MOST_LEVELS = 4.0
"""A codec corrects a still place by at most this many grey levels. It bounds the noise of pictures
in which everything moves."""
NOISE_TIMES = 2.0
"""A difference of this many times the noise is a change."""
FEW_SIDES, MANY_SIDES = (8, 12, 16), (4, 6, 8, 10, 12, 14, 16)
"""A box is rounded up to these sides, in places: 128, 192 and 256 pixels, or every 32."""
FIXED_SHARE = 0.08
"""The fixed cost of a call, as a share of a full picture's time; `timing` measures it."""

Places = NDArray[np.bool_]
"""(16, 16): True where a place is active."""
Noise = NDArray[np.float32]
"""(16, 16): how much a place differs from frame to frame while nothing happens, in grey levels."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle of places: first row and column, and one after the last."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def share(self) -> float:
        """The rectangle's share of the picture's area."""
        return (self.bottom - self.top) * (self.right - self.left) / SIDE**2

    def shrink(self, margin: int) -> Rect:
        """Remove a margin at those sides that aren't the picture's own."""
        return Rect(
            self.top + margin * (self.top > 0),
            self.left + margin * (self.left > 0),
            self.bottom - margin * (self.bottom < SIDE),
            self.right - margin * (self.right < SIDE),
        )

    def shift(self, down: int, right: int) -> Rect:
        """Move the rectangle."""
        return Rect(self.top + down, self.left + right, self.bottom + down, self.right + right)

    def to_slices(self, step: int = 1) -> tuple[slice, slice]:
        """Return rows and columns, in units of 1/step of a place."""
        rows = slice(self.top * step, self.bottom * step)
        return rows, slice(self.left * step, self.right * step)


WHOLE = Rect(0, 0, SIDE, SIDE)


def average_blocks(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average each block: (T, 256, 256) to (T, 64, 64)."""
    side = SIDE * PLACE // BLOCK
    means = [
        cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in frames.astype(np.float32)
    ]
    return np.stack(means)


def compare_places(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the largest difference of a block in each place: (..., 64, 64) to (..., 16, 16)."""
    blocks = PLACE // BLOCK
    split = np.abs(one - other).reshape(*one.shape[:-2], SIDE, blocks, SIDE, blocks)
    return np.asarray(split.max(axis=(-3, -1)), np.float32)


def estimate_noise(clips: Sequence[Clip]) -> Noise:
    """Estimate the noise of each place: a high quantile of its differences over time."""
    means = [average_blocks(np.asarray(clip.frames)) for clip in clips]
    found = np.concatenate([compare_places(m[1:], m[:-1]) for m in means])
    quantile = np.quantile(found, NOISE_QUANTILE, axis=0)
    limited = np.minimum(quantile, MOST_NOISE * np.quantile(quantile, QUIET_PLACES))
    return np.asarray(limited.clip(LEAST_NOISE, MOST_LEVELS), np.float32)


class Activity:
    """Finds the active places, frame by frame."""

    def __init__(self, noise: Noise, times: float = NOISE_TIMES) -> None:
        self._limit = noise * np.float32(times)
        self._means: deque[NDArray[np.float32]] = deque(maxlen=WINDOW)
        self._changed: deque[Places] = deque(maxlen=WINDOW)

    def cut(self) -> None:
        """Forget the last frames."""
        self._means.clear()
        self._changed.clear()

    def take(self, means: NDArray[np.float32]) -> Places | None:
        """Find the active places from a frame's block means; None without enough frames before."""
        if self._means:
            self._changed.append(compare_places(means, self._means[-1]) > self._limit)
        self._means.append(means)
        if len(self._changed) < WINDOW:
            return None
        # What moves too slowly for two frames shows over the whole window.
        drifted = compare_places(means, self._means[0]) > self._limit
        return np.asarray(np.logical_or.reduce([*self._changed, drifted]))


def find_box(active: Places) -> Rect:
    """Find the box around all active places; there must be one at least."""
    rows, columns = (np.flatnonzero(active.any(axis=axis)) for axis in (1, 0))
    return Rect(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def round_up(box: Rect, margin: int, sides: Sequence[int]) -> Rect:
    """Add a margin to the box, and round it up to the allowed sides."""
    top, bottom = _stretch(box.top, box.bottom, margin, sides)
    left, right = _stretch(box.left, box.right, margin, sides)
    return Rect(top, left, bottom, right)


def _stretch(first: int, last: int, margin: int, sides: Sequence[int]) -> tuple[int, int]:
    first, last = max(0, first - margin), min(SIDE, last + margin)
    size = next(side for side in sides if side >= last - first)
    start = min(max(0, first - (size - last + first) // 2), SIDE - size)
    return start, start + size


@dataclass(frozen=True, slots=True)
class Tiling:
    """All tiles of one size, and the places that each computes."""

    tiles: tuple[Rect, ...]
    gives: NDArray[np.float32]
    """(tiles, 256): 1 in the interior, else 0."""

    def cover(self, active: Places) -> list[Rect]:
        """Choose tiles greedily whose interiors cover all active places."""
        left = active.ravel().astype(np.float32)
        chosen: list[Rect] = []
        while left.any():
            best = int(np.argmax(self.gives @ left))
            left[self.gives[best] > 0.0] = 0.0
            chosen.append(self.tiles[best])
        return chosen


def make_tiles(side: int, margin: int) -> Tiling:
    """Make the tiles of one side, in places, that give all but a margin."""
    starts = range(SIDE - side + 1)
    tiles = tuple(Rect(top, left, top + side, left + side) for top in starts for left in starts)
    gives = np.zeros((len(tiles), SIDE, SIDE), np.float32)
    for given, tile in zip(gives, tiles, strict=True):
        given[tile.shrink(margin).to_slices()] = 1.0
    return Tiling(tiles, gives.reshape(len(tiles), -1))


@dataclass(frozen=True, slots=True)
class Covering:
    """A way to cover active places by rectangles: one box, or tiles."""

    name: str
    margin: int
    """The margin, in places, that is left out of a rectangle's result."""
    sides: Sequence[int] = FEW_SIDES
    tiling: Tiling | None = None

    def cover(self, active: Places) -> list[Rect]:
        """Return no rectangle if nothing is active; the whole picture if that costs no more."""
        if not active.any():
            return []
        if self.tiling is None:
            rects = [round_up(find_box(active), self.margin, self.sides)]
        else:
            rects = self.tiling.cover(active)
        return rects if sum(map(find_cost, rects)) < 1.0 else [WHOLE]


COVERINGS = (
    *(Covering(f"box {margin * PLACE}", margin) for margin in (1, 2, 3)),
    Covering("box 16, 7 sides", 1, sides=MANY_SIDES),
    Covering("tiles 128, 32", 2, tiling=make_tiles(8, 2)),
    Covering("tiles 96, 16", 1, tiling=make_tiles(6, 1)),
)


def find_cost(rect: Rect) -> float:
    """Return the network time as a share of a whole picture's."""
    return FIXED_SHARE + (1.0 - FIXED_SHARE) * rect.share
