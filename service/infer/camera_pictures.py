"""A camera's pictures: one is displayed now and then, all are kept for some seconds."""

from __future__ import annotations

import time

from model.detect.observation import Observation
from service.infer.camera_outbox import PreviewPicture
from service.infer.frame_sources import SourceFrame
from service.infer.reel import Reel, ReelPicture
from service.settings import Settings
from service.timers import Clock, Timer

UNUSUAL = 0.7
"""From this share of the threshold on, a camera's pictures are made more often."""
EARLY = 0.9
"""A picture seldom comes just when a preview is due: from this share of the interval on, one is
sent."""


class CameraPictures:
    """Keeps pictures, and chooses previews. For the worker's thread; any may use the reel."""

    def __init__(
        self, reel: Reel, *, preview_every_s: float, clock: Clock = time.monotonic
    ) -> None:
        self.reel = reel
        self._preview_timer = Timer(EARLY * preview_every_s, clock)
        self._pending: SourceFrame | None = None
        """An unscored frame, whose picture is displayed with the next frame's error map."""

    @staticmethod
    def from_settings(settings: Settings) -> CameraPictures:
        reel = Reel(before_s=settings.clip_before_s, fps=settings.clip_fps)
        return CameraPictures(reel, preview_every_s=settings.preview_every_s)

    def add_unscored(self, frame: SourceFrame) -> None:
        """Keep the picture of a frame that gets no score; it is displayed with the next one's."""
        if frame.preview is not None:
            self._pending = frame
            self.reel.add(ReelPicture(frame.frame, frame.captured_at, frame.preview))

    def add_scored(self, frame: SourceFrame, seen: Observation) -> PreviewPicture | None:
        """Keep the picture of an observed frame. Returns a preview, if one is due."""
        heat = None if seen.warming else seen.heat
        if frame.preview is not None:
            picture = ReelPicture(frame.frame, frame.captured_at, frame.preview, seen.score, heat)
            self.reel.add(picture)
        pictured, self._pending = frame if frame.preview else self._pending, None
        if pictured is None or pictured.preview is None:
            return None
        if not self._preview_timer.restart_if_due():
            return None
        return PreviewPicture(pictured.preview, heat, pictured.frame, pictured.captured_at)

    def display(self, frame: SourceFrame) -> PreviewPicture | None:
        """Return the picture of a frame without a model as a preview, if one is due. It isn't kept:
        there are no events without scores."""
        if frame.preview is None or not self._preview_timer.restart_if_due():
            return None
        return PreviewPicture(frame.preview, None, frame.frame, frame.captured_at)

    def forget_pending(self) -> None:
        """Display no picture of the frames before: the source is another one now."""
        self._pending = None


def is_unusual(seen: Observation) -> bool:
    """Return whether an event may begin, so that pictures of every frame are needed."""
    if seen.score is None or seen.threshold is None:
        return False
    return seen.score >= UNUSUAL * seen.threshold
