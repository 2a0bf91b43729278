"""Finds a camera whose picture stands still: a fresh sensor's noise is never the same twice."""

from __future__ import annotations

import cv2
import numpy as np

from model.frames import Frame

LEVELS = 1
"""Grey levels, of 255, that a pixel of the same picture may differ by: a codec's rounding."""
MEAN = 0.02
"""Grey levels that it may differ by on average: that a clock's seconds change is more."""
SEEN = 16
"""Different frames that one picture may be, as a video."""
STRIDE = 16
SAME_PICTURE = "the same picture again and again"
SAME_TIME = "the time stands still in the pictures"


class Freeze:
    """Watches the frames of one connection, fitted to the network. Times are of any one clock.

    A video of one picture isn't the same frame throughout: each key frame, and some after it,
    differ a little. But a live camera shows something new all the time, a frozen one shows the
    same few frames again.
    """

    def __init__(self, after_s: float) -> None:
        """Args: after_s: nothing new for so long means frozen; 0 turns this off."""
        self._after_s = after_s
        self._frames: list[Frame] = []
        """The last different frames."""
        self._samples = np.zeros((0, 0), np.int16)
        """A few pixels of each, a row each: they tell nearly all others apart."""
        self._seen_last = np.zeros(SEEN, np.int64)
        """Counts of frames, when each was seen last."""
        self._count = 0
        self._new_at = 0.0
        self._source_s: float | None = None
        self._time_since = 0.0

    def reason(self, pixels: Frame, source_s: float | None, now: float) -> str:
        """Why this frame is one of a frozen camera; empty where it isn't.

        Args:
            source_s: the source's own time of the frame, if it has one.
            now: when it arrived, in seconds.
        """
        if not self._after_s:
            return ""
        if self._is_new(pixels):
            self._new_at = now
        if source_s is None or source_s != self._source_s:
            self._source_s, self._time_since = source_s, now
        if now - self._new_at >= self._after_s:
            return SAME_PICTURE
        return SAME_TIME if now - self._time_since >= self._after_s else ""

    def _is_new(self, pixels: Frame) -> bool:
        self._count += 1
        sample = pixels[::STRIDE, ::STRIDE].reshape(-1).astype(np.int16)
        if self._samples.shape[1:] != sample.shape:
            self._frames, self._samples = [], np.zeros((SEEN, len(sample)), np.int16)
        known = len(self._frames)
        furthest = np.abs(self._samples[:known] - sample).max(axis=1)
        for index in np.flatnonzero(furthest <= LEVELS).tolist():
            if is_same_picture(pixels, self._frames[index]):
                self._seen_last[index] = self._count
                return False
        slot = known if known < SEEN else int(self._seen_last.argmin())
        self._frames[slot : slot + 1] = [pixels]
        self._samples[slot], self._seen_last[slot] = sample, self._count
        return True


def is_same_picture(one: Frame, other: Frame) -> bool:
    """Returns whether two frames show the very same picture, but for rounding."""
    if one.shape != other.shape:
        return False
    difference = cv2.absdiff(one, other)
    return int(np.max(difference)) <= LEVELS and float(np.mean(difference)) < MEAN
