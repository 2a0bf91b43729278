"""Which uploads follow each other, and which begin a new run."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
import pytest

from service.bus.uploads import QueuedFrame
from service.infer.upload_source import DecodedUpload, UploadSource
from service.messages import UploadedFrame

HOUR_S = 3600.0


def _space_evenly(start_s: float, count: int, every_s: float = 0.1) -> list[float]:
    return [start_s + every_s * step for step in range(count)]


def _find_cuts(
    times: Sequence[float], *, unreadable: Sequence[int] = (), first_frame: int = 0
) -> list[int]:
    """Find the frames that begin a new run, of pictures that were captured at these times."""
    source = UploadSource("one", first_frame, lambda _: None)
    found = []
    for number, captured_at in enumerate(times):
        decoding: Future[DecodedUpload | None] = Future()
        pixels = np.zeros((8, 8), np.uint8)
        decoding.set_result(None if number in unreadable else DecodedUpload(pixels, None))
        meta = UploadedFrame(frame=number, captured_at=captured_at)
        source.add(QueuedFrame(str(number), meta, b""), decoding)
        frame = source.pop()
        if frame is not None and frame.cut:
            found.append(frame.frame)
    return found


@pytest.mark.parametrize(
    ("times", "cuts"),
    [
        (_space_evenly(0.0, 50), []),
        (
            [*_space_evenly(0.0, 10), *_space_evenly(HOUR_S, 10), *_space_evenly(2 * HOUR_S, 10)],
            [10, 20],
        ),
        ([*_space_evenly(0.0, 10), *_space_evenly(3.0, 10)], [10]),
        ([*_space_evenly(0.0, 10), *_space_evenly(2.0, 10)], []),
        ([*_space_evenly(HOUR_S, 10), *_space_evenly(0.0, 10)], [10]),
        ([*_space_evenly(5.0, 10), *_space_evenly(5.8, 10)], [10]),
        ([7.0] * 20, []),
        # Pictures that usually are far apart: once that is known, it is no gap.
        (_space_evenly(0.0, 20, 5.0), [1, 2, 3]),
        ([*_space_evenly(0.0, 20, 5.0), 95.0 + 21.0], [1, 2, 3, 20]),
    ],
)
def test_a_jump_of_the_capture_time_is_a_cut(times: list[float], cuts: list[int]) -> None:
    assert _find_cuts(times) == cuts


def test_what_cannot_be_used_is_no_frame_before() -> None:
    times = _space_evenly(0.0, 40)
    assert _find_cuts(times, unreadable=range(10, 35)) == [35], "2.6 s without a picture"
    assert _find_cuts(times, unreadable=range(10, 15)) == []
    assert _find_cuts([HOUR_S, *times[1:]], unreadable=[0]) == []
    assert _find_cuts([HOUR_S, *times[1:]], first_frame=1) == [], "it was scored before"
