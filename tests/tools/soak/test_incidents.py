"""Incidents are drawn from a seed, camera by camera, and leave time to come back."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from service.tools.soak.incidents import LEAST_QUIET_S, LEAST_S, MOST_S, CameraFault, draw_incidents

SEEDS = st.integers(0, 2**32)


@given(seed=SEEDS, cameras=st.integers(1, 8), seconds=st.floats(1.0, 2000.0))
def test_a_camera_has_one_incident_at_a_time_and_rest_between(
    seed: int, cameras: int, seconds: float
) -> None:
    drawn = draw_incidents(seed, cameras, seconds)
    assert [each.start_s for each in drawn] == sorted(each.start_s for each in drawn)
    for camera in range(cameras):
        own = [each for each in drawn if each.camera == camera]
        assert all(LEAST_S <= each.end_s - each.start_s <= MOST_S for each in own)
        assert all(later.start_s - each.end_s >= LEAST_QUIET_S for each, later in pairwise(own))
        assert all(each.start_s >= LEAST_QUIET_S for each in own)
        assert all(each.end_s + LEAST_QUIET_S <= seconds for each in own)


@given(seed=SEEDS)
def test_a_seed_gives_the_same_run_whatever_cameras_are_added(seed: int) -> None:
    few, more = draw_incidents(seed, 2, 300.0), draw_incidents(seed, 5, 300.0)
    assert few == [each for each in more if each.camera < 2]


def test_half_an_hour_of_eight_cameras_has_every_fault() -> None:
    assert {each.fault for each in draw_incidents(0, 8, 1800.0)} == set(CameraFault)
