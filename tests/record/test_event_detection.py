"""What the recorder puts between scores and the event machine."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.events.event_detection import Change, DetectionState, EventRules, observe_all
from service.messages import StreamState
from service.record.detection_input import (
    from_json,
    make_rules,
    make_scored_frame,
    observe_scores,
    to_json,
)
from service.record.schedules import Schedule
from service.settings import Settings
from tests.record.rows import frame_score


def test_the_operators_rules_are_used_and_the_defaults_are_the_machines() -> None:
    assert make_rules(Settings()) == EventRules()
    settings = Settings(
        event_start_s=0.3,
        event_release=0.7,
        event_quiet_s=2.5,
        event_silence_s=4.0,
        event_merge_s=6.0,
    )
    assert make_rules(settings) == EventRules(0.3, 0.7, 2.5, 4.0, 6.0)


def test_a_score_reaches_the_machine_with_its_place_and_times() -> None:
    score = frame_score(7, 0.6, at=1000.0).model_copy(
        update={"captured_at": 990.0, "region": (0.5, 0.5, 0.6, 0.6), "cause": "standing"}
    )
    scored = make_scored_frame(score)
    assert (scored.frame, scored.score, scored.threshold) == (7, 0.6, score.threshold)
    assert (scored.captured_at, scored.scored_at) == (990.0, 1000.0)
    assert scored.region == (0.5, 0.5, 0.6, 0.6)
    assert scored.cause == "standing"


def test_a_score_of_a_warming_stream_counts_as_none() -> None:
    score = frame_score(0, 0.6).model_copy(update={"state": StreamState.WARMING})
    assert make_scored_frame(score).score is None


def test_a_score_reaches_the_machine_with_whether_its_stream_was_armed_at_its_capture() -> None:
    hours = {"days": ["thu"], "from": "00:00", "to": "00:16"}
    schedule = Schedule.model_validate({"timezone": "UTC", "hours": [hours]})
    late = frame_score(0, 0.6, at=1000.0)
    assert make_scored_frame(late).armed
    assert not make_scored_frame(late, schedule).armed
    assert make_scored_frame(late.model_copy(update={"captured_at": 959.9}), schedule).armed


def test_a_state_that_is_none_is_refused() -> None:
    assert from_json({}) == DetectionState()
    with pytest.raises(ValueError, match="quiet_s"):
        from_json({"quiet_s": "many"})


@given(
    st.lists(st.tuples(st.none() | st.sampled_from([0.1, 0.45, 0.6, 0.9]), st.booleans())),
    st.builds(
        EventRules,
        start_s=st.sampled_from([0.0, 0.2, 0.3]),
        release=st.sampled_from([0.5, 1.0]),
        quiet_s=st.sampled_from([0.0, 0.1, 0.4]),
        merge_s=st.sampled_from([0.0, 1.0]),
    ),
    st.data(),
)
def test_a_replay_from_a_saved_state_equals_one_pass(
    steps: list[tuple[float | None, bool]], machine: EventRules, data: st.DataObject
) -> None:
    now, scores = 1000.0, []
    for frame, (value, silent) in enumerate(steps):
        now += 11.0 if silent else 0.1
        scores.append(make_scored_frame(frame_score(frame, value, at=now)))
    at = data.draw(st.integers(0, len(scores)))
    whole = observe_all(DetectionState(), scores, machine)
    state, first = observe_all(DetectionState(), scores[:at], machine)
    restored = from_json(json.loads(json.dumps(to_json(state))))
    assert restored == state
    state, second = observe_all(restored, scores[at:], machine)
    assert (state, first + second) == whole


STEPS = st.tuples(
    st.none() | st.sampled_from([0.1, 0.45, 0.5, 0.9]),
    st.sampled_from([0.1, 11.0]),
    st.booleans(),
    st.sampled_from([None, 0.5]),
)
"""A score, the seconds before it, whether it is a cut, and its threshold."""


@given(st.lists(STEPS), st.integers(0, 40), st.booleans())
def test_quiet_scores_that_are_skipped_change_nothing(
    steps: list[tuple[float | None, float, bool, float | None]], cut_at: int, scheduled: bool
) -> None:
    machine = EventRules(start_s=0.1, quiet_s=0.2, merge_s=0.3)
    hours = {"days": ["thu"], "from": "00:00", "to": "00:17"}
    schedule = Schedule.model_validate({"timezone": "UTC", "hours": [hours]}) if scheduled else None
    now, scores = 1000.0, []
    for frame, (value, pause_s, is_cut, threshold) in enumerate(steps):
        now += pause_s
        score = frame_score(frame, value, at=now, threshold=threshold)
        scores.append(score.model_copy(update={"cut": is_cut}))
    state, changes = DetectionState(), list[Change]()
    for part in (scores[:cut_at], scores[cut_at:]):
        state, more = observe_scores(state, part, schedule, machine)
        changes += more
    frames = (make_scored_frame(score, schedule) for score in scores)
    assert (state, tuple(changes)) == observe_all(DetectionState(), frames, machine)
