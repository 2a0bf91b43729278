"""Rounds that go on when one of them fails."""

from __future__ import annotations

import threading

import pytest
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy.exc import OperationalError

from service.rounds import MAX_BACKOFF_S, run_rounds


class Recording(threading.Event):
    """A stop event that notes how long it was waited on, and doesn't wait."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self._rounds = rounds

    def wait(self, timeout: float | None = None) -> bool:
        """Stop after so many rounds."""
        self.pauses.append(timeout or 0.0)
        if len(self.pauses) == self._rounds:
            self.set()
        return self.is_set()


@pytest.mark.parametrize(
    "error", [RedisAway("away"), OperationalError("SELECT", {}, OSError("x")), KeyError("bug")]
)
def test_failures_are_counted_and_followed_by_longer_pauses_up_to_a_limit(
    error: Exception,
) -> None:
    counted: list[None] = []

    def fails() -> bool:
        raise error

    stop = Recording(8)
    run_rounds(fails, stop, name="work", every_s=0.1, on_failure=lambda: counted.append(None))
    assert len(counted) == 8
    assert stop.pauses[0] < 0.3
    assert MAX_BACKOFF_S / 2 <= stop.pauses[-1] <= MAX_BACKOFF_S


def test_a_round_that_succeeds_brings_the_usual_pause_back() -> None:
    outcomes = iter([None, None, False, True, False])

    def work() -> bool:
        outcome = next(outcomes)
        if outcome is None:
            raise RedisAway("away")
        return outcome

    stop = Recording(5)
    run_rounds(work, stop, name="work", every_s=0.1, on_failure=lambda: None)
    assert stop.pauses[2:] == [0.1, 0.0, 0.1]
