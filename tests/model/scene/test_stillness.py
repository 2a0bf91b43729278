"""Frames that show what was inferred last are still, and no others are."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from model.frames import Frame
from model.scene.features import extract
from model.scene.stillness import REFRESH_S, YOUNG_FRAMES, Places, Stillness

SIDE = 256
CONTEXT = 4
FPS = 10.0


def add_noise(picture: Frame, count: int, sigma: float = 2.0, seed: int = 0) -> Iterator[Frame]:
    """Yield the picture `count` times, each with its own sensor noise."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        noise = rng.normal(0.0, sigma, picture.shape)
        yield (picture + noise).round().clip(0, 255).astype(np.uint8)


def draw_scene() -> Frame:
    """Draw something with edges, at several levels of grey."""
    coarse = np.random.default_rng(1).integers(60, 190, (16, 16)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


class Camera:
    """A camera whose frames are inferred where they aren't still, as the detector does it."""

    def __init__(self) -> None:
        self.stillness = Stillness(CONTEXT, FPS)
        self.number = 0

    def show(self, frame: Frame) -> bool:
        """Show the next frame; returns whether it was skipped."""
        features = extract(frame, self.number / FPS)
        self.number += 1
        if self.stillness.is_still(features):
            self.stillness.add_still(features)
            return True
        self.stillness.add_inferred(features)
        return False


@pytest.fixture
def settled() -> Camera:
    """A camera that has seen its empty scene for a while, and skips."""
    camera = Camera()
    skipped = [camera.show(frame) for frame in add_noise(draw_scene(), 100)]
    assert not any(skipped[:YOUNG_FRAMES])
    assert sum(skipped[-50:]) >= 40
    return camera


def test_the_network_runs_once_a_second_over_a_still_picture(settled: Camera) -> None:
    skipped = [settled.show(frame) for frame in add_noise(draw_scene(), 200, seed=2)]
    longest = max(map(len, "".join("s" if each else "n" for each in skipped).split("n")))
    assert longest == round(REFRESH_S * FPS) - 1
    assert skipped.count(False) <= 30


@pytest.mark.parametrize("contrast", [-20, 20])
def test_a_small_thing_that_appears_is_inferred_at_once(settled: Camera, contrast: int) -> None:
    changed = draw_scene().astype(int)
    changed[100:108, 60:66] += contrast
    frames = add_noise(changed.astype(np.uint8), 3, seed=3)
    assert [settled.show(frame) for frame in frames] == [False, False, False]


def test_after_something_moved_a_whole_window_is_inferred(settled: Camera) -> None:
    passing = draw_scene()
    passing[40:80, 40:60] = 250
    (frame,) = add_noise(passing, 1, seed=4)
    assert not settled.show(frame)
    skipped = [settled.show(each) for each in add_noise(draw_scene(), 20, seed=5)]
    assert not any(skipped[: CONTEXT + 1])
    assert all(skipped[CONTEXT + 1 : CONTEXT + 5])


def test_a_slow_intruder_adds_up_until_it_is_inferred(settled: Camera) -> None:
    """A person of 12 x 30 pixels, 25 levels darker than what is behind, moves a tenth of a pixel a
    frame. The clock stands still, so that nothing but what is seen has the network run."""
    now_s = settled.number / FPS
    inferred_at: list[int] = []
    for number, background in enumerate(add_noise(draw_scene(), 400, seed=6)):
        x = 50.0 + 0.1 * number
        shift = np.array([[1, 0, x], [0, 1, 120]], np.float32)
        shape = cv2.warpAffine(np.full((30, 12), 25, np.uint8), shift, (SIDE, SIDE))
        features = extract(np.asarray(cv2.subtract(background, shape), np.uint8), now_s)
        if settled.stillness.is_still(features):
            settled.stillness.add_still(features)
        else:
            settled.stillness.add_inferred(features)
            inferred_at.append(number)
    assert inferred_at[0] == 0
    # In frames: at most 1.5 pixels from one inference to the next.
    assert np.diff(inferred_at).max() <= 15


def test_a_place_that_moves_all_the_time_hides_nobody() -> None:
    """Leaves move in half of the picture; a person walks in front of them."""
    camera = Camera()
    rng = np.random.default_rng(7)
    for frame in add_noise(draw_scene(), 100, seed=8):
        frame[:, :128] = cv2.add(frame[:, :128], rng.integers(0, 3, (SIDE, 128), dtype=np.uint8))
        camera.show(frame)
    changed = draw_scene()
    changed[100:130, 60:72] += 30
    (frame,) = add_noise(changed, 1, seed=9)
    assert not camera.show(frame)


def test_after_a_cut_nothing_is_still(settled: Camera) -> None:
    settled.stillness.cut()
    skipped = [settled.show(frame) for frame in add_noise(draw_scene(), CONTEXT + 1, seed=10)]
    assert not any(skipped)


def test_an_unscored_frame_that_shows_something_else_ends_the_stillness(settled: Camera) -> None:
    other = draw_scene()
    other[40:80, 40:60] = 250
    settled.stillness.add_unscored(extract(other, settled.number / FPS))
    settled.number += 1
    (frame,) = add_noise(draw_scene(), 1, seed=11)
    assert not settled.show(frame)


def test_frames_without_times_are_refreshed_by_their_rate() -> None:
    stillness = Stillness(CONTEXT, FPS)
    skipped = ""
    for frame in add_noise(draw_scene(), 150, seed=12):
        features = extract(frame)
        still = stillness.is_still(features)
        skipped += "s" if still else "n"
        (stillness.add_still if still else stillness.add_inferred)(features)
    assert max(map(len, skipped.split("n"))) == round(REFRESH_S * FPS) - 1


def test_a_busy_service_may_have_a_still_picture_inferred_less_often(settled: Camera) -> None:
    (frame,) = add_noise(draw_scene(), 1, seed=13)
    later = extract(frame, settled.number / FPS + 2.0)
    assert not settled.stillness.is_still(later)
    assert settled.stillness.is_still(later, 5.0)
    much_later = extract(frame, settled.number / FPS + 5.0)
    assert not settled.stillness.is_still(much_later, 5.0)


def find_active(camera: Camera, frame: Frame) -> Places:
    """Find the active places of the next frame, without showing it."""
    found = camera.stillness.find_active(extract(frame, camera.number / FPS))
    assert found is not None
    return found


def show_part(camera: Camera, frame: Frame) -> Places | None:
    """Infer what is active in the next frame, and return that."""
    features = extract(frame, camera.number / FPS)
    camera.number += 1
    found = camera.stillness.find_active(features)
    if found is None:
        camera.stillness.add_inferred(features)
    elif not found.any():
        camera.stillness.add_still(features)
    else:
        left, top, width, height = cv2.boundingRect(found)
        region = slice(top, top + height), slice(left, left + width)
        camera.stillness.add_inferred(features, region)
    return found


def refresh(camera: Camera) -> None:
    """Have the whole picture inferred now."""
    (frame,) = add_noise(draw_scene(), 1, seed=20)
    camera.stillness.add_inferred(extract(frame, camera.number / FPS))
    camera.number += 1


def test_only_the_places_that_changed_are_active(settled: Camera) -> None:
    refresh(settled)
    passing = draw_scene()
    passing[40:80, 40:60] = 250
    (frame,) = add_noise(passing, 1, seed=21)
    found = find_active(settled, frame) > 0
    assert found[10:20, 10:15].all()
    assert found.sum() == 50


def test_places_stay_active_until_a_window_shows_the_same(settled: Camera) -> None:
    refresh(settled)
    passing = draw_scene()
    passing[40:80, 40:60] = 250
    (frame,) = add_noise(passing, 1, seed=22)
    assert show_part(settled, frame) is not None
    shown = [show_part(settled, each) for each in add_noise(draw_scene(), CONTEXT + 2, seed=23)]
    counts = [None if each is None else cv2.countNonZero(each) for each in shown]
    assert counts == [50] * (CONTEXT + 1) + [0]


def test_a_part_settles_nothing_outside_of_it(settled: Camera) -> None:
    """Two things appear, and the network runs for one of them."""
    refresh(settled)
    passing = draw_scene()
    passing[40:80, 40:60] = 250
    passing[160:200, 40:60] = 250
    for number, frame in enumerate(add_noise(passing, CONTEXT + 3, seed=24)):
        features = extract(frame, settled.number / FPS)
        settled.number += 1
        found = settled.stillness.find_active(features)
        assert found is not None
        assert found[40:50, 10:15].all()
        assert found[10:20, 10:15].all() == (number <= CONTEXT)
        settled.stillness.add_inferred(features, (slice(8, 22), slice(8, 17)))


def test_parts_do_not_put_off_the_next_whole_picture(settled: Camera) -> None:
    refresh(settled)
    passing = draw_scene()
    passing[40:80, 40:60] = 250
    frames = [*add_noise(passing, 1, seed=25), *add_noise(draw_scene(), 30, seed=26)] * 2
    whole = [show_part(settled, frame) is None for frame in frames]
    longest = max(map(len, "".join("w" if each else "p" for each in whole).split("w")))
    assert longest == round(REFRESH_S * FPS) - 1


def test_an_unscored_frame_makes_the_places_active_where_it_shows_something_else(
    settled: Camera,
) -> None:
    refresh(settled)
    other = draw_scene()
    other[40:80, 40:60] = 250
    settled.stillness.add_unscored(extract(other, settled.number / FPS))
    settled.number += 1
    (frame,) = add_noise(draw_scene(), 1, seed=27)
    assert cv2.countNonZero(find_active(settled, frame)) == 50


def test_what_moves_slowly_in_a_part_adds_up(settled: Camera) -> None:
    """This is the slow intruder from above, but only what is active is inferred."""
    refresh(settled)
    now_s = settled.number / FPS
    found_at: list[int] = []
    for number, background in enumerate(add_noise(draw_scene(), 400, seed=28)):
        shift = np.array([[1, 0, 50.0 + 0.1 * number], [0, 1, 120]], np.float32)
        shape = cv2.warpAffine(np.full((30, 12), 25, np.uint8), shift, (SIDE, SIDE))
        features = extract(np.asarray(cv2.subtract(background, shape), np.uint8), now_s)
        found = settled.stillness.find_active(features)
        assert found is not None
        if not found.any():
            settled.stillness.add_still(features)
            continue
        found_at.append(number)
        left, top, width, height = cv2.boundingRect(found)
        region = slice(top, top + height), slice(left, left + width)
        settled.stillness.add_inferred(features, region)
    assert found_at[0] == 0
    assert np.diff(found_at).max() <= 15


def test_a_picture_in_colour_is_active_where_any_channel_changed() -> None:
    stillness = Stillness(CONTEXT, FPS)
    coloured = [cv2.merge([frame] * 3) for frame in add_noise(draw_scene(), 60, seed=29)]
    for frame in coloured:
        stillness.add_inferred(extract(frame))
    changed = coloured[-1].copy()
    changed[40:80, 40:60, 2] = 255 - changed[40:80, 40:60, 2] // 2
    found = stillness.find_active(extract(changed))
    assert found is not None
    assert found.shape == (64, 64)
    assert found[10:20, 10:15].all()
    assert cv2.countNonZero(found) == 50
