"""A camera's last pictures: bounded, and those of an event found among them."""

from __future__ import annotations

import numpy as np

from model.observation import Observation
from service.infer.pictures import Pictures
from service.infer.reel import MAX_BYTES, SLACK_S, Reel, Taken
from service.infer.sources import SourceFrame
from service.settings import Settings


def _reel(times: dict[int, float], before_s: float = 60.0) -> Reel:
    reel = Reel(before_s=before_s, fps=10.0)
    for frame, at in times.items():
        reel.add(Taken(frame, at, b"jpeg", frame / 100))
    return reel


def _frames(taken: list[Taken]) -> list[int]:
    return [each.frame for each in taken]


def test_it_holds_some_seconds_and_no_more_bytes_than_it_may() -> None:
    reel = Reel(before_s=2.0, fps=5.0)
    for frame in range(200):
        reel.add(Taken(frame, float(frame), b"jpeg"))
    kept = _frames(reel.footage(0, 1e9, -1))
    assert kept == list(range(200 - int((2.0 + SLACK_S) * 5), 200))
    for frame in range(200, 230):
        reel.add(Taken(frame, float(frame), bytes(MAX_BYTES // 4)))
        assert reel.held_bytes <= MAX_BYTES
    assert _frames(reel.footage(0, 1e9, -1)) == [226, 227, 228, 229]
    reel.add(Taken(230, 230.0, bytes(MAX_BYTES + 1)))
    assert _frames(reel.footage(0, 1e9, -1)) == [226, 227, 228, 229]


def test_as_it_is_configured_it_holds_its_seconds_of_large_pictures() -> None:
    settings = Settings()
    reel = Pictures.configured(settings).reel
    wanted = round((settings.clip_before_s + SLACK_S) * settings.clip_fps)
    for frame in range(2 * wanted):
        reel.add(Taken(frame, frame / settings.clip_fps, bytes(40_000)))
    assert _frames(reel.footage(0, 1e9, -1)) == list(range(wanted, 2 * wanted))


def test_without_a_rate_it_keeps_nothing() -> None:
    reel = Reel(before_s=5.0, fps=0.0)
    reel.add(Taken(1, 1.0, b"jpeg"))
    assert (reel.footage(0, 9.0, -1), reel.held_bytes) == ([], 0)


def test_footage_begins_so_long_before_the_event_and_goes_on() -> None:
    reel = _reel({frame: frame / 10 for frame in range(100)})
    assert _frames(reel.footage(50, 1.0, -1)) == list(range(40, 100))
    assert _frames(reel.footage(50, 1.0, 97)) == [98, 99]
    assert _frames(reel.footage(49, 0.0, -1))[0] == 49
    assert _frames(reel.footage(120, 0.5, -1)) == list(range(94, 100)), "the event is yet to come"
    assert Reel(before_s=1.0, fps=5.0).footage(3, 1.0, -1) == []


def test_times_that_do_not_rise_end_what_is_before_the_event() -> None:
    reel = _reel({0: 9.0, 1: 9.1, 2: 3.0, 3: 3.1, 4: 3.2, 5: 3.1})
    assert _frames(reel.footage(4, 60.0, -1)) == [2, 3, 4, 5]
    same = _reel(dict.fromkeys(range(6), 7.0))
    assert _frames(same.footage(3, 1.0, -1)) == list(range(6))


def test_the_peak_is_the_best_of_the_event_above_what_is_known() -> None:
    reel = _reel({frame: frame / 10 for frame in range(20)})
    reel.add(Taken(20, 2.0, b"jpeg", None))
    best = reel.peak(5, None)
    assert best is not None and best.frame == 19
    assert reel.peak(5, 0.19) is None
    assert reel.peak(20, None) is None


def _frame(frame: int, preview: bytes | None = b"jpeg") -> SourceFrame:
    return SourceFrame(frame, frame / 10, np.zeros((8, 8), np.uint8), False, preview)


def test_pictures_are_shown_now_and_then_and_all_are_kept() -> None:
    pictures = Pictures(Reel(before_s=5.0, fps=10.0), preview_every_s=1.0)
    seen = Observation(warming=False, score=0.5, heat=np.ones((2, 2), np.float32))
    shown = [pictures.scored(_frame(frame), seen, frame / 10) for frame in range(25)]
    assert [each.frame for each in shown if each is not None] == [0, 9, 18]
    assert len(pictures.reel.footage(0, 9.0, -1)) == 25
    best = pictures.reel.peak(0, None)
    assert best is not None and best.heat is not None


def test_a_frame_without_a_score_is_kept_and_shown_with_the_next() -> None:
    pictures = Pictures(Reel(before_s=5.0, fps=10.0), preview_every_s=1.0)
    pictures.unscored(_frame(3))
    shown = pictures.scored(_frame(4, None), Observation(warming=True), 10.0)
    assert shown is not None and (shown.frame, shown.heat) == (3, None)
    assert _frames(pictures.reel.footage(3, 9.0, -1)) == [3]
    pictures.unscored(_frame(5))
    pictures.forget_unshown()
    assert pictures.scored(_frame(6, None), Observation(warming=True), 20.0) is None
