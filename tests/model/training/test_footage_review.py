"""Footage is judged before it is learned: what is left out, what is kept, and the advice."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.footage.clips import Clip
from model.training.footage_advice import LEAST_S
from model.training.footage_review import FootageReview, LeftOutReason, review_footage
from model.training.footage_samples import MOST_SAMPLES, take_samples

FPS = 5.0
SIDE = 64


def _scene(seconds: float, *, seed: int = 0, last_x: int = SIDE - 8) -> NDArray[np.uint8]:
    """A textured wall with a little noise; a square crosses it again and again, up to `last_x`."""
    count = round(seconds * FPS)
    random = np.random.default_rng(seed)
    wall = np.kron(np.random.default_rng(9).integers(60, 160, (16, 16)), np.ones((4, 4)))
    noise = random.normal(0.0, 1.0, (count, SIDE, SIDE))
    frames = (wall + noise).clip(0, 255).astype(np.uint8)
    for index in range(count):
        left = 2 * index % (last_x + 1)
        frames[index, 40:52, left : left + 8] = 230
    return frames


def _review(frames: NDArray[np.uint8]) -> FootageReview:
    return review_footage([Clip("yard", frames)], FPS)


def _assert_left_out(review: FootageReview, reason: LeftOutReason, first: int, last: int) -> None:
    """The frames from `first` to `last` are left out, and not much more."""
    assert {each.reason for each in review.left_out} == {reason}
    start_s = min(each.start_s for each in review.left_out)
    end_s = max(each.end_s for each in review.left_out)
    assert first / FPS - 1.5 <= start_s <= first / FPS
    assert last / FPS <= end_s <= last / FPS + 3.0


def test_enough_footage_is_kept_whole() -> None:
    frames = _scene(LEAST_S + 20.0)
    review = _review(frames)
    assert review.is_enough
    assert review.advice.startswith("enough: 3 minutes")
    assert review.moving_share > 0.95
    assert review.left_out == ()
    assert [clip.frames is frames for clip in review.kept] == [True]
    assert review.used_s == review.seconds == LEAST_S + 20.0
    cells = np.array(review.covered)
    assert cells[5:7].min() > 0.05
    assert cells[:4].max() < 0.05


def test_little_footage_is_not_enough() -> None:
    review = _review(_scene(40.0))
    assert not review.is_enough
    assert review.advice == "40 seconds so far: at least 3 minutes are needed"


def test_footage_in_which_nothing_moves_is_not_enough() -> None:
    frames = _scene(LEAST_S + 20.0)
    frames[:, 40:52] = frames[:, 4:16]
    review = _review(frames)
    assert not review.is_enough
    assert review.moving_share == 0.0
    assert review.advice == "3 minutes, but nothing has moved yet: wait until people come by"


def test_a_half_that_nobody_has_crossed_is_named() -> None:
    review = _review(_scene(LEAST_S + 20.0, last_x=20))
    assert not review.is_enough
    assert review.advice == "3 minutes, but nothing has crossed the right half yet"


def test_black_frames_are_left_out_and_not_bridged() -> None:
    frames = _scene(60.0)
    frames[100:150] = 2
    review = _review(frames)
    _assert_left_out(review, LeftOutReason.DEAD, 100, 150)
    before, after = review.kept
    assert np.array_equal(before.frames, frames[: len(before)])
    assert np.array_equal(after.frames, frames[-len(after) :])
    assert len(before) <= 100 and len(after) <= 150
    assert review.used_s == pytest.approx((len(before) + len(after)) / FPS)


def test_a_frozen_picture_is_left_out() -> None:
    frames = _scene(60.0)
    frames[100:150] = frames[100]
    _assert_left_out(_review(frames), LeftOutReason.DEAD, 106, 150)


def test_a_covered_camera_is_left_out_at_the_beginning_too() -> None:
    frames = _scene(60.0)
    random = np.random.default_rng(3)
    cloth = np.linspace(60.0, 90.0, SIDE)[:, None] + random.normal(0.0, 1.0, (50, SIDE, SIDE))
    frames[:50] = cloth.astype(np.uint8)
    _assert_left_out(_review(frames), LeftOutReason.COVERED, 0, 50)


def test_a_lamp_that_is_switched_on_is_left_out() -> None:
    frames = _scene(60.0)
    lamp = np.linspace(1.0, 1.8, SIDE)
    frames[150:] = (frames[150:] * lamp).clip(0, 255).astype(np.uint8)
    review = _review(frames)
    _assert_left_out(review, LeftOutReason.LIGHT, 150, 151)
    assert [len(clip) > 100 for clip in review.kept] == [True, True]


def test_a_drawing_without_noise_is_not_taken_for_frozen() -> None:
    frames = np.repeat(_scene(0.2), 300, axis=0)
    for index in range(240, 300):
        frames[index, 40:52, index % 50 : index % 50 + 8] = 230
    assert _review(frames).left_out == ()


def test_footage_of_days_is_sampled() -> None:
    frame = np.zeros((8, 8), np.uint8)
    days = Clip("gate", np.broadcast_to(frame, (1_000_000, 8, 8)))
    assert len(take_samples([days], 10.0)) <= MOST_SAMPLES


def test_no_footage_and_a_wrong_rate() -> None:
    empty = review_footage([], FPS)
    assert (empty.advice, empty.is_enough, empty.kept) == ("no footage yet", False, ())
    with pytest.raises(ValueError, match="fps must be above 0"):
        review_footage([], 0.0)


def test_something_larger_and_faster_than_the_rest_is_left_out() -> None:
    frames = _scene(LEAST_S + 20.0)
    for index in range(400, 424):
        left = 5 * index % 40
        frames[index, 28:52, left : left + 24] = 20
    _assert_left_out(_review(frames), LeftOutReason.UNUSUAL, 400, 424)
