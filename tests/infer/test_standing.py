"""A running stream reports what stands still where it is asked to, and goes on with another
worker."""

from __future__ import annotations

import numpy as np

from model.scoring.cause import Cause
from service.bus.uploads import Picture
from service.messages import FrameScore
from tests.infer.conftest import Bus
from tests.support.footage import jpeg
from tests.support.servers import wait_for

DWELL_S = 20
EMPTY_PICTURES, ALL_PICTURES = 75, 120
LEFT = [{"kind": "standing", "points": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}]
RIGHT = [{"kind": "standing", "points": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]}]


def _draw(number: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    picture = np.full((64, 64, 3), 90, np.uint8)
    picture[20:40, 10:50] = 140
    if number >= EMPTY_PICTURES:
        picture[44:56, 8:20] = 200
    return picture


def _upload(bus: Bus, stop: int) -> list[FrameScore]:
    """Upload pictures up to this one, a second from one to the next."""
    done = len(bus.read_published("one"))
    pictures = [Picture(1000.0 + n, jpeg(_draw(n))) for n in range(done, stop)]
    bus.uploads.enqueue("one", pictures, first_frame=0, max_frames=1000, max_bytes=10**9)
    return bus.wait_scores("one", stop)[done:]


def _list_raised(scores: list[FrameScore]) -> list[int]:
    return [score.frame for score in scores if score.cause is Cause.STANDING]


def test_it_is_found_at_its_dwell_time_also_by_the_next_worker(bus: Bus) -> None:
    bus.add("one", standing_s=DWELL_S, threshold=0.9)
    with bus.worker(worker_id="first"):
        assert not _list_raised(_upload(bus, EMPTY_PICTURES + 10))
    with bus.worker(worker_id="second"):
        scores = _upload(bus, ALL_PICTURES)
        raised = _list_raised(scores)
        # The second worker needs a few frames first; what it needs to see again is time.
        assert EMPTY_PICTURES + DWELL_S - 2 <= raised[0] <= EMPTY_PICTURES + DWELL_S + 6
        assert raised == list(range(raised[0], ALL_PICTURES))
        last = scores[-1]
        assert (last.standing, last.score) == (1.0, 0.95)
        assert last.region is not None
        assert last.region[2] < 0.5 < last.region[1]


def test_only_zones_of_its_kind_are_watched_if_there_are_any(bus: Bus) -> None:
    bus.add("one", standing_s=DWELL_S, threshold=0.9, zones=RIGHT)
    with bus.worker():
        assert not _list_raised(_upload(bus, ALL_PICTURES - 3))
        bus.add("one", revision=2, standing_s=DWELL_S, threshold=0.9, zones=LEFT)
        wait_for(lambda: _list_raised(_upload(bus, len(bus.read_published("one")) + 1)), "the zone")


def test_it_is_off_unless_it_is_asked_for(bus: Bus) -> None:
    bus.add("one", threshold=0.9)
    with bus.worker():
        scores = _upload(bus, ALL_PICTURES)
    assert not _list_raised(scores)
    assert all(score.standing is None for score in scores)
