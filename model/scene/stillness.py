"""Finds the places of a frame that have changed, beyond the camera's noise, since the network last
ran for them.

If neither a place nor the frames before it have changed, the network's result would be the same,
and it needn't run. Places are the pixels of `Features.thumb`. A frame is compared
with what was inferred, not with the frame before, so that slow movement adds up until it is seen.
No torch here.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from model.scene.features import Features, Thumb

YOUNG_FRAMES = 30
"""The noise is unknown before so many frames: no place is still."""
NOISE_FRAMES = 50
"""The noise of a place is a running mean over about so many frames."""
MOST_STEP = 4
"""A larger step from frame to frame, in grey levels, isn't noise, and counts as this much."""
LEAST_LIMIT, LIMIT_PER_NOISE, MOST_LIMIT = 3.0, 4.0, 8.0
"""A place has moved if it differs by more than `LEAST_LIMIT` grey levels plus `LIMIT_PER_NOISE`
times its noise. More than `MOST_LIMIT` always counts: a person in moving leaves is still seen."""
LIMIT_EVERY = 16
"""The limits are computed again after so many frames."""
REFRESH_S = 1.0
"""The network runs for the whole picture at least once in so long, even if nothing moves."""

Places = NDArray[np.uint8]
"""(SIDE, SIDE), not 0 at the places in question."""
Region = tuple[slice, slice]
"""Rows and columns of places."""


class Stillness:
    """Compares the frames of one camera, in order. One thread uses it."""

    def __init__(self, context: int, fps: float) -> None:
        """Args: context: frames that a frame is predicted from. fps: of frames without times."""
        self._window: deque[Thumb] = deque(maxlen=context)
        self._period_s = 1.0 / fps
        self._frames = 0
        self._noise: NDArray[np.float32] | None = None
        """Mean absolute step of each place from frame to frame, in grey levels."""
        self._limits: Thumb | None = None
        self._reference: Thumb | None = None
        """What each place showed when it was inferred; None: the noise or the window was unknown
        when the whole picture was inferred last."""
        self._unsettled: Places | None = None
        """Places that showed something else in the frames before they were inferred."""
        self._since_s = 0.0
        self._whole_s: float | None = None
        """When the last frame that was inferred as a whole was captured."""

    def cut(self) -> None:
        """Say that the next frame doesn't follow the last one. The noise stays known."""
        self._window.clear()
        self._reference = self._unsettled = None

    def find_active(self, features: Features, within_s: float = REFRESH_S) -> Places | None:
        """Find the places of the next frame that the network has to run for: none where the frame
        shows what was inferred last. Changes nothing.

        Args: within_s: how long ago the whole picture may have been inferred.
        Returns: None: the whole picture has to be inferred, even if nothing moved.
        """
        if self._reference is None or self._unsettled is None:
            return None
        if len(self._window) < (self._window.maxlen or 0):
            return None
        if not 0.0 <= self._measure_age_s(features) < within_s - 0.5 * self._period_s:
            return None
        moved = self._find_moved(features.thumb, self._reference)
        return np.asarray(cv2.bitwise_or(moved, self._unsettled), np.uint8)

    def is_still(self, features: Features, within_s: float = REFRESH_S) -> bool:
        """Return whether the next frame shows what was inferred last, and the whole picture was
        inferred no longer ago than `within_s`. Changes nothing."""
        active = self.find_active(features, within_s)
        return active is not None and cv2.countNonZero(active) == 0

    def _measure_age_s(self, features: Features) -> float:
        """Return the seconds between this frame and the last one that was inferred as a whole."""
        if features.time_s is None or self._whole_s is None:
            return self._since_s + self._period_s
        return features.time_s - self._whole_s

    def add_inferred(self, features: Features, region: Region | None = None) -> None:
        """Add the next frame to the window: the network has run for it.

        Args: region: the places that it has run for; None: the whole picture.
        """
        thumb = features.thumb
        self._learn_noise(thumb)
        is_known = len(self._window) == self._window.maxlen and self._frames > YOUNG_FRAMES
        if region is None:
            self._since_s, self._whole_s = 0.0, features.time_s
            self._reference = thumb.copy() if is_known else None
            self._unsettled = self._find_unsettled(thumb) if is_known else None
        else:
            self._since_s += self._period_s
            if self._reference is not None and self._unsettled is not None:
                self._reference[region] = thumb[region]
                self._unsettled[region] = self._find_unsettled(thumb)[region]
        self._window.append(thumb)

    def add_still(self, features: Features) -> None:
        """Add the next frame, which `is_still`."""
        self._learn_noise(features.thumb)
        self._since_s += self._period_s
        self._window.append(features.thumb)

    def add_unscored(self, features: Features) -> None:
        """Add the next frame, which there was no time to score."""
        if self._reference is not None and self._unsettled is not None:
            moved = self._find_moved(features.thumb, self._reference)
            self._unsettled |= moved
        self.add_still(features)

    def _learn_noise(self, thumb: Thumb) -> None:
        self._frames += 1
        if not self._window:
            return
        step = np.minimum(cv2.absdiff(thumb, self._window[-1]), MOST_STEP)
        if self._noise is None:
            self._noise = step.astype(np.float32)
        cv2.accumulateWeighted(step, self._noise, 1.0 / min(self._frames, NOISE_FRAMES))
        if self._limits is None or self._frames % LIMIT_EVERY == 0:
            limits = LEAST_LIMIT + LIMIT_PER_NOISE * self._noise
            self._limits = np.minimum(limits, MOST_LIMIT).astype(np.uint8)

    def _find_unsettled(self, thumb: Thumb) -> Places:
        """Find the places where a frame of the window differs."""
        unsettled = np.zeros(thumb.shape[:2], np.uint8)
        for before in self._window:
            unsettled |= self._find_moved(before, thumb)
        return unsettled

    def _find_moved(self, one: Thumb, other: Thumb) -> Places:
        """Find the places where two frames differ by more than noise."""
        if self._limits is None:
            return np.full(one.shape[:2], 255, np.uint8)
        # Subtraction of bytes stops at 0: what is left is more than noise.
        beyond = np.asarray(cv2.subtract(cv2.absdiff(one, other), self._limits), np.uint8)
        return beyond if beyond.ndim == 2 else np.asarray(beyond.max(axis=2), np.uint8)
