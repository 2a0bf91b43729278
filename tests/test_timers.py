"""Timers, deadlines and pauses, driven by a clock of the test's."""

from __future__ import annotations

import math

import pytest

from service.timers import Deadline, Timer, compute_backoff_s


class FakeClock:
    """A monotonic clock that stands still between the test's steps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_timer_is_due_at_first_and_then_every_so_often() -> None:
    clock = FakeClock()
    timer = Timer(5.0, clock)
    assert timer.is_due
    assert timer.restart_if_due()
    clock.now_s += 4.9
    assert not timer.is_due
    assert not timer.restart_if_due(), "asking doesn't put it off"
    clock.now_s += 0.1
    assert timer.restart_if_due()
    clock.now_s += 4.0
    timer.restart()
    clock.now_s += 4.0
    assert not timer.is_due


def test_a_deadline_is_over_when_its_seconds_have_gone_by() -> None:
    clock = FakeClock()
    deadline = Deadline(2.0, clock)
    clock.now_s += 1.5
    assert (deadline.left_s, deadline.is_over) == (0.5, False)
    clock.now_s += 0.5
    assert (deadline.left_s, deadline.is_over) == (0.0, True)
    clock.now_s += 9.0
    assert deadline.left_s == 0.0
    assert Deadline(-math.inf, clock).is_over


@pytest.mark.parametrize(
    ("failures", "pause_s"), [(1, 0.25), (2, 0.5), (3, 1.0), (7, 10.0), (10_000, 10.0)]
)
def test_pauses_double_up_to_the_longest(failures: int, pause_s: float) -> None:
    assert compute_backoff_s(failures, first_s=0.25, longest_s=10.0) == pause_s
