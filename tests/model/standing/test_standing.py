"""The standing memory: what is new and stands still, what passes, and what has become normal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from model.scene.features import extract
from model.scene.light import Light
from model.standing.appearance import CELLS
from model.standing.memory import StandingMemory
from model.standing.rules import StandingRules
from model.standing.snapshot import MEMORY_BYTES, dump_memory, restore_memory
from model.standing.things import StandingThing
from model.standing.watch import StandingWatch, build_standing_watch
from tests.model.stills import Drawn, draw_scene, shoot

RULES = StandingRules()
DWELL_S = 30.0
AT = (slice(60, 80), slice(40, 60))
"""Rows and columns of what is put down, of 128×128."""
ROOM = draw_scene()
Course = Callable[[float], Drawn]
"""The picture at a second."""


def put(picture: Drawn, at: tuple[slice, slice] = AT) -> Drawn:
    picture = picture.copy()
    picture[at] = np.where(picture[at].mean() > 110.0, 30.0, 220.0)
    return picture


class Camera:
    """A memory, and the second that its footage has come to."""

    def __init__(self, rules: StandingRules = RULES, every_s: float = 0.5) -> None:
        self.memory = StandingMemory(rules, 0.1)
        self.now_s = 0.0
        self.every_s = every_s
        self.learns = True

    def watch(self, course: Course, seconds: float) -> list[float]:
        """Watch for so long. Returns the standing score of each look."""
        times = [self.now_s + n * self.every_s for n in range(round(seconds / self.every_s))]
        self.now_s += seconds
        shares = []
        for at, frame in zip(times, shoot([course(at) for at in times]), strict=True):
            self.memory.add(extract(frame, at), Light(), None, learns=self.learns)
            shares.append(0.0 if (thing := self.find()) is None else thing.share)
        return shares

    def find(self) -> StandingThing | None:
        return self.memory.find(DWELL_S)


def empty(_: float) -> Drawn:
    return ROOM


def occupied(_: float) -> Drawn:
    return put(ROOM)


@pytest.fixture
def camera() -> Camera:
    made = Camera()
    assert max(made.watch(empty, 70.0)) == 0.0
    return made


def test_what_is_left_is_found_after_the_dwell_time_where_it_is(camera: Camera) -> None:
    shares = camera.watch(occupied, DWELL_S + 2.0)
    assert shares == sorted(shares)
    first = shares.index(1.0) * camera.every_s
    assert DWELL_S - 1.0 <= first <= DWELL_S + 1.0
    thing = camera.find()
    assert thing is not None
    assert thing.box == pytest.approx((40 / 128, 60 / 128, 60 / 128, 80 / 128), abs=1.5 / CELLS)


def test_what_is_taken_away_is_forgotten_at_once(camera: Camera) -> None:
    assert camera.watch(occupied, 2.0 * DWELL_S)[-1] == 1.0
    assert max(camera.watch(empty, 20.0)) == 0.0
    # Put back, it has to stand for the dwell time again.
    assert max(camera.watch(occupied, DWELL_S - 5.0)) < 1.0


def test_what_stays_for_half_an_hour_is_normal_and_what_was_there_before_stays_so(
    camera: Camera,
) -> None:
    shares = camera.watch(occupied, RULES.normal_s + 20.0)
    assert min(shares[round(2.0 * DWELL_S) : -60]) == 1.0
    assert shares[-1] == 0.0
    assert max(camera.watch(empty, 60.0)) == 0.0
    assert max(camera.watch(occupied, 60.0)) == 0.0
    camera.memory.take_back()
    assert camera.watch(occupied, DWELL_S + 5.0)[-1] == 1.0
    assert max(camera.watch(empty, 60.0)) == 0.0


def test_nothing_becomes_normal_while_nothing_is_to_be_learned(camera: Camera) -> None:
    camera.learns = False
    assert camera.watch(occupied, RULES.normal_s + 60.0)[-1] == 1.0


def test_people_who_pass_never_count(camera: Camera) -> None:
    def pass_by(at: float) -> Drawn:
        left = round(16.0 * at) % 108
        return put(ROOM, (slice(50, 90), slice(left, left + 16)))

    assert max(camera.watch(pass_by, 300.0)) < 0.3


def test_somebody_in_front_for_a_moment_resets_nothing(camera: Camera) -> None:
    camera.watch(occupied, DWELL_S - 5.0)

    def in_front(at: float) -> Drawn:
        picture = put(ROOM)
        picture[50:90, 30:70] = draw_scene(seed=round(2.0 * at))[50:90, 30:70]
        return picture

    camera.watch(in_front, 4.0)
    assert camera.watch(occupied, DWELL_S / 2.0)[-1] == 1.0


@pytest.mark.parametrize("last", [0.4, 1.8])
def test_light_that_grows_or_fades_never_counts(camera: Camera, last: float) -> None:
    start_s = camera.now_s

    def ramp(at: float) -> Drawn:
        return np.asarray(ROOM * last ** min((at - start_s) / 60.0, 1.0), np.float32)

    assert max(camera.watch(ramp, 150.0)) == 0.0


def test_what_covers_fewer_cells_than_a_thing_is_none(camera: Camera) -> None:
    at = (slice(64, 68), slice(40, 44))
    assert max(camera.watch(lambda _: put(ROOM, at), 2.0 * DWELL_S)) == 0.0


def test_another_scene_is_no_thing(camera: Camera) -> None:
    other = draw_scene(seed=5)
    assert max(camera.watch(lambda _: other, 2.0 * DWELL_S)) < 1.0


def test_time_counts_in_seconds_however_few_frames_come(camera: Camera) -> None:
    camera.every_s = 5.0
    shares = camera.watch(occupied, DWELL_S + 15.0)
    assert shares[int(DWELL_S / 5.0) - 2] < 1.0
    assert shares[-1] == 1.0


def test_frames_without_times_count_as_the_period(camera: Camera) -> None:
    camera.memory.cut()
    frames = shoot([put(ROOM)] * 400)
    shares = []
    for frame in frames:
        camera.memory.add(extract(frame), Light(), None, learns=True)
        shares.append(0.0 if (thing := camera.find()) is None else thing.share)
    assert shares[round((DWELL_S - 2.0) * 10)] < 1.0
    assert shares[-1] == 1.0


def test_the_time_across_a_cut_does_not_count(camera: Camera) -> None:
    camera.watch(occupied, 10.0)
    camera.memory.cut()
    camera.now_s += 3600.0
    assert camera.watch(occupied, 5.0)[-1] < 0.6


def test_what_a_change_of_the_light_leaves_is_normal(camera: Camera) -> None:
    camera.memory.settling_s = RULES.settle_s
    quarter = (slice(0, 64), slice(0, 64))
    assert max(camera.watch(lambda _: put(ROOM, quarter), 2.0 * DWELL_S)) < 1.0


def test_what_is_put_down_while_the_light_changes_is_found(camera: Camera) -> None:
    camera.memory.settling_s = RULES.settle_s
    assert camera.watch(occupied, DWELL_S + 2.0)[-1] == 1.0


def test_only_watched_cells_count(camera: Camera) -> None:
    camera.watch(occupied, DWELL_S + 5.0)
    around = [(0.2, 0.4), (0.6, 0.4), (0.6, 0.7), (0.2, 0.7)]
    here, elsewhere = (
        build_standing_watch(DWELL_S, *zones) for zones in (([around], []), ([], [around]))
    )
    assert camera.memory.find(DWELL_S, here.cells) is not None
    assert camera.memory.find(DWELL_S, elsewhere.cells) is None
    assert build_standing_watch(DWELL_S, [], []).cells is None
    narrow = build_standing_watch(DWELL_S, [[(0.5, 0.2), (0.505, 0.2), (0.505, 0.8)]], [])
    assert narrow.cells is not None
    assert narrow.cells.any()


@pytest.mark.parametrize("dwell_s", [0.0, -1.0, 5000.0, float("nan")])
def test_a_dwell_time_out_of_its_bounds_is_refused(dwell_s: float) -> None:
    with pytest.raises(ValueError, match="dwell_s"):
        StandingWatch(dwell_s)


def test_a_restored_memory_goes_on_as_if_nothing_had_happened(camera: Camera) -> None:
    camera.watch(occupied, 20.0)
    dump = dump_memory(camera.memory)
    assert dump is not None
    assert len(dump.arrays) == MEMORY_BYTES < 200_000
    other = Camera()
    restore_memory(other.memory, dump.numbers, dump.arrays)
    camera.memory.cut()
    assert other.watch(occupied, 20.0) == camera.watch(occupied, 20.0)
    assert other.find() is not None


def test_damaged_dumps_are_refused(camera: Camera) -> None:
    dump = dump_memory(camera.memory)
    assert dump is not None
    assert dump_memory(StandingMemory(RULES, 0.1)) is None
    bad = dump.arrays[:-4] + np.float32(np.nan).tobytes()
    for numbers, arrays, words in (
        (dump.numbers, dump.arrays[:-1], "bytes"),
        ({"watched_s": 1.0}, dump.arrays, "lacks"),
        (dump.numbers | {"watched_s": -1.0}, dump.arrays, "no times"),
        (dump.numbers, bad, "no times"),
    ):
        with pytest.raises(ValueError, match=words):
            restore_memory(StandingMemory(RULES, 0.1), numbers, arrays)


def test_a_scene_that_is_forgotten_starts_again() -> None:
    camera = Camera(replace(RULES, start_s=10.0))
    camera.watch(empty, 12.0)
    camera.memory.forget()
    assert camera.memory.is_empty
    assert max(camera.watch(occupied, 2.0 * DWELL_S)) == 0.0
