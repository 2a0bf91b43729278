"""The phases of a camera's scene, as a pure state machine: what each frame is to its scene, and
which phase the next frame meets. `model.scene.scene` measures the evidence and keeps the pictures.

| phase met | evidence | the frame is | the next frame meets |
|---|---|---|---|
| any | too few cells fit | UNFIT | UNFIT |
| any | the same, for `adopt_frames` | CHANGED | CHANGED, in another scene |
| UNFIT | enough cells fit again | CHANGED | CHANGED |
| STEADY | the light has changed | CHANGED | CHANGED |
| STEADY | the light has drifted | DRIFTED | DRIFTED |
| STEADY | neither | STEADY | STEADY |
| CHANGED, DRIFTED | steady light for `rewarm_frames` | as met | STEADY |
| CHANGED, DRIFTED | no such rest for `longest_rewarm_frames` | as met | RESTLESS |
| CHANGED, DRIFTED | neither | as met; CHANGED if the light moves | the same |
| RESTLESS | steady light for `rewarm_frames` | CHANGED | CHANGED |
| RESTLESS | no such rest | RESTLESS | RESTLESS |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from model.scene.exposure import Exposure
from model.scene.scene_features import Levels, SceneFeatures
from model.scene.scene_rules import SceneRules


class Phase(Enum):
    """What a frame is to its scene."""

    STEADY = "steady"
    """The picture is the scene's, in steady light."""
    CHANGED = "changed"
    """The light or the scene has changed, and the effect is being measured: there are no scores."""
    DRIFTED = "drifted"
    """The same, where the light has changed slowly and little."""
    RESTLESS = "restless"
    """The light has changed for so long that its changes mean nothing: there are scores again."""
    UNFIT = "unfit"
    """The picture isn't the scene's: there are no scores."""

    @property
    def is_measuring(self) -> bool:
        """The effect of a change of the light is being measured."""
        return self in (Phase.CHANGED, Phase.DRIFTED)

    @property
    def has_scores(self) -> bool:
        """Frames in this phase get scores."""
        return self in (Phase.STEADY, Phase.RESTLESS)


@dataclass(frozen=True, slots=True)
class SceneState:
    """The phase that the next frame meets, and how long it has lasted."""

    phase: Phase = Phase.STEADY
    frames: int = 0
    """Frames in `UNFIT`, or since the light changed; 0 in the other phases."""
    steady: int = 0
    """Frames in steady light in a row since the light changed."""

    def to_numbers(self) -> dict[str, int]:
        """Return what `read_state` reads. Steady light is counted from 0 after a restart."""
        return {
            "unfit": self.frames if self.phase is Phase.UNFIT else 0,
            "rewarm": self.frames if self.phase.is_measuring else 0,
            "restless": int(self.phase is Phase.RESTLESS),
            "drifted": int(self.phase is Phase.DRIFTED),
        }


def read_state(numbers: Mapping[str, int]) -> SceneState:
    """Read a saved state. Raises: KeyError: a number is missing."""
    unfit, rewarm, restless, drifted = (
        int(numbers[name]) for name in ("unfit", "rewarm", "restless", "drifted")
    )
    if unfit:
        return SceneState(Phase.UNFIT, unfit)
    if rewarm:
        return SceneState(Phase.DRIFTED if drifted else Phase.CHANGED, rewarm)
    return SceneState(Phase.RESTLESS if restless else Phase.STEADY)


@dataclass(frozen=True, slots=True)
class SceneChange:
    """The light changed, or another scene was adopted as the camera's own."""

    reason: str


@dataclass(frozen=True, slots=True)
class ComparedFrame:
    """A frame and how its cells compare with the scene's."""

    features: SceneFeatures
    levels: Levels
    """The cells' levels with the camera's exposure undone."""
    mean: float
    """The mean of `levels`."""
    fits: NDArray[np.bool_]
    """The cells that show their lasting edges, (CELLS, CELLS)."""
    exposure: Exposure
    """What the camera's exposure does to the picture as a whole."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured of one frame, as far as the phase asks for it."""

    frame: ComparedFrame
    fitting: float | None
    """Share of the cells with lasting edges that show them; None: the scene was seen for too few
    frames, or too few cells have lasting edges."""
    change: SceneChange | None = None
    """How the light has changed since one of the last frames."""
    is_jump: bool = False
    """The light has changed since the very last frame."""
    drift: SceneChange | None = None
    """How it has changed since it was measured last; only in `STEADY`."""
    detail: float = 1.0
    """Strength of the edges as a share of the scene's; only in `UNFIT`."""


class Cut(Enum):
    """Why the frames before can't predict those to come."""

    JUMP = "jump"
    """This frame isn't in their light or of their scene: they can't predict it either."""
    ADOPTED = "adopted"
    """The same, and from this frame on the scene is another one."""
    RELIT = "relit"
    """The effect of the light has been measured: frames after this one are relit, they aren't."""


@dataclass(frozen=True, slots=True)
class SceneReading:
    """What a frame is to its scene."""

    evidence: Evidence
    phase: Phase
    next_state: SceneState
    """The state that the next frame meets."""
    change: SceneChange | None = None
    """A change that was found on this frame."""
    obscured: str = ""
    """Why the picture isn't the scene's, once that has lasted; a sentence."""
    cut: Cut | None = None

    @property
    def is_predictable(self) -> bool:
        """The frames before may predict this one."""
        return self.cut is None or self.cut is Cut.RELIT

    @property
    def is_last_without_score(self) -> bool:
        """The next frame will get a score again."""
        return not self.phase.has_scores and self.next_state.phase.has_scores


_CHANGED = SceneState(Phase.CHANGED, 1)
"""The light's effect is to be measured, from the next frame on."""


def step(state: SceneState, evidence: Evidence, rules: SceneRules) -> SceneReading:
    """Find what a frame is to its scene, and the state after it; see the table above."""
    if _is_unfit(state.phase, evidence.fitting, rules):
        return _step_unfit(state, evidence, rules)
    match state.phase:
        case Phase.UNFIT:
            return SceneReading(evidence, Phase.CHANGED, _CHANGED, cut=Cut.JUMP)
        case Phase.STEADY:
            return _step_steady(evidence)
        case Phase.CHANGED | Phase.DRIFTED:
            return _step_changed(state, evidence, rules)
        case Phase.RESTLESS:
            return _step_restless(state, evidence, rules)


def _is_unfit(phase: Phase, fitting: float | None, rules: SceneRules) -> bool:
    if fitting is None:
        return False
    return fitting < (rules.clear_share if phase is Phase.UNFIT else rules.obscured_share)


def _step_unfit(state: SceneState, evidence: Evidence, rules: SceneRules) -> SceneReading:
    frames = state.frames + 1 if state.phase is Phase.UNFIT else 1
    if frames >= rules.adopt_frames:
        change = SceneChange(
            f"the picture has been another one for {frames} frames, and is the scene now"
        )
        return SceneReading(evidence, Phase.CHANGED, _CHANGED, change, cut=Cut.ADOPTED)
    obscured = "" if frames < rules.obscured_frames else _describe_cover(evidence, rules)
    return SceneReading(evidence, Phase.UNFIT, SceneState(Phase.UNFIT, frames), obscured=obscured)


def _describe_cover(evidence: Evidence, rules: SceneRules) -> str:
    mean, fitting = evidence.frame.mean, evidence.fitting or 0.0
    is_covered = mean < rules.dim_level or evidence.detail < rules.covered_detail
    return (
        f"{100.0 * fitting:.0f}% of the picture fits the scene, its mean level is {mean:.0f}: "
        f"the camera may be {'covered, or without light' if is_covered else 'turned, or blocked'}"
    )


def _step_steady(evidence: Evidence) -> SceneReading:
    if evidence.change is not None:
        cut = Cut.JUMP if evidence.is_jump else None
        return SceneReading(evidence, Phase.CHANGED, _CHANGED, evidence.change, cut=cut)
    if evidence.drift is not None:
        after = SceneState(Phase.DRIFTED, frames=1, steady=1)
        return SceneReading(evidence, Phase.DRIFTED, after, evidence.drift)
    return SceneReading(evidence, Phase.STEADY, SceneState())


def _step_changed(state: SceneState, evidence: Evidence, rules: SceneRules) -> SceneReading:
    frames, steady = state.frames + 1, _count_steady(state, evidence)
    phase = Phase.CHANGED if steady == 0 else state.phase
    if steady >= rules.rewarm_frames:
        after = SceneState(Phase.STEADY, 0, steady)
    elif frames >= rules.longest_rewarm_frames:
        after = SceneState(Phase.RESTLESS, 0, steady)
    else:
        after = SceneState(phase, frames, steady)
    if steady == rules.light_frames:
        return SceneReading(evidence, phase, after, cut=Cut.RELIT)
    return SceneReading(evidence, phase, after, cut=Cut.JUMP if evidence.is_jump else None)


def _step_restless(state: SceneState, evidence: Evidence, rules: SceneRules) -> SceneReading:
    steady = _count_steady(state, evidence)
    if steady < rules.rewarm_frames:
        return SceneReading(evidence, Phase.RESTLESS, SceneState(Phase.RESTLESS, 0, steady))
    rest = SceneChange(f"the light has come to rest, mean {evidence.frame.mean:.0f}")
    return SceneReading(evidence, Phase.CHANGED, _CHANGED, rest)


def _count_steady(state: SceneState, evidence: Evidence) -> int:
    return state.steady + 1 if evidence.change is None else 0
