"""Samples footage: takes a small grey picture every so often, with its place in the footage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.footage.clips import Clip
from model.scene.features import SIDE, extract

SAMPLE_S = 0.3
"""Footage is sampled about so often."""
MOST_SAMPLES = 12_000
"""Of a day, a picture every 7 s."""


@dataclass(frozen=True, slots=True)
class FootageSamples:
    """N small pictures of footage, in order; frames count from the first one of all clips."""

    thumbs: NDArray[np.uint8]
    """(N, SIDE, SIDE), grey."""
    positions: NDArray[np.int64]
    """(N,): the frame of each sample."""
    follows: NDArray[np.bool_]
    """(N,): whether it is in the same clip as the sample before it."""
    starts: NDArray[np.int64]
    """(N,): the first frame of its clip."""
    ends: NDArray[np.int64]
    """(N,): one after the last frame of its clip."""
    frames: int
    """Frames of all clips."""
    stride: int
    """Frames from one sample to the next."""

    def __len__(self) -> int:
        return len(self.positions)


def take_samples(clips: Sequence[Clip], fps: float) -> FootageSamples:
    """Sample each clip, from its first frame on."""
    total = sum(map(len, clips))
    stride = max(1, round(SAMPLE_S * fps), -(-total // MOST_SAMPLES))
    thumbs: list[NDArray[np.uint8]] = []
    places: list[tuple[int, bool, int, int]] = []
    start = 0
    for clip in clips:
        for index in range(0, len(clip), stride):
            thumbs.append(_reduce(clip.frames[index]))
            places.append((start + index, index > 0, start, start + len(clip)))
        start += len(clip)
    columns = np.array(places, np.int64).reshape(-1, 4)
    return FootageSamples(
        thumbs=np.array(thumbs, np.uint8).reshape(-1, SIDE, SIDE),
        positions=columns[:, 0],
        follows=columns[:, 1].astype(np.bool_),
        starts=columns[:, 2],
        ends=columns[:, 3],
        frames=total,
        stride=stride,
    )


def _reduce(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    thumb = extract(frame).thumb
    if thumb.ndim == 3:
        thumb = np.asarray(cv2.cvtColor(thumb, cv2.COLOR_RGB2GRAY), np.uint8)
    return thumb
