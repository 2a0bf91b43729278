"""Turns and batches: shares follow weights, nobody starves, nothing is left idle."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.scene.stillness import REFRESH_S
from service.infer.scheduler import (
    BATCH_S,
    LONGEST_REFRESH_S,
    MAX_BATCH,
    BatchSizes,
    FairTurns,
    ReadyCamera,
    Refreshes,
)

WEIGHTS = st.sampled_from([0.01, 0.25, 0.5, 1.0, 1.0, 2.0, 7.0, 100.0])
CAMERAS = st.text("abcdefgh", min_size=1, max_size=2)
no_hurry = settings(deadline=None, max_examples=50)
"""A busy machine makes no test fail."""


@no_hurry
@given(
    st.dictionaries(CAMERAS, st.tuples(st.sampled_from("xyz"), WEIGHTS), max_size=20),
    st.integers(1, 5),
)
def test_a_batch_is_of_one_model_and_holds_a_camera_once(
    cameras: dict[str, tuple[str, float]], limit: int
) -> None:
    turns = FairTurns()
    ready = {name: ReadyCamera(*each) for name, each in cameras.items()}
    for _ in range(30):
        batch = turns.next_batch(ready, lambda group: limit)
        assert bool(batch) == bool(ready), "any camera that is ready is served"
        assert len(set(batch)) == len(batch) <= limit
        assert len({ready[camera].group for camera in batch}) <= 1


@no_hurry
@given(st.dictionaries(CAMERAS, WEIGHTS, min_size=2, max_size=12), st.integers(1, 5), st.data())
def test_cameras_that_always_have_frames_share_by_weight(
    weights: dict[str, float], limit: int, data: st.DataObject
) -> None:
    turns = FairTurns()
    ready = {name: ReadyCamera("model", weight, waiting=9) for name, weight in weights.items()}
    warm_up, length = data.draw(st.integers(0, 50)), data.draw(st.integers(1, 400))
    for _ in range(warm_up):
        turns.next_batch(ready, lambda group: limit)
    served: Counter[str] = Counter()
    for _ in range(length):
        served.update(turns.next_batch(ready, lambda group: limit))
    # The bound of start-time fair queueing, over any stretch of time.
    for one, its in weights.items():
        for other, others in weights.items():
            apart = abs(served[one] / its - served[other] / others)
            assert apart <= 1 / its + 1 / others + 1e-6


@no_hurry
@given(
    st.dictionaries(CAMERAS, st.tuples(st.sampled_from("xy"), WEIGHTS), min_size=2, max_size=12),
    st.integers(1, 5),
)
def test_with_models_that_differ_nobody_is_a_batch_too_late(
    cameras: dict[str, tuple[str, float]], limit: int
) -> None:
    turns = FairTurns()
    ready = {name: ReadyCamera(*each, waiting=9) for name, each in cameras.items()}
    served: Counter[str] = Counter()
    for _ in range(300):
        served.update(turns.next_batch(ready, lambda group: limit))
    for one, (_, its) in cameras.items():
        for other, (_, others) in cameras.items():
            apart = abs(served[one] / its - served[other] / others)
            assert apart <= 2 / its + 2 / others + 1e-6


def test_equal_cameras_take_turns() -> None:
    turns = FairTurns()
    ready = {name: ReadyCamera("model") for name in "abc"}
    order = [turns.next_batch(ready, lambda group: 1)[0] for _ in range(6)]
    assert order == ["a", "b", "c", "a", "b", "c"]


def test_who_has_no_frame_is_passed_over_and_saves_up_one_turn() -> None:
    turns = FairTurns()
    both = {"a": ReadyCamera("model"), "b": ReadyCamera("model")}
    assert turns.next_batch(both, lambda group: 1) == ["a"]
    for _ in range(50):
        assert turns.next_batch({"a": ReadyCamera("model")}, lambda group: 1) == ["a"]
    order = [turns.next_batch(both, lambda group: 1)[0] for _ in range(20)]
    assert order[0] == "b"
    assert order.count("b") <= 12, "what wasn't used isn't made up for"


def test_a_new_camera_neither_waits_nor_takes_everything() -> None:
    turns = FairTurns()
    old = {"a": ReadyCamera("model"), "b": ReadyCamera("model")}
    for _ in range(100):
        turns.next_batch(old, lambda group: 1)
    order = [
        turns.next_batch(old | {"new": ReadyCamera("model")}, lambda group: 1)[0] for _ in range(30)
    ]
    assert "new" in order[:3]
    assert order.count("new") in (10, 11)
    turns.forget("new")
    assert turns.next_batch({}, lambda group: 1) == []


@dataclass
class Crowd:
    """Cameras that deliver evenly, a worker of a known speed: time in ticks, no clock."""

    rates: Mapping[str, float]
    """Frames a tick."""
    weights: Mapping[str, float]
    frame_ticks: float
    limit: int
    max_age: float
    served: Counter[str] = field(default_factory=Counter)
    unscored: Counter[str] = field(default_factory=Counter)
    ages: list[float] = field(default_factory=list)
    scored: dict[str, list[int]] = field(default_factory=dict)
    idle: float = 0.0

    def run(self, ticks: float) -> None:
        """Live through so many ticks."""
        turns, now = FairTurns(), 0.0
        phases = {name: place / len(self.rates) for place, name in enumerate(self.rates)}
        waiting: dict[str, deque[tuple[int, float]]] = {name: deque() for name in self.rates}
        come: Counter[str] = Counter()
        while now < ticks:
            for name, rate in self.rates.items():
                while (at := (come[name] + phases[name]) / rate) <= now:
                    waiting[name].append((come[name], at))
                    come[name] += 1
                done = now + self.frame_ticks * self.limit
                while len(waiting[name]) > 1 and waiting[name][0][1] < done - self.max_age:
                    waiting[name].popleft()
                    self.unscored[name] += 1
            ready = {
                name: ReadyCamera("model", self.weights[name], len(frames))
                for name, frames in waiting.items()
                if frames
            }
            batch = turns.next_batch(ready, lambda group: self.limit)
            if not batch:
                then = min((come[name] + phases[name]) / rate for name, rate in self.rates.items())
                self.idle += then - now
                now = then
                continue
            now += self.frame_ticks * len(batch)
            for name in batch:
                number, at = waiting[name].popleft()
                self.served[name] += 1
                self.ages.append(now - at)
                self.scored.setdefault(name, []).append(number)


def _fair_shares(
    demands: Mapping[str, float], weights: Mapping[str, float], whole: float
) -> dict[str, float]:
    """What water-filling gives: the demand, or the weight's part of what is left."""
    open_, shares = set(demands), dict(demands)
    while open_:
        level = whole / sum(weights[name] for name in open_)
        content = {name for name in open_ if demands[name] <= level * weights[name]}
        if not content:
            return shares | {name: level * weights[name] for name in open_}
        open_ -= content
        whole -= sum(demands[name] for name in content)
    return shares


CROWDS = st.lists(
    st.tuples(st.sampled_from([1.0, 5.0, 10.0, 25.0]), st.sampled_from([0.5, 1.0, 1.0, 2.0, 5.0])),
    min_size=2,
    max_size=12,
)


@no_hurry
@given(CROWDS, st.sampled_from([0.4, 1.0, 1.3, 2.0, 4.0]), st.integers(1, 5))
def test_an_overloaded_worker_is_shared_by_weight_and_frames_stay_fresh(
    cameras: list[tuple[float, float]], load: float, limit: int
) -> None:
    rates = {str(place): rate for place, (rate, _) in enumerate(cameras)}
    weights = {str(place): weight for place, (_, weight) in enumerate(cameras)}
    capacity = sum(rates.values()) / load
    crowd = Crowd(rates, weights, 1 / capacity, min(limit, max(1, int(capacity / 10))), 0.5)
    ticks = 60.0
    crowd.run(ticks)
    shares = _fair_shares(rates, weights, min(capacity, sum(rates.values())))
    for name, share in shares.items():
        assert crowd.served[name] == pytest.approx(share * ticks, rel=0.08, abs=4)
    # Never older than the limit, but for a batch, and for who sends less than a frame in that time.
    slowest = max(1 / rate for rate in rates.values())
    assert max(crowd.ages) <= max(0.5, slowest) + 2 * crowd.limit / capacity + 1e-6
    if load > 1:
        assert crowd.idle < 0.02 * ticks + slowest, "work is done while there is any"
    if load < 0.5:
        assert not +crowd.unscored, "with time for all, all are scored"


def test_what_is_scored_of_an_overloaded_camera_is_evenly_spaced() -> None:
    names = [str(place) for place in range(16)]
    crowd = Crowd(dict.fromkeys(names, 10.0), dict.fromkeys(names, 1.0), 1 / 40, 4, 0.5)
    crowd.run(60.0)
    for numbers in crowd.scored.values():
        gaps = {later - earlier for earlier, later in pairwise(numbers[10:])}
        assert gaps <= {3, 4, 5}


def test_batches_grow_until_they_take_too_long() -> None:
    sizes = BatchSizes()
    assert (sizes.limit("m"), sizes.expected_s("m")) == (1, 0.0)
    sizes.learn("m", 0, 0.001)
    assert sizes.limit("m") == 1, "frames that that only warmed up teach nothing"
    for _ in range(30):
        sizes.learn("m", 1, BATCH_S / 4.5)
    assert sizes.limit("m") == 4
    assert sizes.expected_s("m") == pytest.approx(BATCH_S * 4 / 4.5)
    for _ in range(30):
        sizes.learn("m", 16, BATCH_S / 10)
    assert sizes.limit("m") == MAX_BATCH
    for _ in range(30):
        sizes.learn("m", 1, 3.0)
    assert sizes.limit("m") == 1
    for _ in range(60):
        sizes.learn("m", 0.25, BATCH_S / 4 / 4.5)
    assert sizes.limit("m") == 4, "a quarter of a picture is a quarter of a frame"
    sizes.keep_only(["other"])
    assert sizes.expected_s("m") == 0.0


def test_refreshes_become_rare_under_load_and_frequent_again() -> None:
    refreshes = Refreshes()
    unscored, now = 0, 100.0
    for _ in range(200):  # 10 s of load
        unscored, now = unscored + 1, now + 0.05
        refreshes.observe(unscored, now)
    assert refreshes.every_s == LONGEST_REFRESH_S
    for _ in range(80):  # 4 s without
        now += 0.05
        refreshes.observe(unscored, now)
    assert refreshes.every_s == LONGEST_REFRESH_S
    for _ in range(1200):  # a minute without
        now += 0.05
        refreshes.observe(unscored, now)
    assert refreshes.every_s == REFRESH_S


def test_a_camera_that_leaves_takes_its_count_along_and_is_no_load() -> None:
    refreshes = Refreshes()
    refreshes.observe(100, 1.0)
    before = refreshes.every_s
    refreshes.observe(10, 2.0)
    assert refreshes.every_s == before
