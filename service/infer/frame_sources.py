"""What a camera's frames come from, as the worker sees it; `capture_source` and `upload_source`
hold the two kinds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from model.frames import Frame
from model.scene.features import Features
from service.bus.uploads import QueuedFrame
from service.capture.camera_capture import CaptureState
from service.messages import DropReason


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame whose turn it is."""

    frame: int
    """Its number in the stream."""
    captured_at: float
    pixels: Frame
    cut: bool
    preview: bytes | None = None
    """JPEG of the whole picture, now and then."""
    upload: QueuedFrame | None = None
    features: Features | None = None
    """None: the worker extracts them."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is doing."""

    state: CaptureState
    reason: str
    captured: int
    dropped: Counter[DropReason]
    reconnects: int = 0
    waiting: int = 0
    """Frames among the captured ones that wait to be scored."""


class FrameSource(Protocol):
    """Frames of one camera. All but `status`, `stop` and `close` is for the worker's thread."""

    def count_waiting(self) -> int:
        """Count the frames that `pop` would give now, one after the other."""

    def pop_stale(self, before: float) -> list[SourceFrame]:
        """Take the waiting frames, the oldest first, that were captured before a time and need no
        score; never the newest frame."""

    def pop(self) -> SourceFrame | None:
        """Take the next frame, if there is one that can be used."""

    def pop_if(self, fits: Callable[[Features], bool]) -> SourceFrame | None:
        """Take the next frame, if there is one that follows the last one and whose features are
        known and fit."""

    def look_closely(self) -> None:
        """Give more pictures for the next seconds, where there are few otherwise."""

    def status(self) -> SourceStatus:
        """Return state and counters."""

    def stop(self) -> None:
        """Ask it to end; returns at once."""

    def close(self) -> None:
        """End it, and wait for the end."""
