"""Pictures of events as a worker sends them, and what a clip shows of them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from service.bus.picture_requests import SentShot
from service.infer.result_publisher import encode_heat_map
from service.messages import Shot
from tests.support.cameras import numbered_picture, read_number
from tests.support.footage import jpeg

EVENT = "evt_0123456789abcdef01234567"


def shot(
    frame: int,
    *,
    at: float | None = None,
    score: float | None = None,
    peak: bool = False,
    event_id: str = EVENT,
    image: bytes | None = None,
) -> SentShot:
    """A picture that shows its frame's number; ten a second unless `at` says when."""
    meta = Shot(
        event_id=event_id,
        frame=frame,
        captured_at=1000.0 + frame / 10 if at is None else at,
        score=score,
        peak=peak,
    )
    heat = encode_heat_map(np.eye(8, dtype=np.float32)) if peak else b""
    return SentShot(meta, jpeg(numbered_picture(frame % 256)) if image is None else image, heat)


def play_clip(path: Path) -> tuple[list[int], list[float]]:
    """Return the numbers that a clip shows, and when it shows them, in seconds."""
    numbers: list[int] = []
    times: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            grey = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
            numbers.append(read_number(grey))
            times.append(float(frame.time or 0.0))
    return numbers, times
