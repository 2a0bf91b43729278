"""Follows moving things through footage, and pastes them back somewhere else.

A picture here is (H, W) or (H, W, 3), float32 in grey levels; frames are (T, H, W[, 3]), uint8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.footage.clips import Clip
from model.training.cutouts import (
    Alpha,
    Cutout,
    Mask,
    Picture,
    Stock,
    estimate_background,
    find_foreground,
    soften,
    to_grey,
)

MARGIN = 3
"""Pixels around a thing's box."""
MOST_GROWTH = 2.5
"""A thing that grows by more than this factor has met another one: it isn't followed further."""
TRIES = 24
"""So many cutouts are followed to find one that moves."""
COVERED = 0.4
"""A pixel belongs to a pasted thing where its alpha is above this."""


@dataclass(frozen=True, slots=True)
class PastedPlace:
    """The position and form in which a thing is pasted."""

    centre: tuple[float, float]
    """x, y of its middle."""
    scale: float = 1.0
    turn: float = 0.0
    """Radians."""


@dataclass(frozen=True, slots=True)
class TrackedThing:
    """A thing in consecutive frames: its picture, alpha and centre in each."""

    pictures: tuple[Picture, ...]
    alphas: tuple[Alpha, ...]
    centres: tuple[tuple[float, float], ...]
    """x, y of each picture's middle in the frame that it was cut from."""
    side: float
    """The usual length of its longer side in pixels."""

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def distance(self) -> float:
        """The pixels between its first and its farthest centre."""
        first = np.array(self.centres[0])
        return float(np.linalg.norm(np.array(self.centres) - first, axis=1).max())


def follow_thing(frames: NDArray[np.uint8], behind: Picture, start: Cutout) -> TrackedThing:
    """Follow a thing from its cutout's frame by overlap, until it is lost or meets another one.

    Args:
        behind: the background, (H, W).
    """
    pictures: list[Picture] = []
    alphas: list[Alpha] = []
    centres: list[tuple[float, float]] = []
    sides: list[float] = []
    before = np.zeros(behind.shape, np.uint8)
    before[
        start.top : start.top + start.height,
        start.left : start.left + start.width,
    ] = 1
    first_area = 0.0
    for frame in frames[start.frame :]:
        mask = _find_overlapping(find_foreground(to_grey(frame), behind), before)
        area = float(mask.sum())
        first_area = first_area or area
        if not first_area / MOST_GROWTH <= area <= first_area * MOST_GROWTH or not area:
            break
        x, y, width, height = cv2.boundingRect(mask)
        rows = slice(max(0, y - MARGIN), y + height + MARGIN)
        columns = slice(max(0, x - MARGIN), x + width + MARGIN)
        alphas.append(soften(mask)[rows, columns].copy())
        pictures.append(frame[rows, columns].astype(np.float32))
        tall, wide = alphas[-1].shape
        centres.append((columns.start + 0.5 * wide, rows.start + 0.5 * tall))
        sides.append(float(max(width, height)))
        before = mask
    return TrackedThing(
        tuple(pictures), tuple(alphas), tuple(centres), float(np.median(sides)) if sides else 0.0
    )


def _find_overlapping(foreground: Mask, before: Mask) -> Mask:
    """Find the connected part that overlaps the previous mask most; all 0 if none does."""
    count, labels = cv2.connectedComponents(foreground)
    near = cv2.dilate(before, np.ones((5, 5), np.uint8)) > 0
    overlaps = np.bincount(labels[near], minlength=count)
    overlaps[0] = 0
    if not overlaps.any():
        return np.zeros_like(foreground)
    return np.asarray(labels == int(overlaps.argmax()), np.uint8)


class ThingFinder:
    """Finds things in clips that can be followed; all randomness comes from the given generator."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._clips = clips
        self._stock = Stock(clips, 1)
        self.backgrounds = [estimate_background(clip.frames) for clip in clips]
        """Each clip's background, (H, W)."""
        self.side = self._stock.side
        """The usual length of a thing's longer side in pixels."""

    @property
    def has_things(self) -> bool:
        """Returns whether anything moves in the clips."""
        return bool(self._stock.cutouts)

    def find(
        self, random: np.random.Generator, least: int, *, where: tuple[int, int, int] | None = None
    ) -> tuple[Cutout, TrackedThing] | None:
        """Find one that moves for at least this many frames; None if none of some does.

        Args:
            where: a clip, and the first and last frame in which it may begin; None is anywhere.
        """
        cutouts = [
            each
            for each in self._stock.cutouts
            if where is None or (each.clip == where[0] and where[1] <= each.frame <= where[2])
        ]
        for index in random.permutation(len(cutouts))[:TRIES]:
            cutout = cutouts[int(index)]
            thing = follow_thing(
                self._clips[cutout.clip].frames, self.backgrounds[cutout.clip], cutout
            )
            if len(thing) >= least and thing.distance > 0.25 * thing.side:
                return cutout, thing
        return None


def paste(
    frame: NDArray[np.uint8],
    picture: Picture,
    alpha: Alpha,
    placement: PastedPlace,
) -> NDArray[np.bool_]:
    """Paste a picture into a frame, in place; returns the pixels that it covers, (H, W)."""
    height, width = frame.shape[:2]
    cos, sin = np.cos(placement.turn), np.sin(placement.turn)
    linear = placement.scale * np.array([[cos, -sin], [sin, cos]])
    rows, columns = alpha.shape
    shift = np.array(placement.centre) - linear @ np.array([0.5 * columns, 0.5 * rows])
    matrix = np.hstack([linear, shift[:, None]])
    cover = np.asarray(cv2.warpAffine(alpha, matrix, (width, height)), np.float32)
    moved = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    blend(frame, np.asarray(moved, np.float32), cover)
    return cover > COVERED


def blend(frame: NDArray[np.uint8], over: Picture, alpha: Alpha) -> None:
    """Lay a picture of the frame's size over it, in place."""
    cover = alpha if frame.ndim == 2 else alpha[..., None]
    mixed = frame + cover * (over - frame)
    frame[:] = np.clip(mixed + 0.5, 0.0, 255.0).astype(np.uint8)
