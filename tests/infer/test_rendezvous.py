"""Who should have which camera: shares, bounds, and that only what must move does."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.infer.rendezvous import assign_cameras
from service.infer.worker_list import Members
from service.messages import WorkerStatus

CAMERAS = [f"camera-{number}" for number in range(400)]
AMPLE = {"a": 500, "b": 500, "c": 1000, "d": 2000}


def test_shares_follow_capacities() -> None:
    counts = Counter(assign_cameras(CAMERAS, AMPLE).values())
    for worker, capacity in AMPLE.items():
        expected = 400 * capacity / 4000
        assert abs(counts[worker] - expected) < 4 * expected**0.5


@pytest.mark.parametrize("lost", AMPLE)
def test_only_a_lost_worker_s_cameras_move_and_a_new_one_takes_only_its_own(lost: str) -> None:
    rest = {worker: capacity for worker, capacity in AMPLE.items() if worker != lost}
    with_it, without = assign_cameras(CAMERAS, AMPLE), assign_cameras(CAMERAS, rest)
    moved = {camera for camera in CAMERAS if with_it[camera] != without[camera]}
    assert moved == {camera for camera in CAMERAS if with_it[camera] == lost}
    assert moved, "the share of a worker"


@given(
    st.integers(0, 60),
    st.dictionaries(st.text("wxyz", min_size=1), st.integers(1, 30), max_size=5),
)
def test_nobody_has_more_than_it_takes_and_all_that_can_be_is_placed(
    cameras: int, capacities: dict[str, int]
) -> None:
    owners = assign_cameras(CAMERAS[:cameras], capacities)
    counts = Counter(owners.values())
    assert all(counts[worker] <= capacities[worker] for worker in counts)
    assert len(owners) == min(cameras, sum(capacities.values()))


@given(st.sets(st.sampled_from(CAMERAS[:40])), st.permutations(["a", "b", "c"]))
def test_the_order_of_things_does_not_matter(cameras: set[str], order: list[str]) -> None:
    room = {"a": 7, "b": 20, "c": 9}
    once = assign_cameras(sorted(cameras), room)
    assert once == assign_cameras(reversed(sorted(cameras)), {key: room[key] for key in order})


def beat(worker_id: str, seen_at: float, capacity: int = 5) -> WorkerStatus:
    return WorkerStatus(
        id=worker_id,
        started_at=0.0,
        seen_at=seen_at,
        streams=0,
        capacity=capacity,
        device="cpu",
        models=["m"],
    )


def test_members_come_and_go_by_their_heartbeats_whatever_their_clocks_say() -> None:
    members = Members("me", 9, silence_s=2.0, settled_s=3.0)
    for number in range(9):
        members.see(
            [beat("me", 0.0), beat("late", 5000.0 + number), beat("dead", 77.0)], number / 2
        )
    assert members.capacities(4.0) == {"me": 9, "late": 5}
    assert members.may_be_given("late", "m", 4.0)
    assert not members.may_be_given("late", "another", 4.0), "it hasn't loaded that"
    assert not members.may_be_given("dead", "m", 4.0)
    assert not members.may_be_given("me", "m", 4.0)
    members.see([], 4.5)
    assert members.capacities(4.5) == {"me": 9}


def test_a_worker_that_was_silent_is_settled_only_after_a_while() -> None:
    members = Members("me", 9, silence_s=2.0, settled_s=3.0)
    for at in (0.0, 1.0, 2.0, 3.0):
        members.see([beat("other", at)], at)
    assert members.may_be_given("other", "m", 3.0)
    members.see([beat("other", 3.0)], 5.5)
    assert members.capacities(5.5) == {"me": 9}
    for at in (6.0, 7.0, 8.0):
        members.see([beat("other", at)], at)
        assert members.capacities(at) == {"me": 9, "other": 5}
        assert not members.may_be_given("other", "m", at)
    members.see([beat("other", 9.0)], 9.0)
    assert members.may_be_given("other", "m", 9.0)
