"""The state machine from scores to events."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.events.event_detection import (
    Change,
    DetectionState,
    EventEnded,
    EventRules,
    EventStarted,
    ScoredFrame,
    close,
    observe_all,
)
from model.scoring.cause import Cause

RULES = EventRules(start_s=0.2, release=0.8, quiet_s=0.2, silence_s=10.0)
THRESHOLD = 0.5
LOW, MIDDLE, HIGH = 0.1, 0.45, 0.6  # the release is 0.4


def _make_frame(
    frame: int, value: float | None, *, at: float | None = None, threshold: float | None = THRESHOLD
) -> ScoredFrame:
    at_s = 1000.0 + 0.1 * frame if at is None else at
    return ScoredFrame(frame, at_s, at_s, value, threshold)


def _observe_values(*values: float | None) -> tuple[DetectionState, tuple[Change, ...]]:
    scores = [_make_frame(frame, value) for frame, value in enumerate(values)]
    return observe_all(DetectionState(), scores, RULES)


def test_an_event_starts_at_the_first_of_enough_high_frames() -> None:
    state, changes = _observe_values(LOW, HIGH, HIGH)
    assert changes == ()
    assert not state.is_open
    state, changes = _observe_values(LOW, HIGH, HIGH, HIGH)
    (started,) = changes
    assert isinstance(started, EventStarted)
    assert (started.event.first_frame, started.event.last_frame) == (1, 3)
    assert started.event.started_at == pytest.approx(1000.1)
    assert state.is_open


def test_a_score_exactly_at_the_threshold_counts() -> None:
    assert len(_observe_values(0.5, 0.5, 0.5)[1]) == 1


HOUR_S = 3600.0


def _make_captured(frame: int, at: float, value: float | None, *, cut: bool = False) -> ScoredFrame:
    """Scored ten a second, whenever it was captured."""
    scored = _make_frame(frame, value)
    return replace(scored, captured_at=at, cut=cut)


@pytest.mark.parametrize("jump_s", [HOUR_S, 10.2, -HOUR_S, -0.5])
def test_an_event_ends_at_the_last_frame_before_a_jump_of_the_capture_time(jump_s: float) -> None:
    before = [_make_captured(frame, 0.1 * frame, HIGH) for frame in range(5)]
    there = 0.4 + jump_s
    after = [_make_captured(5, there, None, cut=True)]
    after += [_make_captured(6 + step, there + 0.1 + 0.1 * step, HIGH) for step in range(5)]
    for rules in (RULES, replace(RULES, merge_s=2 * HOUR_S)):
        state, changes = observe_all(DetectionState(), before + after, rules)
        first, ended, second = changes
        assert isinstance(first, EventStarted) and isinstance(second, EventStarted)
        assert isinstance(ended, EventEnded)
        assert (ended.event.first_frame, ended.event.last_frame) == (0, 4)
        assert (ended.event.started_at, ended.event.last_at) == (0.0, pytest.approx(0.4))
        assert second.event.first_frame == 6
        assert second.event.started_at == pytest.approx(there + 0.1)
        assert state.is_open


def test_a_rise_is_not_continued_over_a_jump() -> None:
    scores = [_make_captured(0, 0.0, HIGH), _make_captured(1, 0.1, HIGH)]
    scores += [_make_captured(2, HOUR_S, HIGH, cut=True), _make_captured(3, HOUR_S + 0.1, HIGH)]
    state, changes = observe_all(DetectionState(), scores, RULES)
    assert changes == ()
    assert (state.is_open, state.event and state.event.first_frame) == (False, 2)


def test_a_short_cut_and_usual_gaps_end_nothing() -> None:
    for cut, gap_s in ((True, 5.0), (False, 60.0)):
        scores = [_make_captured(frame, gap_s * frame, HIGH, cut=cut) for frame in range(5)]
        assert len(observe_all(DetectionState(), scores, RULES)[1]) == 1


def test_a_low_frame_in_between_starts_the_count_again() -> None:
    assert _observe_values(HIGH, HIGH, MIDDLE, HIGH, HIGH)[1] == ()


def test_frames_without_a_score_neither_start_nor_feed_an_event() -> None:
    assert _observe_values(HIGH, HIGH, None, HIGH)[1] == ()
    assert _observe_values(*[None] * 20)[1] == ()
    scores = [_make_frame(frame, HIGH, threshold=None) for frame in range(9)]
    assert observe_all(DetectionState(), scores, RULES)[1] == ()


def test_an_open_event_outlasts_a_short_warm_up() -> None:
    state, changes = _observe_values(HIGH, HIGH, HIGH, None, None, None, HIGH)
    assert len(changes) == 1
    assert state.event is not None
    assert state.event.last_frame == 6


def test_an_event_goes_on_above_the_release_and_ends_after_enough_quiet() -> None:
    state, changes = _observe_values(HIGH, HIGH, HIGH, MIDDLE, LOW, MIDDLE, LOW)
    assert len(changes) == 1
    assert state.is_open
    state, changes = _observe_values(HIGH, HIGH, HIGH, MIDDLE, LOW, MIDDLE, LOW, LOW)
    assert isinstance(changes[1], EventEnded)
    assert changes[1].event.last_frame == 5
    assert not state.is_open


def test_the_peak_is_kept_with_its_frame_region_and_cause() -> None:
    scores = [_make_frame(i, value) for i, value in enumerate([0.6, 0.9, 0.7, 0.8])]
    scores[1] = replace(scores[1], region=(0.5, 0.5, 0.6, 0.6), cause=Cause.STANDING)
    state, _ = observe_all(DetectionState(), scores, RULES)
    assert state.event is not None
    assert (state.event.peak_score, state.event.peak_frame) == (0.9, 1)
    assert state.event.region == (0.5, 0.5, 0.6, 0.6)
    assert state.event.cause is Cause.STANDING


def test_a_silence_between_scores_ends_the_event_before_the_next_frame() -> None:
    scores = [_make_frame(frame, HIGH) for frame in range(3)]
    scores += [_make_frame(frame, HIGH, at=2000.0 + frame) for frame in range(3, 6)]
    state, changes = observe_all(DetectionState(), scores, RULES)
    assert [type(change) for change in changes] == [EventStarted, EventEnded, EventStarted]
    assert (changes[1].event.last_frame, changes[2].event.first_frame) == (2, 3)
    assert state.is_open


def test_an_event_of_frames_with_falling_times_does_not_end_before_it_starts() -> None:
    scores = [_make_frame(frame, HIGH) for frame in range(3)]
    scores += [_make_captured(frame, 1000.0 - frame, HIGH) for frame in range(3, 8)]
    state, _ = observe_all(DetectionState(), scores, RULES)
    _, (ended,) = close(state)
    assert (ended.event.first_frame, ended.event.last_frame) == (0, 7)
    assert (ended.event.started_at, ended.event.last_at) == (1000.0, pytest.approx(1000.2))


def test_closing_ends_what_is_open_and_forgets_what_was_rising() -> None:
    state, changes = close(_observe_values(HIGH, HIGH, HIGH)[0])
    assert [type(change) for change in changes] == [EventEnded]
    assert not state.is_open
    state, changes = close(_observe_values(HIGH, HIGH)[0])
    assert changes == ()
    assert observe_all(state, [_make_frame(2, HIGH)], RULES)[1] == ()


def test_a_negative_threshold_can_be_met() -> None:
    scores = [_make_frame(frame, -0.5, threshold=-0.5) for frame in range(9)]
    state, changes = observe_all(DetectionState(), scores, RULES)
    assert len(changes) == 1
    assert state.is_open


MERGING = replace(RULES, merge_s=1.0)


def _observe_merging(values: list[float | None]) -> tuple[DetectionState, tuple[Change, ...]]:
    scores = [_make_frame(frame, value) for frame, value in enumerate(values)]
    return observe_all(DetectionState(), scores, MERGING)


def test_what_begins_soon_after_an_event_is_the_same_event() -> None:
    state, changes = _observe_merging([HIGH] * 3 + [LOW] * 8 + [0.9] * 3)
    assert [type(change) for change in changes] == [EventStarted]
    assert state.is_open
    assert state.reported is not None
    assert (state.reported.first_frame, state.reported.last_frame) == (0, 13)
    assert (state.reported.peak_score, state.reported.peak_frame) == (0.9, 11)
    assert state.reported.started_at == 1000.0
    assert state.reported.last_at == pytest.approx(1001.3)


def test_an_end_is_reported_when_nothing_can_merge_with_it_any_more() -> None:
    state, changes = _observe_merging([HIGH] * 3 + [LOW] * 9)
    assert [type(change) for change in changes] == [EventStarted]
    assert (state.is_open, state.reported is not None) == (False, True)
    state, changes = _observe_merging([HIGH] * 3 + [LOW] * 10)
    assert [type(change) for change in changes] == [EventStarted, EventEnded]
    assert changes[1].event.last_frame == 2
    assert state.reported is None


def test_frames_without_a_score_let_the_time_for_merging_pass() -> None:
    _, changes = _observe_merging([HIGH] * 3 + [LOW] * 2 + [None] * 8)
    assert [type(change) for change in changes] == [EventStarted, EventEnded]


def test_a_run_that_begins_in_time_may_be_long_enough_later() -> None:
    run = [HIGH] * 3 + [LOW] * 8
    assert len(_observe_merging(run + [HIGH] * 2)[1]) == 1
    assert len(_observe_merging([*run, HIGH, HIGH, HIGH])[1]) == 1
    broken = _observe_merging([*run, HIGH, HIGH, LOW])[1]
    assert [type(change) for change in broken] == [EventStarted, EventEnded]
    late = _observe_merging([*run, LOW, HIGH, HIGH, HIGH])[1]
    assert [type(change) for change in late] == [EventStarted, EventEnded, EventStarted]


def test_a_waiting_end_is_reported_in_a_silence_and_when_the_clock_is_set_back() -> None:
    fading, _ = _observe_merging([HIGH] * 3 + [LOW] * 4)
    assert [type(change) for change in close(fading)[1]] == [EventEnded]
    for late in (_make_frame(7, HIGH, at=2000.0), replace(_make_frame(7, HIGH), captured_at=900.0)):
        state, changes = observe_all(fading, [late], MERGING)
        assert [type(change) for change in changes] == [EventEnded]
        assert (state.reported, state.event and state.event.first_frame) == (None, 7)


def test_an_open_event_ends_when_the_stream_is_disarmed_and_none_starts() -> None:
    scores = [_make_frame(frame, HIGH) for frame in range(30)]
    armed = [replace(each, armed=not 5 <= each.frame < 20) for each in scores]
    state, changes = observe_all(DetectionState(), armed, MERGING)
    assert [type(change) for change in changes] == [EventStarted, EventEnded, EventStarted]
    assert [change.event.first_frame for change in changes] == [0, 0, 20]
    assert changes[1].event.last_frame == 4
    assert state.is_open
    off = [replace(each, armed=False) for each in scores]
    assert observe_all(DetectionState(), off, RULES) == (DetectionState(), ())


_VALUES = st.none() | st.sampled_from([LOW, MIDDLE, HIGH, 0.9])
_STEPS = st.lists(st.tuples(_VALUES, st.sampled_from([0.1, 0.1, 0.1, 11.0])), max_size=60)
_RULES = st.builds(
    EventRules,
    start_s=st.sampled_from([0.0, 0.1, 0.2, 0.3, 15.0]),
    release=st.sampled_from([0.5, 0.8, 1.0]),
    quiet_s=st.sampled_from([0.0, 0.1, 0.2, 0.4, 15.0]),
    silence_s=st.just(10.0),
    merge_s=st.sampled_from([0.0, 0.0, 0.35, 2.0, 30.0]),
)


def _draw_scores(steps: list[tuple[float | None, float]]) -> list[ScoredFrame]:
    now, scores = 1000.0, []
    for frame, (value, gap_s) in enumerate(steps):
        now += gap_s
        scores.append(_make_frame(frame, value, at=now))
    return scores


@given(_STEPS, _RULES)
def test_starts_and_ends_alternate_and_no_two_events_overlap(
    steps: list[tuple[float | None, float]], rules: EventRules
) -> None:
    state, changes = observe_all(DetectionState(), _draw_scores(steps), rules)
    kinds = [type(change) for change in changes]
    assert kinds == [EventStarted, EventEnded] * (len(kinds) // 2) + (
        [EventStarted] if state.reported else []
    )
    for started, ended in zip(changes[::2], changes[1::2], strict=False):
        assert started.event.first_frame == ended.event.first_frame
        assert started.event.last_frame <= ended.event.last_frame
        assert started.event.peak_score <= ended.event.peak_score
    starts = [change.event.first_frame for change in changes[::2]]
    ends = [change.event.last_frame for change in changes[1::2]]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))


@given(_STEPS, _RULES)
def test_an_event_starts_exactly_where_scores_were_high_for_long_enough(
    steps: list[tuple[float | None, float]], rules: EventRules
) -> None:
    """Compared with a search over all stretches, written without the machine."""
    never_silent = replace(rules, silence_s=1e9)
    scores = _draw_scores(steps)
    is_high = [each.score is not None and each.score >= THRESHOLD for each in scores]
    expected = next(
        (
            (first, last)
            for last in range(len(scores))
            for first in range(last)
            if all(is_high[first : last + 1])
            and scores[last].captured_at - scores[first].captured_at > rules.start_s - 0.01
        ),
        None,
    )
    _, changes = observe_all(DetectionState(), scores, never_silent)
    event = changes[0].event if changes else None
    assert (event and (event.first_frame, event.last_frame)) == expected


@pytest.mark.parametrize(
    ("fps", "start_frames", "quiet_frames"),
    [(0.5, 2, 1), (1, 2, 2), (5, 3, 10), (8, 4, 16), (10, 5, 20), (25, 10, 50), (30, 12, 60)],
)
def test_the_service_s_rules_last_as_long_at_each_frame_rate(
    fps: float, start_frames: int, quiet_frames: int
) -> None:
    values = [HIGH] * start_frames + [LOW] * quiet_frames
    scores = [_make_frame(i, value, at=1e9 + i / fps) for i, value in enumerate(values)]
    for count, kinds in (
        (start_frames - 1, []),
        (start_frames, [EventStarted]),
        (len(scores) - 1, [EventStarted]),
        (len(scores), [EventStarted, EventEnded]),
    ):
        _, changes = observe_all(DetectionState(), scores[:count], EventRules())
        assert [type(change) for change in changes] == kinds


def test_a_single_high_frame_of_a_slow_camera_is_no_event() -> None:
    scores = [_make_frame(i, HIGH if i == 3 else LOW, at=1000.0 + 5 * i) for i in range(9)]
    assert observe_all(DetectionState(), scores, EventRules())[1] == ()


def test_pictures_uploaded_all_at_once_make_an_event() -> None:
    values = [LOW] * 5 + [HIGH] * 30 + [LOW] * 130
    scores = [_make_frame(frame, value, at=1000.0) for frame, value in enumerate(values)]
    _, changes = observe_all(DetectionState(), scores, EventRules())
    assert [type(change) for change in changes] == [EventStarted, EventEnded]
    assert (changes[1].event.first_frame, changes[1].event.last_frame) == (5, 34)


def test_time_without_scores_is_not_quiet() -> None:
    values = [HIGH] * 3 + [LOW] + [None] * 50 + [HIGH]
    state, changes = _observe_values(*values)
    assert [type(change) for change in changes] == [EventStarted]
    assert state.event is not None
    assert state.event.last_frame == 54


def test_a_clock_set_back_neither_ends_an_event_nor_keeps_it_open() -> None:
    scores = [_make_frame(frame, HIGH) for frame in range(3)]
    scores += [_make_captured(3 + i, 500.0 + 0.1 * i, LOW) for i in range(3)]
    for count, kinds in ((5, [EventStarted]), (6, [EventStarted, EventEnded])):
        _, changes = observe_all(DetectionState(), scores[:count], RULES)
        assert [type(change) for change in changes] == kinds


@given(_STEPS, _RULES)
def test_merging_joins_what_would_be_events_of_their_own(
    steps: list[tuple[float | None, float]], rules: EventRules
) -> None:
    """Compared with the events that there are without it, joined one after the other."""
    scores = _draw_scores(steps)
    silent = _find_silent_frames(scores)
    joined: list[tuple[int, int, float]] = []
    for first, last, peak in _collect_events(scores, replace(rules, merge_s=0.0)):
        if joined:
            begun, before, highest = joined[-1]
            pause_s = scores[first].captured_at - scores[before].captured_at
            if pause_s < rules.merge_s and silent.isdisjoint(range(before + 1, first + 1)):
                joined[-1] = (begun, last, max(highest, peak))
                continue
        joined.append((first, last, peak))
    assert _collect_events(scores, rules) == joined


def _find_silent_frames(scores: list[ScoredFrame]) -> set[int]:
    """Frames that come more than 10 s after the newest one with a score."""
    found: set[int] = set()
    last_at = math.inf
    for each in scores:
        if each.scored_at - last_at > 10.0:
            found.add(each.frame)
        if each.score is not None:
            last_at = each.scored_at
    return found


def _collect_events(scores: list[ScoredFrame], rules: EventRules) -> list[tuple[int, int, float]]:
    """First and last frame and peak of all events, the last of which ends with the scores."""
    state, changes = observe_all(DetectionState(), scores, rules)
    ends = [each for each in changes + close(state)[1] if isinstance(each, EventEnded)]
    return [(e.event.first_frame, e.event.last_frame, e.event.peak_score) for e in ends]
