"""A camera's scene: whether its picture still is the scene's, and in which light.

Each frame is compared, much reduced, with a slow reference and a short past: levels show the light,
edges (by orientation without sign, at any contrast) show the place. Causal and deterministic. After
a change of the light, `Scene` finds how frames are turned into the light that the network knows.
`model.scene.scene_phases` decides what a frame is to the scene. Scores are unknown here: the
detector acts on the readings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.frames import Frame
from model.scene.exposure import NO_EXPOSURE, Exposure, estimate_exposure
from model.scene.features import SIDE, Thumb
from model.scene.light import Light
from model.scene.light_changes import (
    LevelHistory,
    describe_change,
    find_changed_cells,
    is_light_change,
)
from model.scene.relighting import GAINS_SIDE, Reduced, Relighting
from model.scene.scene_features import (
    CELLS,
    Levels,
    average_cells,
    extract_scene_features,
    measure_share,
)
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
from model.scene.scene_reference import SceneReference
from model.scene.scene_rules import SceneRules


class Scene:
    """One camera's scene. `read` compares a frame; `append` makes it a part of the past."""

    def __init__(self, rules: SceneRules) -> None:
        self.rules = rules
        self.relighting: Relighting | None = None
        """Turns a frame into the light that the network knows; None: it is in that light."""
        self._state = SceneState()
        self._reference = SceneReference(rules)
        self._history = LevelHistory(rules)
        self._exposure = NO_EXPOSURE
        """The last one that was estimated."""
        self._anchor: Levels | None = None
        """The levels when the light was measured last."""
        self._sum: Reduced = np.zeros((SIDE, SIDE), np.float32)
        """Sum over the frames in steady light since the light changed."""
        self._relit_picture: Reduced | None = None
        """The picture that `relighting` was made for; None: it isn't known (any more)."""

    def cut(self) -> None:
        """Say that the next frame doesn't follow the last one: it is compared with the reference
        and the last light, but not with the frames before, and steady light counts from 0."""
        self._history.clear()
        self._state = replace(self._state, steady=0)

    def repeat(self) -> None:
        """Say that the next frame is as the last one was: the short past goes on in time."""
        self._history.repeat()

    def read(self, thumb: Thumb) -> SceneReading:
        """Compare the camera's next frame, reduced; changes nothing."""
        return step(self._state, self._measure(thumb), self.rules)

    def append(self, reading: SceneReading) -> None:
        """Make a frame that was read a part of the past."""
        frame = reading.evidence.frame
        if not reading.is_predictable:
            self._history.clear()
        self._state = reading.next_state
        self._exposure = frame.exposure
        self._history.append(frame)
        if reading.phase is Phase.UNFIT:
            return
        if reading.cut is Cut.ADOPTED:
            self._forget()
        self._find_light(reading)
        if reading.cut is Cut.RELIT:
            # The exposure is measured against another picture now: older levels don't compare.
            self._history.clear()
        is_known_light = self.relighting is None and reading.phase is Phase.STEADY
        self._reference.learn(frame, in_known_light=is_known_light)

    def get_light(self, reading: SceneReading | None) -> Light:
        """Return the light of a frame that was read; None stands for a frame that wasn't."""
        exposure = NO_EXPOSURE if reading is None else reading.evidence.frame.exposure
        return Light(exposure, self.relighting)

    @property
    def last_light(self) -> Light:
        """The light of the last frame that was read."""
        return Light(self._exposure, self.relighting)

    def undo_light(self, frame: Frame, reading: SceneReading | None) -> Frame:
        """Turn a frame into the light that the network knows; a frame in it is returned as is."""
        return self.get_light(reading).undo(frame)

    def _measure(self, thumb: Thumb) -> Evidence:
        rules, phase = self.rules, self._state.phase
        features = extract_scene_features(thumb, rules.contrast)
        fits, textured = self._reference.compare_edges(features.edges)
        exposure = self._estimate_exposure(features.levels, fits)
        levels = exposure.undo_levels(features.levels)
        frame = ComparedFrame(features, levels, float(levels.mean()), fits, exposure)
        if self._reference.is_young:
            return Evidence(frame, None)
        is_textured = np.count_nonzero(textured) >= rules.least_textured
        fitting = measure_share(fits[textured]) if is_textured else None
        if phase is Phase.UNFIT:
            detail = self._reference.measure_detail(features.edges)
            return Evidence(frame, fitting, detail=detail)
        if fitting is not None and fitting < rules.obscured_share:
            return Evidence(frame, fitting)
        change, is_jump = self._history.find_change(frame, textured)
        drift = None
        if phase is Phase.STEADY and change is None:
            drift = self._find_drift(frame, textured)
        return Evidence(frame, fitting, change, is_jump, drift)

    def _estimate_exposure(self, levels: Levels, fits: NDArray[np.bool_]) -> Exposure:
        """Estimate it from the cells whose edges show: what stands in front says nothing."""
        if not self._reference.has_picture:
            return NO_EXPOSURE
        normal = self._reference.picture if self.relighting is None else self._relit_picture
        if normal is None:
            return NO_EXPOSURE
        estimate = estimate_exposure(levels, average_cells(normal), fits)
        return self._exposure if estimate is None else estimate

    def _find_drift(self, frame: ComparedFrame, textured: NDArray[np.bool_]) -> SceneChange | None:
        """Find a change since the light was measured last, or the return to the known light."""
        before, rules = self._anchor, self.rules
        if before is None:
            return None
        now = self._history.preview_mean(frame)
        mean = max(float(now.mean()), float(before.mean()))
        changed = find_changed_cells(now, before, rules.drift, mean, rules.least_step)
        if is_light_change(changed, frame.fits, textured, rules):
            return SceneChange(describe_change("drifted", changed, before, now))
        if self.relighting is None:
            return None
        as_seen = self._history.preview_mean_as_seen(frame)
        if self._reference.is_known_light(as_seen, rules.back_share):
            return SceneChange(f"the light is what it was first, mean {as_seen.mean():.0f}")
        return None

    def _find_light(self, reading: SceneReading) -> None:
        steady, grey = self._state.steady, reading.evidence.frame.features.grey
        if reading.phase.is_measuring:
            self._sum = self._sum + grey if steady > 1 else grey
        if reading.cut is Cut.RELIT:
            picture = self._sum / np.float32(steady)
            self.relighting = self._reference.find_relighting(picture)
            self._relit_picture = None if self.relighting is None else picture
        is_first = self._anchor is None and not self._reference.is_young
        has_come_to_rest = reading.phase.is_measuring and self._state.phase is Phase.STEADY
        if is_first or has_come_to_rest:
            self._anchor = self._history.mean

    def _forget(self) -> None:
        """Begin with another scene."""
        self._reference.forget()
        self._anchor = self.relighting = self._relit_picture = None
        self._exposure = NO_EXPOSURE

    def dump_numbers(self) -> dict[str, int]:
        """Return the numbers that are saved with `dump_arrays`."""
        return {
            "seen": self._reference.frames,
            "known": self._reference.picture_frames,
            **self._state.to_numbers(),
            "relit": int(self.relighting is not None),
        }

    def dump_arrays(self) -> bytes:
        """Return edges, the picture in the known light, the levels when the light was measured (NaN
        where it wasn't), then gains and tones of the relighting, if there is one."""
        anchor = np.full((CELLS, CELLS), np.nan) if self._anchor is None else self._anchor
        arrays = (self._reference.edges, self._reference.picture, anchor)
        parts = [each.astype("<f4").tobytes() for each in arrays]
        if self.relighting is not None:
            parts += [self.relighting.gains.astype("<f4").tobytes()]
            parts += [self.relighting.tones.tobytes()]
        return b"".join(parts)

    def restore(self, numbers: Mapping[str, int], arrays: bytes) -> None:
        """Take over what was dumped; the next frame is one after a cut.

        Raises: ValueError: wrong size, or not finite; the scene is as it was.
        """
        try:
            seen, known, relit = (int(numbers[name]) for name in ("seen", "known", "relit"))
            state = read_state(numbers)
        except KeyError as missing:
            raise ValueError(f"a saved scene lacks {missing}") from None
        if min(seen, known, numbers["unfit"], numbers["rewarm"]) < 0:
            raise ValueError("a saved scene's numbers are below 0")
        if len(arrays) != count_saved_bytes(relit=bool(relit)):
            raise ValueError(f"a saved scene of {len(arrays)} bytes")
        count = 3 * SIDE * SIDE + CELLS * CELLS
        values = np.frombuffer(arrays, "<f4", count).astype(np.float32)
        edges, picture, anchor = np.split(values, [2 * SIDE * SIDE, 3 * SIDE * SIDE])
        gains = np.frombuffer(arrays, "<f4", GAINS_SIDE**2 if relit else 0, 4 * count)
        if not all(np.isfinite(each).all() for each in (edges, picture, gains)):
            raise ValueError("a saved scene's numbers are not finite")
        self._reference.edges = edges.reshape(2, SIDE, SIDE).copy()
        self._reference.picture = picture.reshape(SIDE, SIDE).copy()
        self._reference.frames, self._reference.picture_frames = seen, known
        self._anchor = anchor.reshape(CELLS, CELLS).copy() if np.isfinite(anchor).all() else None
        self._state = state
        self.relighting = None
        if relit:
            tones = np.frombuffer(arrays[-256:], np.uint8).copy()
            gains = gains.reshape(GAINS_SIDE, GAINS_SIDE).astype(np.float32)
            self.relighting = Relighting(tones, gains)
        self.cut()


def count_saved_bytes(*, relit: bool) -> int:
    """Return the length of `Scene.dump_arrays`."""
    return 4 * (3 * SIDE * SIDE + CELLS * CELLS) + (4 * GAINS_SIDE**2 + 256 if relit else 0)
