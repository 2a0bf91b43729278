"""The pictures of an event: when its clip is complete, and which are kept."""

from __future__ import annotations

from dataclasses import replace

from model.events.event_detection import Event
from service.media import event_pictures
from service.media.event_pictures import ClipRules, ClipState, EventPictures
from tests.media.shots import EVENT, shot

RULES = ClipRules(before_s=1.0, after_s=1.0, max_s=5.0, fps=10.0)
STARTED = Event(
    first_frame=20,
    last_frame=22,
    started_at=1002.0,
    last_at=1002.2,
    threshold=0.5,
    peak_score=0.7,
    peak_frame=21,
)
BEGUN = 50.0


def _make_pictures(rules: ClipRules = RULES) -> EventPictures:
    return EventPictures("cam", EVENT, STARTED, rules, BEGUN, BEGUN)


def _frames(made: EventPictures) -> list[int]:
    return [each.meta.frame for each in made.select_for_clip()]


def test_a_clip_is_complete_so_long_after_the_event() -> None:
    made = _make_pictures()
    for frame in range(10, 26):
        made.add(shot(frame))
    made.advance(BEGUN + 1)
    assert made.clip is ClipState.GATHERING
    made.update(replace(STARTED, last_frame=24, last_at=1002.4), ended=True, now=BEGUN + 2)
    made.advance(BEGUN + 2)
    assert made.clip is ClipState.GATHERING, "what comes after the event is still missing"
    for frame in range(26, 40):
        made.add(shot(frame))
    made.advance(BEGUN + 3)
    assert made.clip is ClipState.READY
    assert _frames(made) == list(range(10, 35))


def test_an_event_of_an_hour_has_a_clip_of_its_first_seconds() -> None:
    made = _make_pictures()
    for frame in range(10, 80):
        made.add(shot(frame))
        made.update(replace(STARTED, last_frame=frame), ended=False, now=BEGUN + frame / 10)
    made.advance(BEGUN + 1)
    assert made.clip is ClipState.READY
    assert _frames(made) == list(range(10, 71))
    made.close_clip()
    assert not made.is_over(BEGUN + 30.0), "its peak may still come"
    assert not made.make_request().clip


def test_a_clip_stops_where_the_capture_time_jumps_back() -> None:
    made = _make_pictures()
    for frame in range(10, 25):
        made.add(shot(frame))
    made.update(replace(STARTED, last_frame=24, last_at=1002.4), ended=True, now=BEGUN + 2)
    for frame in range(25, 40):
        taken = shot(frame)
        earlier = taken.meta.model_copy(update={"captured_at": taken.meta.captured_at - 3600.0})
        made.add(replace(taken, meta=earlier))
    assert _frames(made) == list(range(10, 25))


def test_a_worker_that_dies_leaves_a_shorter_clip() -> None:
    made = _make_pictures()
    made.add(shot(19))
    made.add(shot(20))
    made.update(STARTED, ended=True, now=BEGUN + 2.0)
    made.advance(BEGUN + 2.0 + RULES.after_s)
    assert made.clip is ClipState.GATHERING
    made.advance(BEGUN + 2.0 + RULES.after_s + event_pictures.GRACE_S)
    assert made.clip is ClipState.READY
    assert _frames(made) == [19, 20]


def test_an_event_that_another_front_end_records_is_dropped() -> None:
    made = _make_pictures(replace(RULES, max_s=300.0))
    made.advance(BEGUN + event_pictures.SILENT_S - 1)
    assert made.clip is ClipState.GATHERING
    made.advance(BEGUN + event_pictures.SILENT_S)
    assert made.clip is ClipState.READY
    made.close_clip()
    assert made.is_over(BEGUN + event_pictures.SILENT_S)


def test_pictures_are_bounded_with_any_times() -> None:
    made = _make_pictures()
    for frame in range(10, 500):
        made.add(shot(frame, at=7.0, image=b"jpeg"))
        made.advance(BEGUN)
    assert made.clip is ClipState.READY
    assert len(made.pictures) == RULES.max_pictures < 100
    large = _make_pictures()
    large.add(shot(20, image=bytes(event_pictures.MAX_CLIP_BYTES)))
    large.advance(BEGUN)
    assert large.clip is ClipState.READY


def test_pictures_that_come_twice_count_once() -> None:
    made = _make_pictures()
    for frame in (10, 11, 10, 11, 12):
        made.add(shot(frame))
    assert [each.meta.frame for each in made.pictures] == [10, 11, 12]
    assert made.make_request().after_frame == 12


def test_only_a_better_peak_replaces_one_and_at_most_once_a_second() -> None:
    made = _make_pictures()
    made.add(shot(21, score=0.7, peak=True))
    made.add(shot(22, score=0.6, peak=True))
    assert made.peak is not None and made.peak.meta.frame == 21
    assert made.make_request().peak_above == 0.7
    assert made.is_peak_due(BEGUN)
    made.peak, made.peak_written_at = None, BEGUN
    made.add(shot(23, score=0.9, peak=True))
    assert not made.is_peak_due(BEGUN + 0.5)
    assert made.is_peak_due(BEGUN + 1.0)
