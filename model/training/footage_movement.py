"""Finds how often, and where, something moves in footage."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.scene.features import SIDE
from model.scene.scene_features import CELLS
from model.training.footage_samples import FootageSamples

LEAST_LIMIT, LIMIT_PER_NOISE, MOST_LIMIT = 5.0, 5.0, 20.0
"""A place has changed if two samples differ there by `LEAST_LIMIT` grey levels plus
`LIMIT_PER_NOISE` times their median difference. Moving leaves raise the limit, to `MOST_LIMIT`."""
LEAST_PLACES = 4
"""Something moves if so many places of the 64x64 have changed."""
MOST_PAIRS = 300
"""The median is that of so many pairs of samples, evenly spread."""


@dataclass(frozen=True, slots=True)
class Movement:
    """How often something moves, from 0 to 1."""

    share: float
    cells: NDArray[np.float64]
    """(CELLS, CELLS): the share for each cell of the picture."""
    places: NDArray[np.float64]
    """(SIDE, SIDE): the same, finer."""


def find_movement(samples: FootageSamples, is_kept: NDArray[np.bool_]) -> Movement:
    """Compare each sample with the one before it, where neither is left out."""
    pairs = np.zeros(len(samples), np.bool_)
    pairs[1:] = samples.follows[1:] & is_kept[1:] & is_kept[:-1]
    indices = np.flatnonzero(pairs)
    if not len(indices):
        return Movement(0.0, np.zeros((CELLS, CELLS)), np.zeros((SIDE, SIDE)))
    limits = _estimate_limits(samples, indices)
    moving = 0
    counts = np.zeros((CELLS, CELLS))
    places = np.zeros((SIDE, SIDE))
    side = SIDE // CELLS
    for index in indices:
        difference = cv2.absdiff(samples.thumbs[index], samples.thumbs[index - 1])
        changed = difference > limits
        if np.count_nonzero(changed) >= LEAST_PLACES:
            moving += 1
            places += changed
            counts += changed.reshape(CELLS, side, CELLS, side).any(axis=(1, 3))
    return Movement(moving / len(indices), counts / len(indices), places / len(indices))


def _estimate_limits(samples: FootageSamples, indices: NDArray[np.intp]) -> NDArray[np.float32]:
    chosen = indices[:: max(1, len(indices) // MOST_PAIRS)]
    differences = [cv2.absdiff(samples.thumbs[each], samples.thumbs[each - 1]) for each in chosen]
    usual = np.median(np.stack(differences), axis=0)
    limits = np.minimum(LEAST_LIMIT + LIMIT_PER_NOISE * usual, MOST_LIMIT)
    return np.asarray(limits, np.float32)
