"""The machine of a stream's life alone: no threads, no clock."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.detect.observation import Withheld
from service.capture.camera_capture import CaptureState
from service.infer import stream_life
from service.infer.stream_life import LEAST_STAY_S, UNWATCHED, Facts, Life, LifeChange, step
from service.messages import NO_MODEL, PAUSED, StreamState

PLAYING, LIVE = CaptureState.PLAYING, StreamState.LIVE


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        (Facts(), StreamState.CONNECTING, stream_life.OPENING),
        (Facts(paused=True, failure="x", source=PLAYING), StreamState.PAUSED, PAUSED),
        (Facts(failure="no such model"), StreamState.FAILED, "no such model"),
        (Facts(loaded=False), StreamState.CONNECTING, "the model is loading"),
        (Facts(source=CaptureState.CONNECTING), StreamState.CONNECTING, stream_life.CONNECTING),
        (Facts(source=PLAYING, warming="few"), StreamState.WARMING, "few"),
        (Facts(source=PLAYING, warming="few", overload="slow"), StreamState.WARMING, "few; slow"),
        (Facts(source=PLAYING, warming=""), LIVE, ""),
        (Facts(source=PLAYING, warming="", overload="slow"), LIVE, "slow"),
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
        (Facts(source=CaptureState.DOWN, waiting=True, warming=""), LIVE, ""),
        (
            Facts(source=CaptureState.DOWN, obscured="covered"),
            StreamState.DOWN,
            stream_life.UNREADABLE,
        ),
        (Facts(source=CaptureState.ENDED, waiting=True, warming=""), LIVE, ""),
        (Facts(source=CaptureState.ENDED), StreamState.ENDED, stream_life.ENDED),
        (Facts(ended=True), StreamState.ENDED, stream_life.ENDED),
        (Facts(source=PLAYING, warming="", swap="x loads"), LIVE, "x loads"),
        (Facts(source=PLAYING, warming="few", swap="x"), StreamState.WARMING, "few; x"),
        (Facts(learning=True, loaded=False, source=PLAYING), StreamState.LEARNING, NO_MODEL),
        (Facts(learning=True, loaded=False, uploaded=True), StreamState.LEARNING, NO_MODEL),
        (Facts(learning=True, loaded=False), StreamState.CONNECTING, stream_life.OPENING),
        (
            Facts(learning=True, loaded=False, source=CaptureState.FROZEN, source_reason="x"),
            StreamState.FROZEN,
            "x",
        ),
        (Facts(learning=True, paused=True, source=PLAYING), StreamState.PAUSED, PAUSED),
    ],
)
def test_a_state_follows_from_the_facts(facts: Facts, state: StreamState, reason: str) -> None:
    after, changes = step(Life(), facts, 100.0)
    assert after == Life(state, reason, 100.0)
    assert changes == (LifeChange(StreamState.PENDING, after),)


def test_every_state_without_scores_has_a_reason() -> None:
    reasons_by_state: dict[StreamState, set[str]] = {}
    names = ("warming", "obscured", "misfit", "overload")
    for learning, paused, failure, loaded, source, waiting, ended, retried, *texts in product(
        (False, True),
        (False, True),
        ("", "no such model"),
        (False, True),
        (None, *CaptureState),
        (False, True),
        (False, True),
        (False, True),
        *[("", "why")] * len(names),
    ):
        facts = Facts(
            learning=learning,
            paused=paused,
            failure=failure,
            loaded=loaded,
            source=source,
            waiting=waiting,
            ended=ended,
            retried=retried,
            **dict(zip(names, texts, strict=True)),
        )
        life, _ = step(Life(), facts, 100.0)
        reasons_by_state.setdefault(life.state, set()).add(life.reason)
    assert reasons_by_state.keys() == set(StreamState) - {StreamState.PENDING}
    assert {state for state, reasons in reasons_by_state.items() if "" in reasons} == {LIVE}
    assert Life().reason


@pytest.mark.parametrize("withheld", Withheld)
def test_every_cause_of_a_missing_score_is_a_sentence(withheld: Withheld) -> None:
    sentences = {each: stream_life.warming_reason(each, 2, 4) for each in Withheld}
    assert sentences[withheld]
    assert list(sentences.values()).count(sentences[withheld]) == 1
    assert sentences[Withheld.FEW_FRAMES] == "2 of 4 frames seen before the next score"


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


def test_a_flicker_is_logged_only_a_few_times_a_second() -> None:
    live, warming = Facts(source=PLAYING, warming=""), Facts(source=PLAYING)
    life = Life()
    logged: list[LifeChange] = []
    for number in range(1000):
        life, changes = step(life, warming if number % 2 else live, number / 100)
        logged += changes
    assert 10.0 / LEAST_STAY_S / 2 <= len(logged) <= 10.0 / LEAST_STAY_S + 1


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
            warming=st.sampled_from(["", "x"]),
            obscured=st.sampled_from(["", "x"]),
            retried=st.booleans(),
        )
    )
)
def test_changes_join_up_and_tell_the_whole_story(story: list[Facts]) -> None:
    life = Life()
    logged: list[LifeChange] = []
    for number, facts in enumerate(story):
        life, changes = step(life, facts, float(number + 1))
        logged += changes
        assert not changes or changes[-1].after == life
    for one, next_one in pairwise(logged):
        assert one.after.state is next_one.before
        assert one.after.since < next_one.after.since
    assert all(change.before is not change.after.state for change in logged)
    assert life.state is (logged[-1].after.state if logged else StreamState.PENDING)
