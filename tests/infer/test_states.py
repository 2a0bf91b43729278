"""The machine of a stream's life alone: no threads, no clock."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.capture.camera import CaptureState
from service.infer.states import LEAST_STAY_S, UNWATCHED, Change, Facts, Life, step
from service.messages import StreamState

PLAYING, LIVE = CaptureState.PLAYING, StreamState.LIVE


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        (Facts(), StreamState.CONNECTING, ""),
        (Facts(paused=True, failure="x", source=PLAYING), StreamState.PAUSED, ""),
        (Facts(failure="no such model"), StreamState.FAILED, "no such model"),
        (Facts(loaded=False), StreamState.CONNECTING, "the model is loading"),
        (Facts(source=CaptureState.CONNECTING), StreamState.CONNECTING, ""),
        (Facts(source=PLAYING), StreamState.WARMING, ""),
        (Facts(source=PLAYING, warming=False), LIVE, ""),
        (Facts(source=PLAYING, warming=False, overload="slow"), LIVE, "slow"),
        (
            Facts(source=PLAYING, obscured="covered", overload="slow"),
            StreamState.OBSCURED,
            "covered",
        ),
        (Facts(source=CaptureState.STALLED, source_reason="x"), StreamState.STALLED, "x"),
        (Facts(source=CaptureState.FROZEN, source_reason="x"), StreamState.FROZEN, "x"),
        (
            Facts(source=CaptureState.DOWN, source_reason="off", overload="y"),
            StreamState.DOWN,
            "off",
        ),
        (Facts(source=CaptureState.FAILED, source_reason="gone"), StreamState.FAILED, "gone"),
        (Facts(source=CaptureState.DOWN, waiting=True, warming=False), LIVE, ""),
        (Facts(source=CaptureState.DOWN, obscured="covered"), StreamState.DOWN, ""),
        (Facts(source=CaptureState.ENDED, waiting=True, warming=False), LIVE, ""),
        (Facts(source=CaptureState.ENDED), StreamState.ENDED, ""),
        (Facts(ended=True), StreamState.ENDED, ""),
    ],
)
def test_a_state_follows_from_the_facts(facts: Facts, state: StreamState, reason: str) -> None:
    after, changes = step(Life(), facts, 100.0)
    assert after == Life(state, reason, 100.0)
    assert changes == (Change(StreamState.PENDING, after),)


def test_a_reason_changes_without_a_change_of_state() -> None:
    life = Life(StreamState.DOWN, "refused", 5.0)
    facts = Facts(source=CaptureState.DOWN, source_reason="no answer")
    assert step(life, facts, 90.0) == (Life(StreamState.DOWN, "no answer", 5.0), ())


@pytest.mark.parametrize("state", sorted(UNWATCHED))
def test_a_new_attempt_is_no_news_where_nothing_was_changed(state: StreamState) -> None:
    life = Life(state, "why", 5.0)
    for facts in (Facts(), Facts(source=CaptureState.CONNECTING), Facts(loaded=False)):
        assert step(life, facts, 90.0)[0].state is StreamState.CONNECTING
        assert step(life, replace(facts, retried=True), 90.0) == (life, ())
    assert step(life, Facts(source=PLAYING, retried=True), 90.0)[0].state is StreamState.WARMING


def test_a_flicker_is_told_only_a_few_times_a_second() -> None:
    live, warming = Facts(source=PLAYING, warming=False), Facts(source=PLAYING)
    life = Life()
    told: list[Change] = []
    for number in range(1000):
        life, changes = step(life, warming if number % 2 else live, number / 100)
        told += changes
    assert 10.0 / LEAST_STAY_S / 2 <= len(told) <= 10.0 / LEAST_STAY_S + 1


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    life = Life(LIVE, "", 1000.0)
    after, _ = step(life, Facts(source=CaptureState.DOWN), 400.0)
    assert (after.state, after.since) == (StreamState.DOWN, 400.0)


@given(
    st.lists(
        st.builds(
            Facts,
            paused=st.booleans(),
            failure=st.sampled_from(["", "x"]),
            source=st.sampled_from([None, *CaptureState]),
            waiting=st.booleans(),
            warming=st.booleans(),
            obscured=st.sampled_from(["", "x"]),
            retried=st.booleans(),
        )
    )
)
def test_changes_join_up_and_tell_the_whole_story(story: list[Facts]) -> None:
    life = Life()
    told: list[Change] = []
    for number, facts in enumerate(story):
        life, changes = step(life, facts, float(number + 1))
        told += changes
        assert not changes or changes[-1].after == life
    for one, next_one in pairwise(told):
        assert one.after.state is next_one.before
        assert one.after.since < next_one.after.since
    assert all(change.before is not change.after.state for change in told)
    assert life.state is (told[-1].after.state if told else StreamState.PENDING)
