"""The phases of a scene as a pure machine: which evidence leads from which to which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.scene.exposure import NO_EXPOSURE
from model.scene.scene_features import SceneFeatures
from model.scene.scene_phases import (
    ComparedFrame,
    Cut,
    Evidence,
    Phase,
    SceneChange,
    SceneReading,
    SceneState,
    read_state,
    step,
)
from model.scene.scene_rules import SceneRules

RULES = SceneRules(
    obscured_frames=3, adopt_frames=6, light_frames=2, rewarm_frames=4, longest_rewarm_frames=8
)
LEVELS = np.full((8, 8), 50.0, np.float32)
FRAME = ComparedFrame(
    SceneFeatures(np.zeros((64, 64), np.float32), LEVELS, np.zeros((2, 64, 64), np.float32)),
    LEVELS,
    50.0,
    np.ones((8, 8), np.bool_),
    NO_EXPOSURE,
)
CHANGE = SceneChange("the light changed")
DRIFT = SceneChange("the light drifted")

SAME = Evidence(FRAME, 0.9)
JUMP = Evidence(FRAME, 0.9, CHANGE, is_jump=True)
SLOPE = Evidence(FRAME, 0.9, CHANGE)
DRIFTED = Evidence(FRAME, 0.9, drift=DRIFT)
COVERED = Evidence(FRAME, 0.1, detail=0.1)
HALF_COVERED = Evidence(FRAME, 0.3)
BLANK = Evidence(FRAME, None)


def run(
    evidence: Iterable[Evidence], state: SceneState | None = None
) -> tuple[SceneState, list[SceneReading]]:
    """Step through the evidence; returns the last state, and all readings."""
    state, readings = state or SceneState(), []
    for each in evidence:
        readings.append(step(state, each, RULES))
        state = readings[-1].next_state
    return state, readings


def list_phases(readings: Iterable[SceneReading]) -> str:
    """Name the phases by their first letters; R is `RESTLESS`."""
    return "".join(reading.phase.name[0] for reading in readings)


def test_nothing_new_is_plain() -> None:
    state, (reading,) = run([SAME])
    assert state == SceneState()
    assert reading.phase is Phase.STEADY and reading.cut is reading.change is None


@pytest.mark.parametrize("evidence", [JUMP, SLOPE])
def test_a_change_withholds_scores_until_the_light_is_measured(evidence: Evidence) -> None:
    state, readings = run([evidence, *[SAME] * 5])
    assert list_phases(readings) == "CCCCCS"
    assert [reading.change for reading in readings] == [CHANGE, *[None] * 5]
    jump = Cut.JUMP if evidence.is_jump else None
    assert [reading.cut for reading in readings] == [jump, None, Cut.RELIT, None, None, None]
    assert [reading.is_predictable for reading in readings] == [jump is None, *[True] * 5]
    assert [reading.is_last_without_score for reading in readings] == [*[False] * 4, True, False]
    assert state == SceneState()


def test_unsteady_light_is_measured_from_the_start_again() -> None:
    _, readings = run([SLOPE, SAME, SAME, JUMP, *[SAME] * 5])
    assert list_phases(readings) == "CCCCCCCCS"
    assert readings[3].change is None and readings[3].cut is Cut.JUMP
    assert [index for index, reading in enumerate(readings) if reading.cut is Cut.RELIT] == [2, 5]


def test_a_drift_counts_its_own_frame_and_is_one_for_as_long_as_it_is_slow() -> None:
    _, readings = run([DRIFTED, *[SAME] * 4])
    assert list_phases(readings) == "DDDDS"
    assert readings[0].change == DRIFT and not readings[0].cut
    assert readings[3].is_last_without_score
    assert list_phases(run([DRIFTED, SAME, SLOPE, SAME])[1]) == "DDCC"


def test_light_without_rest_has_scores_again_and_comes_to_rest_at_last() -> None:
    state, readings = run([SLOPE] * 12)
    assert list_phases(readings) == "CCCCCCCCRRRR"
    assert readings[7].is_last_without_score and not readings[6].is_last_without_score
    assert not any(reading.cut or reading.change for reading in readings[1:])
    state, readings = run([SAME] * 5, state)
    assert list_phases(readings) == "RRRCC"
    assert "has come to rest" in getattr(readings[3].change, "reason", "")
    assert state == SceneState(Phase.CHANGED, 2, 1)


def test_a_covered_camera_is_reported_after_a_while_and_adopted_in_the_end() -> None:
    state, readings = run([COVERED] * 6)
    assert list_phases(readings) == "UUUUUC"
    assert [bool(reading.obscured) for reading in readings] == [False] * 2 + [True] * 3 + [False]
    assert "10% of the picture" in readings[2].obscured and "covered" in readings[2].obscured
    assert readings[5].cut is Cut.ADOPTED and readings[5].change is not None
    assert state == SceneState(Phase.CHANGED, 1)


@pytest.mark.parametrize(
    ("mean", "detail", "word"), [(50.0, 0.9, "turned"), (5.0, 0.9, "covered"), (50.0, 0.2, "cov")]
)
def test_a_dark_or_blank_picture_is_called_covered(mean: float, detail: float, word: str) -> None:
    evidence = Evidence(replace(FRAME, mean=mean), 0.1, detail=detail)
    assert word in run([evidence] * 3)[1][2].obscured


def test_a_picture_has_to_fit_better_to_be_the_scene_again() -> None:
    assert list_phases(run([HALF_COVERED])[1]) == "S"
    assert list_phases(run([COVERED, HALF_COVERED])[1]) == "UU"
    for evidence in (SAME, BLANK):
        _, readings = run([COVERED, evidence])
        assert list_phases(readings) == "UC"
        assert readings[1].cut is Cut.JUMP and readings[1].change is None


@given(st.lists(st.sampled_from([SAME, JUMP, SLOPE, DRIFTED, COVERED, HALF_COVERED, BLANK])))
def test_every_reading_agrees_with_the_states_around_it(evidence: list[Evidence]) -> None:
    state = SceneState()
    for each in evidence:
        reading = step(state, each, RULES)
        after = reading.next_state
        assert reading.phase is not Phase.STEADY or state.phase is Phase.STEADY
        assert reading.phase is not Phase.STEADY or reading.change is None
        assert not reading.obscured or reading.phase is Phase.UNFIT
        assert not reading.cut or reading.phase.is_measuring
        assert read_state(after.to_numbers()) == replace(after, steady=0)
        state = after
