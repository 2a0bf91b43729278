"""Finds objects in pixel masks as boxes of connected components, and follows them over frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
"""(n, 4): left, top, right, bottom in pixels; right and bottom lie one after the last pixel."""

LEAST_PIXELS = 10
"""Smaller components of a mask are specks of its drawing, not objects."""

LINK_IOU = 0.1
"""Boxes of two frames in a row that overlap less aren't the same object."""


@dataclass(frozen=True, slots=True)
class Track:
    """One object over frames in a row."""

    first_frame: int
    boxes: Boxes
    """One box for each frame."""

    @property
    def frames(self) -> NDArray[np.int_]:
        """The frames, in order."""
        return np.arange(self.first_frame, self.first_frame + len(self.boxes))


def find_component_boxes(mask: NDArray[np.bool_], least_pixels: int = 1) -> Boxes:
    """Find the boxes of the 8-connected components of a (rows, columns) mask."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 1:
        return np.empty((0, 4))
    found = stats[1:].astype(np.float64)
    left, top = found[:, cv2.CC_STAT_LEFT], found[:, cv2.CC_STAT_TOP]
    width, height = found[:, cv2.CC_STAT_WIDTH], found[:, cv2.CC_STAT_HEIGHT]
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    return boxes[found[:, cv2.CC_STAT_AREA] >= least_pixels]


def intersection_over_union(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Compute the overlap of each box of the first with each of the second: (n, m), in [0, 1]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None, :] - shared), np.float64)


def follow(frames: Sequence[Boxes]) -> list[Track]:
    """Link the boxes of consecutive frames one to one, the largest overlaps first.

    An object that is missing in a frame, or moves by its own width between two, begins a new track.
    Objects whose masks touch are one.
    """
    finished: list[tuple[int, list[Boxes]]] = []
    going: list[tuple[int, list[Boxes]]] = []
    for number, boxes in enumerate(frames):
        partner = _pair_boxes(going, boxes)
        followed = []
        for index, box in enumerate(boxes):
            track = going[partner[index]] if index in partner else (number, [])
            track[1].append(box)
            followed.append(track)
        ended = set(range(len(going))) - set(partner.values())
        finished += [going[index] for index in sorted(ended)]
        going = followed
    return [Track(first, np.stack(boxes)) for first, boxes in finished + going]


def _pair_boxes(going: Sequence[tuple[int, list[Boxes]]], boxes: Boxes) -> dict[int, int]:
    """Find the track that each box continues, by index; boxes that begin a track are left out."""
    if not going or not len(boxes):
        return {}
    overlap = intersection_over_union(boxes, np.stack([track[1][-1] for track in going]))
    pairs: dict[int, int] = {}
    while overlap.max() >= LINK_IOU:
        box, track = np.unravel_index(np.argmax(overlap), overlap.shape)
        pairs[int(box)] = int(track)
        overlap[box, :] = overlap[:, track] = -1.0
    return pairs
