"""The pure machine that says when an outage is reported."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.messages import MODEL_LOADING, StreamState
from service.record.outages import (
    LOADING_S,
    ObservedState,
    Outage,
    OutageChange,
    OutageEnded,
    OutageRules,
    OutageStarted,
    observe_state,
)

RULES = OutageRules(down_after_s=15.0, recovered_after_s=5.0)
NOT_WATCHED = [
    StreamState.STALLED,
    StreamState.FROZEN,
    StreamState.OBSCURED,
    StreamState.MISFIT,
    StreamState.DOWN,
    StreamState.FAILED,
    StreamState.PENDING,
    StreamState.CONNECTING,
]


def _observe(
    states: Iterable[tuple[float, StreamState]], outage: Outage | None = None
) -> tuple[list[tuple[float, OutageChange]], Outage | None]:
    """Return what is reported when, of a stream that is found so at these times."""
    found: list[tuple[float, OutageChange]] = []
    for at, state in states:
        outage, changes = observe_state(outage, ObservedState(state, f"why {state}"), at, RULES)
        found += [(at, each) for each in changes]
    return found, outage


def _every_second(states: str, letters: dict[str, StreamState]) -> list[tuple[float, StreamState]]:
    return [(float(second), letters[letter]) for second, letter in enumerate(states)]


LETTERS = {"l": StreamState.LIVE, "d": StreamState.DOWN, "w": StreamState.WARMING}
STATES = LETTERS | {"p": StreamState.PAUSED, "c": StreamState.CONNECTING, "e": StreamState.ENDED}


def test_a_camera_without_a_model_is_down_only_while_its_picture_is_away() -> None:
    letters = STATES | {"n": StreamState.LEARNING}
    found, outage = _observe(_every_second("n" * 60, letters))
    assert (found, outage) == ([], None)
    found, outage = _observe(_every_second("n" * 5 + "d" * 30 + "n" * 10, letters))
    assert [type(change) for _, change in found] == [OutageStarted, OutageEnded]
    assert outage is None


@pytest.mark.parametrize("state", NOT_WATCHED)
def test_an_outage_is_reported_once_and_so_is_its_end(state: StreamState) -> None:
    states = [(float(at), state) for at in range(40)]
    states += [(float(at), StreamState.WARMING) for at in range(40, 43)]
    states += [(float(at), StreamState.LIVE) for at in range(43, 100)]
    found, outage = _observe(states)
    (down_at, down), (recovered_at, recovered) = found
    assert isinstance(down, OutageStarted)
    assert (down_at, down.outage.state, down.outage.reason) == (15.0, state, f"why {state}")
    assert isinstance(recovered, OutageEnded)
    assert (recovered_at, recovered.watched_at, recovered.down_for_s) == (45.0, 40.0, 40.0)
    assert recovered.observed.state is StreamState.LIVE
    assert outage is None


def test_a_model_that_loads_is_no_outage_unless_it_takes_too_long() -> None:
    outage, reported = None, []
    for second in range(150):
        observed = ObservedState(StreamState.CONNECTING, MODEL_LOADING)
        outage, now_reported = observe_state(outage, observed, float(second), RULES)
        reported += [second] * len(now_reported)
    assert reported == [LOADING_S]
    outage = None
    for second, state in enumerate([StreamState.CONNECTING] * 20 + [StreamState.DOWN]):
        observed = ObservedState(
            state, MODEL_LOADING if state is StreamState.CONNECTING else "no answer"
        )
        outage, now_reported = observe_state(outage, observed, float(second), RULES)
    assert [type(each) for each in now_reported] == [OutageStarted], (
        "what is wrong then counts from the start"
    )


def test_a_blip_is_not_reported() -> None:
    assert _observe(_every_second("l" * 5 + "d" * 14 + "l" * 30 + "d" * 14 + "l" * 9, STATES)) == (
        [],
        None,
    )


def test_a_stream_that_comes_and_goes_is_one_outage() -> None:
    found, outage = _observe(_every_second("dddlll" * 20 + "l" * 10, STATES))
    assert [type(each) for _, each in found] == [OutageStarted, OutageEnded]
    assert [at for at, _ in found] == [18.0, 122.0]
    assert outage is None


@pytest.mark.parametrize("end", ["p", "e"])
def test_what_is_meant_to_stand_still_ends_an_outage_without_a_word(end: str) -> None:
    found, outage = _observe(_every_second("d" * 20 + end * 20 + "l" * 20, STATES))
    assert [type(each) for _, each in found] == [OutageStarted]
    assert outage is None


def test_attempts_to_connect_dont_hide_what_is_wrong() -> None:
    found, _ = _observe(_every_second("ddcdccdcccccdcccccc", STATES))
    ((_, down),) = found
    assert (down.outage.state, down.outage.reason) == (StreamState.DOWN, "why down")


def test_an_outage_that_was_over_before_the_next_round_is_reported_as_over() -> None:
    states = [(0.0, StreamState.DOWN), (15.0, StreamState.DOWN), (20.0, StreamState.LIVE)]
    found, outage = _observe([*states, (3600.0, StreamState.STALLED)])
    assert [type(each) for _, each in found] == [OutageStarted, OutageEnded]
    assert outage == Outage(3600.0, StreamState.STALLED, "why stalled")


def test_an_outage_begins_when_it_began_and_not_when_it_was_found() -> None:
    outage, changes = observe_state(
        None, ObservedState(StreamState.PENDING, "gone", since=85.0), 100.0, RULES
    )
    assert outage == Outage(85.0, StreamState.PENDING, "gone", notified=True)
    assert [type(each) for each in changes] == [OutageStarted]


def test_a_clock_that_is_set_back_delays_nothing() -> None:
    states = [(1000.0, StreamState.DOWN), (10.0, StreamState.DOWN), (25.0, StreamState.DOWN)]
    found, _ = _observe(states)
    assert [at for at, _ in found] == [25.0]


@given(st.text(alphabet="ldwpce", max_size=200))
def test_downs_and_recoveries_take_turns(states: str) -> None:
    found, outage = _observe(_every_second(states, STATES))
    kinds = [type(each) for _, each in found]
    # What is paused meanwhile may be reported down again without a recovery.
    for first, second in pairwise(kinds):
        assert (first, second) != (OutageEnded, OutageEnded)
    assert not kinds or kinds[0] is OutageStarted
    if kinds and outage is not None and outage.notified:
        assert kinds[-1] is OutageStarted
