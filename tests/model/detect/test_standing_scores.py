"""What stands still enters a camera's scores where its options say so, and nothing otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.detect.camera_state import CameraState
from model.detect.detector import Detector
from model.detect.observation import CameraOptions, Observation
from model.frames import Frame
from model.network.update_rules import LIVE_UPDATE, UPDATE_RULES
from model.scene.features import extract
from model.scoring.cause import Cause
from model.standing.watch import StandingWatch
from tests.support.bundles import small_bundle

SIDE = 64
DWELL_S = 20.0
OFF = CameraOptions(update=LIVE_UPDATE, threshold=0.9)
ON = replace(OFF, standing=StandingWatch(DWELL_S))
EMPTY_FRAMES, ALL_FRAMES = 140, 220


def footage(left_at: int | None = EMPTY_FRAMES) -> list[Frame]:
    """An empty room with a little noise, two frames a second; something is left in it."""
    rng = np.random.default_rng(3)
    room = np.full((SIDE, SIDE), 90, np.uint8)
    room[20:40, 10:50] = 140
    frames = []
    for number in range(ALL_FRAMES):
        frame = (room + rng.integers(-1, 2, room.shape)).astype(np.uint8)
        if left_at is not None and number >= left_at:
            frame[44:54, 8:18] = 200
        frames.append(frame)
    return frames


def detector(*, skips: bool = False) -> Detector:
    bundle = small_bundle()
    return Detector(replace(bundle, calibration=replace(bundle.calibration, skips_still=skips)))


def observe(
    made: Detector,
    camera: CameraState,
    frames: list[Frame],
    options: CameraOptions = ON,
    first: int = 0,
) -> list[Observation]:
    return [
        made.observe([camera], [frame], [options], [extract(frame, number / 2.0)])[0]
        for number, frame in enumerate(frames, first)
    ]


@pytest.mark.parametrize("skips", [False, True])
def test_what_stands_for_the_dwell_time_raises_the_score_and_says_why(skips: bool) -> None:
    made = detector(skips=skips)
    camera = made.start()
    frames = footage()
    seen = observe(made, camera, frames)
    assert any(each.still for each in seen[EMPTY_FRAMES + 10 :]) == skips
    raised = [number for number, each in enumerate(seen) if each.cause is Cause.STANDING]
    assert raised == list(range(raised[0], ALL_FRAMES))
    assert raised[0] - EMPTY_FRAMES == pytest.approx(2.0 * DWELL_S, abs=3)
    last = seen[-1]
    assert (last.standing, last.score, last.threshold) == (1.0, 0.95, 0.9)
    assert last.region == pytest.approx((8 / 64, 44 / 64, 18 / 64, 54 / 64), abs=0.06)
    assert last.heat is not None
    rows, columns = last.heat.shape
    assert last.heat[round(49 / 64 * rows), round(13 / 64 * columns)] >= 1.0
    assert 0.0 < (seen[raised[0] - 10].standing or 0.0) < 1.0
    taken = observe(made, camera, footage(None)[:6], first=ALL_FRAMES)
    assert taken[-1].cause is Cause.MOTION
    assert taken[-1].standing == 0.0


def test_where_it_is_off_scores_and_snapshots_are_the_same_to_the_bit() -> None:
    made = detector()
    frames = footage()
    on, off = made.start(), made.start()
    with_it, without = observe(made, on, frames, ON), observe(made, off, frames, OFF)
    assert all(each.standing is None for each in without)
    for mine, theirs in zip(with_it, without, strict=True):
        if mine.cause is Cause.MOTION:
            assert (mine.score, mine.region) == (theirs.score, theirs.region)
    assert b"standing" not in off.save()
    assert len(on.save()) - len(off.save()) < 200_000


def test_a_snapshot_holds_what_stands_still() -> None:
    made = detector()
    camera = made.start()
    frames = footage()
    cut = EMPTY_FRAMES + 30
    observe(made, camera, frames[:cut])
    restored = made.restore(camera.save())
    assert restored.save() == camera.save()
    after = observe(made, restored, frames[cut:], first=cut)
    raised = [number for number, each in enumerate(after, cut) if each.cause is Cause.STANDING]
    assert raised[0] - EMPTY_FRAMES == pytest.approx(2.0 * DWELL_S, abs=10)


@pytest.mark.parametrize(
    ("options", "learns"),
    [
        (ON, True),
        (replace(ON, gamma=0.0), False),
        (replace(ON, update=UPDATE_RULES["held"]), False),
        (replace(ON, update=UPDATE_RULES["frozen"]), False),
    ],
)
def test_things_become_normal_only_below_gamma_and_by_a_rule_that_learns(
    options: CameraOptions, learns: bool
) -> None:
    made = detector()
    camera = made.start()
    camera.standing.rules = replace(camera.standing.rules, normal_s=30.0)
    seen = observe(made, camera, footage(), options)
    assert (seen[-1].standing == 0.0) == learns


def test_a_cut_and_a_covered_camera_count_no_time() -> None:
    made = detector()
    camera = made.start()
    frames = footage()
    observe(made, camera, frames[: EMPTY_FRAMES + 20])
    camera.cut()
    later = observe(made, camera, frames[EMPTY_FRAMES + 20 :][:10], first=10_000)
    assert 0.0 < (later[-1].standing or 0.0) < 0.9
    black = [np.zeros((SIDE, SIDE), np.uint8)] * 100
    covered = observe(made, camera, black, first=10_010)
    assert all(each.score is None for each in covered[1:])
    assert camera.standing.settling_s == camera.standing.rules.settle_s
