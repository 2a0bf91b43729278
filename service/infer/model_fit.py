"""Notices a model that doesn't know its camera: from the first, nearly all is abnormal."""

from __future__ import annotations

import math

JUDGED_AFTER_S = 120.0
"""A model is judged by this much footage from its first score on."""
JUDGED_FRAMES = 60
MISFIT_SHARE = 0.95
"""If so many of these frames are at or above the threshold, the model doesn't know the camera."""
FIT_SHARE = 0.5
"""If fewer of about the last minute's frames are, it does by now."""
RECENT_S = 60.0
LONGEST_STEP_S = 1.0
"""A longer pause between two frames counts as this much footage."""
OTHER_RATE = 1.5
"""A frame rate that is so many times the trained one, or less than its inverse, is another."""


class ModelFit:
    """Judges a camera's model once, by its first minutes of scores.

    A model that fitted then is never a misfit later: what is abnormal then is an event, or drift.
    """

    def __init__(self, fits: bool | None = None) -> None:
        """Args: fits: what the camera's last owner found; None: it was not judged yet."""
        self.fits = fits
        """Whether the model knows the camera; None: not judged yet."""
        self._frames = self._abnormal = 0
        self._footage_s = 0.0
        self._recent_share = 1.0
        """The share of abnormal frames in about the last minute."""
        self._last_at: float | None = None

    @property
    def is_misfit(self) -> bool:
        """The model doesn't know the camera."""
        return self.fits is False

    def observe(self, captured_at: float, score: float | None, threshold: float | None) -> None:
        """Judge by one more frame; one without a score or a threshold says nothing."""
        if score is None or threshold is None or self.fits:
            return
        pause_s = 0.0 if self._last_at is None else captured_at - self._last_at
        step_s = min(max(pause_s, 0.0), LONGEST_STEP_S)
        self._last_at = captured_at
        is_abnormal = score >= threshold
        if self.is_misfit:
            self._recent_share -= (self._recent_share - is_abnormal) * -math.expm1(
                -step_s / RECENT_S
            )
            self.fits = self._recent_share < FIT_SHARE
            return
        self._frames += 1
        self._abnormal += is_abnormal
        self._footage_s += step_s
        if self._footage_s >= JUDGED_AFTER_S and self._frames >= JUDGED_FRAMES:
            self.fits = self._abnormal < MISFIT_SHARE * self._frames


def misfit_reason(trained_fps: float | None, fps: float | None) -> str:
    """Why a model's scores mean nothing for a camera, and what helps.

    Args: frames a second, where they are known.
    """
    reason = "nearly every frame is abnormal: the model doesn't know this camera"
    if trained_fps and fps and not 1 / OTHER_RATE < fps / trained_fps < OTHER_RATE:
        reason += f", and gets {fps:.3g} frames a second where it was trained at {trained_fps:.3g}"
    return f"{reason}; train one on its footage"
