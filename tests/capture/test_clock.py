"""When a picture was taken, how long a camera may be silent, and when its picture is frozen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.footage.gaps import Gaps
from model.frames import Frame
from service.capture.clock import SourceClock
from service.capture.freeze_detection import SAME_PICTURE, SAME_TIME, Freeze

NOW = 1_700_000_000.0
Arrivals = Sequence[tuple[float | None, float]]
"""Times of the source and of arrival, both from a start of their own."""


def captured(arrivals: Arrivals, clock: SourceClock | None = None) -> list[float]:
    clock = clock or SourceClock()
    return [clock.stamp(source, NOW + at).captured_at - NOW for source, at in arrivals]


def test_what_the_network_adds_is_seen_as_age() -> None:
    delays = [0.05, 0.0, 0.3, 0.1, 0.0, 0.2]
    arrivals = [(50.0 + i / 10, i / 10 + delay) for i, delay in enumerate(delays)]
    np.testing.assert_allclose(captured(arrivals)[1:], [0.1, 0.2, 0.3, 0.4, 0.5], atol=1e-3)


def test_a_burst_after_a_hold_up_keeps_its_times() -> None:
    held = [(i / 10, i / 10 if i < 20 else max(5.0, i / 10)) for i in range(80)]
    np.testing.assert_allclose(captured(held), [i / 10 for i in range(80)], atol=0.01)


@given(
    st.lists(st.tuples(st.none() | st.floats(-1e6, 1e6), st.floats(0.0, 20.0)), max_size=60),
)
def test_times_always_rise_and_are_never_in_the_future(
    steps: list[tuple[float | None, float]],
) -> None:
    clock, at, last = SourceClock(), 0.0, 0.0
    for source, gap in steps:
        at += gap + 1e-3
        found = clock.stamp(source, NOW + at).captured_at
        assert last < found <= NOW + at
        last = found


def test_a_clock_that_drifts_is_followed_for_days() -> None:
    clock = SourceClock()
    for second in range(0, 400_000, 2):  # the camera's crystal is 100 ppm slow
        found = clock.stamp(second * (1 - 1e-4), NOW + second).captured_at
        assert NOW + second - found < 0.01


def test_a_clock_that_starts_again_is_anchored_anew() -> None:
    arrivals = [(i / 10, i / 10) for i in range(100)] + [(i / 10, 10 + i / 10) for i in range(100)]
    np.testing.assert_allclose(captured(arrivals), [i / 10 for i in range(200)], atol=0.01)


@pytest.mark.parametrize(
    "speed", [0.0, 1 / 30, 0.5, 3.0], ids=["still", "30 for 1", "half", "triple"]
)
def test_a_clock_that_runs_at_another_speed_is_soon_not_believed(speed: float) -> None:
    clock = SourceClock()
    for second in range(60):
        stamp = clock.stamp(second * speed, NOW + second)
        if second > 25:
            assert stamp.captured_at == pytest.approx(NOW + second, abs=0.01)
            assert stamp.sampled_at == pytest.approx(NOW + second) or speed == 3.0


def test_without_times_of_its_own_a_picture_is_of_now() -> None:
    assert captured([(None, 0.0), (None, 0.4)]) == pytest.approx([0.0, 0.4], abs=1e-5)


def test_a_silence_is_measured_by_the_usual_gap() -> None:
    slow, fast = Gaps(), Gaps()
    assert not any(slow.add(5.0 * i) for i in range(1, 2))
    for i in range(10):
        fast.add(0.1 * i)
    for i in range(2, 10):
        slow.add(5.0 * i)
    assert (fast.silence_s, slow.silence_s) == (2.0, 20.0)
    assert fast.add(3.1) and not slow.add(60.0)


def noisy(seed: int, levels: int = 3) -> Frame:
    ground = np.random.default_rng(0).integers(60, 90, (64, 64))
    noise = np.random.default_rng(seed).integers(0, levels, (64, 64))
    return np.asarray(ground + noise, np.uint8)


def first_reason(
    frames: Sequence[Frame], after_s: float = 3.0, still: bool = False
) -> tuple[int, str]:
    """At which frame of 10 a second the camera is found frozen, and why; -1 for none."""
    freeze = Freeze(after_s)
    for index, frame in enumerate(frames):
        why = freeze.reason(frame, 7.0 if still else index / 10, index / 10)
        if why:
            return index, why
    return -1, ""


def test_the_same_picture_for_so_long_is_frozen_and_another_one_ends_it() -> None:
    same = [noisy(1)] * 100
    assert first_reason(same) == (30, SAME_PICTURE)
    assert first_reason(same[:30]) == (-1, "")
    assert first_reason(same, after_s=0.0) == (-1, "")
    freeze = Freeze(1.0)
    found = [freeze.reason(frame, None, i / 10) for i, frame in enumerate([*same[:20], noisy(2)])]
    assert found[19] == SAME_PICTURE and found[20] == ""


def test_a_frozen_picture_as_video_with_its_key_frames_is_found() -> None:
    """Each second begins with a rougher picture, which the next ones refine."""
    group = [noisy(1), noisy(2), noisy(3), *[noisy(4)] * 7]
    assert first_reason(group * 10) == (33, SAME_PICTURE)


def test_a_still_scene_that_a_sensor_sees_is_not_frozen() -> None:
    assert first_reason([noisy(seed) for seed in range(600)]) == (-1, "")
    assert first_reason([noisy(seed, levels=2) for seed in range(600)]) == (-1, "")


def test_something_small_that_moves_is_not_frozen() -> None:
    frames = []
    for step in range(100):
        frame = noisy(1)
        frame[30:34, step % 60 : step % 60 + 4] = 200
        frames.append(frame)
    assert first_reason(frames) == (-1, "")


def test_time_that_stands_still_is_frozen_though_the_picture_moves() -> None:
    assert first_reason([noisy(seed) for seed in range(60)], still=True) == (30, SAME_TIME)
