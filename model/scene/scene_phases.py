"""The phases of a camera's scene, as a pure state machine: what each frame is to its scene, and
which phase the next frame meets. `model.scene.scene` measures the evidence and keeps the pictures.
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
        is_measuring = self.phase in (Phase.CHANGED, Phase.DRIFTED)
        return {
            "unfit": self.frames if self.phase is Phase.UNFIT else 0,
            "rewarm": self.frames if is_measuring else 0,
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


@dataclass(frozen=True, slots=True)
class SceneReading:
    """What a frame is to its scene."""

    evidence: Evidence
    phase: Phase
    next_phase: Phase
    """The phase that the next frame meets."""
    change: SceneChange | None = None
    """A change that was found on this frame."""
    obscured: str = ""
    """Why the picture isn't the scene's, once that has lasted; a sentence."""
    cut: bool = False
    """The frames before this one can't predict it, or the ones to come."""
    relit: bool = False
    """The effect of the light has been measured: from this frame on frames are relit."""
    adopted: bool = False
    """The picture has been another one for so long that it is the scene now."""

    @property
    def is_plain(self) -> bool:
        """The scene is its own, in steady light, and nothing is to be said about the frame."""
        return self.phase is Phase.STEADY

    @property
    def unfit(self) -> bool:
        """The picture isn't the scene's."""
        return self.phase is Phase.UNFIT

    @property
    def drifted(self) -> bool:
        """The light has changed slowly and little, and the effect is being measured."""
        return self.phase is Phase.DRIFTED

    @property
    def warming(self) -> bool:
        """The effect of a change is being measured."""
        return self.phase is Phase.CHANGED or self.phase is Phase.DRIFTED

    @property
    def quiet(self) -> bool:
        """No score can be given."""
        return self.unfit or self.warming

    @property
    def restless(self) -> bool:
        """The light has changed for too long to wait for its rest."""
        return self.next_phase is Phase.RESTLESS

    @property
    def settled(self) -> bool:
        """This is the last frame without a score."""
        return self.warming and self.next_phase in (Phase.STEADY, Phase.RESTLESS)


Step = tuple[SceneState, SceneReading]

_STEADY = SceneState()
_CHANGED = SceneState(Phase.CHANGED, 1)
_DRIFTED = SceneState(Phase.DRIFTED, 1, 1)


def step(state: SceneState, evidence: Evidence, rules: SceneRules) -> Step:
    """Return the state after a frame, and what the frame is to its scene."""
    if _is_unfit(state.phase, evidence.fitting, rules):
        return _step_unfit(state, evidence, rules)
    match state.phase:
        case Phase.STEADY:
            return _step_steady(evidence)
        case Phase.RESTLESS:
            return _step_restless(state, evidence, rules)
        case Phase.UNFIT:
            # It fits again, in a light that is yet to be measured.
            return _CHANGED, SceneReading(evidence, Phase.CHANGED, Phase.CHANGED, cut=True)
        case _:
            return _step_changed(state, evidence, rules)


def _is_unfit(phase: Phase, fitting: float | None, rules: SceneRules) -> bool:
    if fitting is None:
        return False
    return fitting < (rules.clear_share if phase is Phase.UNFIT else rules.obscured_share)


def _step_unfit(state: SceneState, evidence: Evidence, rules: SceneRules) -> Step:
    frames = state.frames + 1 if state.phase is Phase.UNFIT else 1
    if frames >= rules.adopt_frames:
        change = SceneChange(
            f"the picture has been another one for {frames} frames, and is the scene now"
        )
        return _CHANGED, SceneReading(
            evidence, Phase.CHANGED, Phase.CHANGED, change, cut=True, adopted=True
        )
    obscured = "" if frames < rules.obscured_frames else _describe_cover(evidence, rules)
    after = SceneState(Phase.UNFIT, frames)
    return after, SceneReading(evidence, Phase.UNFIT, Phase.UNFIT, obscured=obscured)


def _describe_cover(evidence: Evidence, rules: SceneRules) -> str:
    mean, fitting = evidence.frame.mean, evidence.fitting or 0.0
    is_covered = mean < rules.dim_level or evidence.detail < rules.covered_detail
    return (
        f"{100.0 * fitting:.0f}% of the picture fits the scene, its mean level is {mean:.0f}: "
        f"the camera may be {'covered, or without light' if is_covered else 'turned, or blocked'}"
    )


def _step_steady(evidence: Evidence) -> Step:
    if evidence.change is not None:
        return _CHANGED, SceneReading(
            evidence, Phase.CHANGED, Phase.CHANGED, evidence.change, cut=evidence.is_jump
        )
    if evidence.drift is not None:
        return _DRIFTED, SceneReading(evidence, Phase.DRIFTED, Phase.DRIFTED, evidence.drift)
    return _STEADY, SceneReading(evidence, Phase.STEADY, Phase.STEADY)


def _step_changed(state: SceneState, evidence: Evidence, rules: SceneRules) -> Step:
    frames, steady = state.frames + 1, _count_steady(state, evidence)
    phase = Phase.CHANGED if steady == 0 else state.phase
    if steady >= rules.rewarm_frames:
        after = SceneState(Phase.STEADY, 0, steady)
    elif frames >= rules.longest_rewarm_frames:
        after = SceneState(Phase.RESTLESS, 0, steady)
    else:
        after = SceneState(phase, frames, steady)
    relit = steady == rules.light_frames
    cut = relit or evidence.is_jump
    return after, SceneReading(evidence, phase, after.phase, cut=cut, relit=relit)


def _step_restless(state: SceneState, evidence: Evidence, rules: SceneRules) -> Step:
    steady = _count_steady(state, evidence)
    if steady < rules.rewarm_frames:
        after = SceneState(Phase.RESTLESS, 0, steady)
        return after, SceneReading(evidence, Phase.RESTLESS, Phase.RESTLESS)
    rest = SceneChange(f"the light has come to rest, mean {evidence.frame.mean:.0f}")
    return _CHANGED, SceneReading(evidence, Phase.CHANGED, Phase.CHANGED, rest)


def _count_steady(state: SceneState, evidence: Evidence) -> int:
    return state.steady + 1 if evidence.change is None else 0
