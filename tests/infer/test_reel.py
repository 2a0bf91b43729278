"""A camera's last pictures are bounded, and an event's are found among them."""

from __future__ import annotations

import numpy as np

from model.detect.observation import Observation, Withheld
from service.infer.camera_pictures import CameraPictures
from service.infer.frame_sources import SourceFrame
from service.infer.reel import MAX_BYTES, SLACK_S, Reel, ReelPicture
from service.settings import Settings


def _reel(times: dict[int, float], before_s: float = 60.0) -> Reel:
    reel = Reel(before_s=before_s, fps=10.0)
    for frame, at in times.items():
        reel.add(ReelPicture(frame, at, b"jpeg", frame / 100))
    return reel


def _frames(taken: list[ReelPicture]) -> list[int]:
    return [each.frame for each in taken]


def test_it_holds_some_seconds_and_no_more_bytes_than_it_may() -> None:
    reel = Reel(before_s=2.0, fps=5.0)
    for frame in range(200):
        reel.add(ReelPicture(frame, float(frame), b"jpeg"))
    kept = _frames(reel.select_clip(0, 1e9, -1))
    assert kept == list(range(200 - int((2.0 + SLACK_S) * 5), 200))
    for frame in range(200, 230):
        reel.add(ReelPicture(frame, float(frame), bytes(MAX_BYTES // 4)))
        assert reel.held_bytes <= MAX_BYTES
    assert _frames(reel.select_clip(0, 1e9, -1)) == [226, 227, 228, 229]
    reel.add(ReelPicture(230, 230.0, bytes(MAX_BYTES + 1)))
    assert _frames(reel.select_clip(0, 1e9, -1)) == [226, 227, 228, 229]


def test_as_it_is_configured_it_holds_its_seconds_of_large_pictures() -> None:
    settings = Settings()
    reel = CameraPictures.from_settings(settings).reel
    frames = round((settings.clip_before_s + SLACK_S) * settings.clip_fps)
    for frame in range(2 * frames):
        reel.add(ReelPicture(frame, frame / settings.clip_fps, bytes(40_000)))
    assert _frames(reel.select_clip(0, 1e9, -1)) == list(range(frames, 2 * frames))


def test_without_a_rate_it_keeps_nothing() -> None:
    reel = Reel(before_s=5.0, fps=0.0)
    reel.add(ReelPicture(1, 1.0, b"jpeg"))
    assert (reel.select_clip(0, 9.0, -1), reel.held_bytes) == ([], 0)


def test_footage_begins_so_long_before_the_event_and_goes_on() -> None:
    reel = _reel({frame: frame / 10 for frame in range(100)})
    assert _frames(reel.select_clip(50, 1.0, -1)) == list(range(40, 100))
    assert _frames(reel.select_clip(50, 1.0, 97)) == [98, 99]
    assert _frames(reel.select_clip(49, 0.0, -1))[0] == 49
    assert _frames(reel.select_clip(120, 0.5, -1)) == list(range(94, 100)), (
        "the event is yet to come"
    )
    assert Reel(before_s=1.0, fps=5.0).select_clip(3, 1.0, -1) == []


def test_times_that_do_not_rise_end_what_is_before_the_event() -> None:
    reel = _reel({0: 9.0, 1: 9.1, 2: 3.0, 3: 3.1, 4: 3.2, 5: 3.1})
    assert _frames(reel.select_clip(4, 60.0, -1)) == [2, 3, 4, 5]
    same = _reel(dict.fromkeys(range(6), 7.0))
    assert _frames(same.select_clip(3, 1.0, -1)) == list(range(6))


def test_the_peak_is_the_best_of_the_event_above_what_is_known() -> None:
    reel = _reel({frame: frame / 10 for frame in range(20)})
    reel.add(ReelPicture(20, 2.0, b"jpeg", None))
    best = reel.find_peak(5, None)
    assert best is not None and best.frame == 19
    assert reel.find_peak(5, 0.19) is None
    assert reel.find_peak(20, None) is None


def _frame(frame: int, preview: bytes | None = b"jpeg") -> SourceFrame:
    return SourceFrame(frame, frame / 10, np.zeros((8, 8), np.uint8), False, preview)


def test_previews_are_sent_now_and_then_and_all_pictures_are_kept() -> None:
    now_s = 0.0
    reel = Reel(before_s=5.0, fps=10.0)
    pictures = CameraPictures(reel, preview_every_s=1.0, clock=lambda: now_s)
    seen = Observation(None, score=0.5, heat=np.ones((2, 2), np.float32))
    previews = []
    for frame in range(25):
        now_s = frame / 10
        previews.append(pictures.add_scored(_frame(frame), seen))
    assert [each.frame for each in previews if each is not None] == [0, 9, 18]
    assert len(pictures.reel.select_clip(0, 9.0, -1)) == 25
    best = pictures.reel.find_peak(0, None)
    assert best is not None and best.heat is not None


def test_a_frame_without_a_score_is_kept_and_displayed_with_the_next() -> None:
    now_s = 10.0
    reel = Reel(before_s=5.0, fps=10.0)
    pictures = CameraPictures(reel, preview_every_s=1.0, clock=lambda: now_s)
    pictures.add_unscored(_frame(3))
    preview = pictures.add_scored(_frame(4, None), Observation(Withheld.FEW_FRAMES))
    assert preview is not None and (preview.frame, preview.heat) == (3, None)
    assert _frames(pictures.reel.select_clip(3, 9.0, -1)) == [3]
    pictures.add_unscored(_frame(5))
    pictures.forget_pending()
    now_s = 20.0
    assert pictures.add_scored(_frame(6, None), Observation(Withheld.FEW_FRAMES)) is None
