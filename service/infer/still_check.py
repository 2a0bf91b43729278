"""Tells still frames, which need no network, from the others."""

from __future__ import annotations

from model.detect.camera_state import CameraState
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.scene.features import Features


class StillCheck:
    """Compares a camera's next frame once, however often it is asked about. For one thread."""

    def __init__(self) -> None:
        self._moving: tuple[Features | None, float] = (None, 0.0)
        """The last frame that wasn't still, with the `refresh_s` of the question. While it waits
        for the network, nothing changes that could make it still."""

    def is_still(
        self,
        features: Features,
        refresh_s: float,
        *,
        detector: Detector,
        state: CameraState,
        options: CameraOptions,
    ) -> bool:
        """Return whether a frame shows what the network saw last, at most `refresh_s` ago."""
        if features is self._moving[0] and refresh_s == self._moving[1]:
            return False
        if detector.is_still(state, features, options, refresh_s):
            return True
        self._moving = features, refresh_s
        return False
