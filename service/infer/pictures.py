"""What becomes of a camera's pictures: now and then one is shown, all are kept for some seconds."""

from __future__ import annotations

from model.observation import Observation
from service.infer.outbox import Shown
from service.infer.reel import Reel, Taken
from service.infer.sources import SourceFrame
from service.settings import Settings

UNUSUAL = 0.7
"""Of the threshold: from such a score on, a camera's pictures are made more often."""
EARLY = 0.9
"""Pictures don't come just when one is due to be shown: one that comes so nearly then will do."""


class Pictures:
    """For the worker's thread; the reel is for any."""

    def __init__(self, reel: Reel, *, preview_every_s: float) -> None:
        self.reel = reel
        self._every_s = EARLY * preview_every_s
        self._shown_at: float | None = None
        self._unshown: SourceFrame | None = None

    @staticmethod
    def configured(settings: Settings) -> Pictures:
        """As the operator wants them."""
        reel = Reel(before_s=settings.clip_before_s, fps=settings.clip_fps)
        return Pictures(reel, preview_every_s=settings.preview_every_s)

    def unscored(self, frame: SourceFrame) -> None:
        """A frame gets no score: its picture is shown with the next one's."""
        if frame.preview is not None:
            self._unshown = frame
            self.reel.add(Taken(frame.frame, frame.captured_at, frame.preview))

    def scored(self, frame: SourceFrame, seen: Observation, now: float) -> Shown | None:
        """A frame was observed; what is to be shown now, if it is time."""
        heat = None if seen.warming else seen.heat
        if frame.preview is not None:
            taken = Taken(frame.frame, frame.captured_at, frame.preview, seen.score, heat)
            self.reel.add(taken)
        pictured, self._unshown = frame if frame.preview else self._unshown, None
        if pictured is None or pictured.preview is None:
            return None
        if self._shown_at is not None and 0.0 <= now - self._shown_at < self._every_s:
            return None
        self._shown_at = now
        return Shown(pictured.preview, heat, pictured.frame, pictured.captured_at)

    def forget_unshown(self) -> None:
        """The source is another one now."""
        self._unshown = None


def is_unusual(seen: Observation) -> bool:
    """An event may begin: pictures of every frame are wanted."""
    if seen.score is None or seen.threshold is None:
        return False
    return seen.score >= UNUSUAL * seen.threshold
