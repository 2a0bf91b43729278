"""What the recorder puts between scores and the event machine."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.events import Detection, EventRules, observe_all
from service.messages import StreamState
from service.record.events import from_json, rules, scored_frame, to_json
from service.record.schedules import Schedule
from service.settings import Settings
from tests.record.rows import frame_score


def test_the_operators_rules_are_taken_and_the_defaults_are_the_machines() -> None:
    assert rules(Settings()) == EventRules()
    settings = Settings(
        event_min_frames=3,
        event_release=0.7,
        event_quiet_frames=2,
        event_silence_s=4.0,
        event_merge_s=6.0,
    )
    assert rules(settings) == EventRules(3, 0.7, 2, 4.0, 6.0)


def test_a_score_reaches_the_machine_with_its_place_and_times() -> None:
    score = frame_score(7, 0.6, at=1000.0).model_copy(
        update={"captured_at": 990.0, "region": (0.5, 0.5, 0.6, 0.6)}
    )
    scored = scored_frame(score)
    assert (scored.frame, scored.score, scored.threshold) == (7, 0.6, score.threshold)
    assert (scored.captured_at, scored.scored_at) == (990.0, 1000.0)
    assert scored.region == (0.5, 0.5, 0.6, 0.6)


def test_a_score_of_a_warming_stream_counts_as_none() -> None:
    score = frame_score(0, 0.6).model_copy(update={"state": StreamState.WARMING})
    assert scored_frame(score).score is None


def test_a_score_reaches_the_machine_with_whether_its_stream_was_armed_at_its_capture() -> None:
    hours = {"days": ["thu"], "from": "00:00", "to": "00:16"}
    schedule = Schedule.model_validate({"timezone": "UTC", "hours": [hours]})
    late = frame_score(0, 0.6, at=1000.0)
    assert scored_frame(late).armed
    assert not scored_frame(late, schedule).armed
    assert scored_frame(late.model_copy(update={"captured_at": 959.9}), schedule).armed


def test_a_state_that_is_none_is_refused() -> None:
    assert from_json({}) == Detection()
    with pytest.raises(ValueError, match="quiet_frames"):
        from_json({"quiet_frames": "many"})


@given(
    st.lists(st.tuples(st.none() | st.sampled_from([0.1, 0.45, 0.6, 0.9]), st.booleans())),
    st.builds(
        EventRules,
        min_frames=st.integers(1, 4),
        release=st.sampled_from([0.5, 1.0]),
        quiet_frames=st.integers(1, 4),
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
        scores.append(scored_frame(frame_score(frame, value, at=now)))
    at = data.draw(st.integers(0, len(scores)))
    whole = observe_all(Detection(), scores, machine)
    state, first = observe_all(Detection(), scores[:at], machine)
    restored = from_json(json.loads(json.dumps(to_json(state))))
    assert restored == state
    state, second = observe_all(restored, scores[at:], machine)
    assert (state, first + second) == whole
