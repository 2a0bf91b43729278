"""One camera's entry in a batch. The detector calls, in this order: `read_scene`, `plan_part`, the
network (`batch_inference`), `append_frame`, `remember_result`, `watch_standing`; for a still frame
`repeat_result` and `watch_standing`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from model.detect.camera_state import CameraState, LastResult
from model.detect.observation import CameraOptions, Observation, Withheld
from model.detect.standing_result import add_standing
from model.engines.crops import Crops
from model.engines.engine import FrameStack
from model.engines.kept_outputs import KeptOutputs, PicturePart
from model.frames import Frame
from model.network.update_rules import Learning
from model.scene.features import Features
from model.scene.scene_phases import Phase, SceneReading
from model.scoring.measures import Measures


@dataclass(slots=True, eq=False)
class CameraTurn:
    """One camera's part of a batch. Each step fills in the next fields."""

    camera: CameraState
    frame: Frame
    options: CameraOptions
    features: Features
    can_skip: bool
    """Places that show what they showed at the last result need not be computed."""
    reading: SceneReading | None = None
    """The scene's comparison with the frame; None: the scene isn't watched."""
    lit_frame: Frame = field(init=False)
    """The frame in the light that the network knows."""
    withheld: Withheld | None = None
    part: PicturePart | None = None
    """The part that is computed, and where that is kept; None: the whole picture, not kept."""
    measures: Measures = field(init=False)
    is_below_gamma: bool = False
    result: Observation = field(init=False)

    def is_still(self, within_s: float) -> bool:
        """Returns whether the last result, no older than `within_s`, is of the same picture."""
        return self.can_skip and self.camera.is_still(self.features, self.options, within_s)

    @property
    def can_predict(self) -> bool:
        """True where the frame can be predicted from the camera's last frames."""
        is_predictable = self.reading is None or self.reading.is_predictable
        return is_predictable and self.camera.has_context

    @property
    def is_scored(self) -> bool:
        """True unless the scene forbids to score the frame and to learn from it."""
        return self.reading is None or self.reading.phase.has_scores

    @property
    def is_in_steady_light(self) -> bool:
        """True where the picture is the scene's, in steady light, as far as anybody watches it."""
        return self.reading is None or self.reading.phase is Phase.STEADY

    def read_scene(self) -> None:
        """Compare the frame with the camera's scene; the camera stays as it is."""
        if self.options.watch_scene:
            self.reading = self.camera.scene.read(self.features.thumb)
        self.lit_frame = self.camera.relight(self.frame, self.reading)
        self.withheld = self._find_withheld()
        self.result = Observation(self.withheld)

    def _find_withheld(self) -> Withheld | None:
        reading, camera = self.reading, self.camera
        if camera.scorer is None:
            return Withheld.NO_RANGE
        if reading is not None and reading.phase is Phase.UNFIT:
            return Withheld.UNFIT
        if reading is not None and (reading.phase.is_measuring or reading.cut):
            return Withheld.CHANGED
        return None if camera.has_context else Withheld.FEW_FRAMES

    def plan_part(self, crops: Crops, within_s: float) -> None:
        """Decide what the network computes of the frame.

        Args: within_s: the whole picture is computed at least once in so long.
        """
        if not self.is_in_steady_light:
            return
        camera, last = self.camera, self.camera.last_result
        light = camera.scene.get_light(self.reading)
        # Until the new result is remembered, the kept outputs belong to no frame.
        camera.last_result = None
        kept = None if last is None or last.options is not self.options else last.kept
        # Another light changes the pixels of all places.
        if kept is not None and light.is_near(kept.light) and camera.is_lit_by(kept.light):
            active = camera.stillness.find_active(self.features, within_s)
            crop = None if active is None else crops.find(active)
            if crop is not None:
                self.part = PicturePart(kept, crop)
                return
        if not camera.is_lit_by(light):
            return
        kept = kept or KeptOutputs(crops.config)
        kept.light = light
        self.part = PicturePart(kept, None)

    def compute_score(
        self, measures: Measures, default_threshold: float | None
    ) -> tuple[float | None, float | None]:
        """Returns score and threshold; both None where the bundle has no ranges."""
        scorer, options = self.camera.scorer, self.options
        if scorer is None:
            return None, None
        threshold = default_threshold if options.threshold is None else options.threshold
        steps = self.camera.advance_to(self.features.time_s)
        score = scorer.score(measures, options.appearance_weight, threshold, steps=steps)
        return score, threshold

    def append_frame(self) -> None:
        """Append the frame to the camera's past, and say in the result what the scene did."""
        camera, reading, frame = self.camera, self.reading, np.array(self.frame)
        if reading is None:
            camera.append_unwatched(frame)
            return
        scorer = camera.scorer
        if scorer is not None and reading.phase.is_measuring and self.result.measures is not None:
            scorer.sample(self.result.measures)
        camera.append_compared(frame, reading)
        if scorer is not None and reading.is_last_without_score:
            is_at_rest = reading.next_state.phase is Phase.STEADY
            known = camera.scene.relighting is None and is_at_rest
            scorer.settle(known=known, drifted=reading.phase is Phase.DRIFTED)
        if reading.change is not None or reading.obscured:
            self.result = replace(self.result, scene=reading.change, obscured=reading.obscured)

    def remember_result(self) -> None:
        """Keep the result for the next frames that show the same, unless something is special."""
        camera, result = self.camera, self.result
        if not self.can_skip:
            camera.forget_result()
        elif result.measures is not None and self.is_in_steady_light:
            crop = None if self.part is None else self.part.crop
            camera.stillness.add_inferred(self.features, None if crop is None else crop.region)
            kept = None if self.part is None else self.part.kept
            camera.last_result = LastResult(result, self.options, kept)
        else:
            camera.stillness.add_unscored(self.features)
            camera.last_result = None

    def repeat_result(self, default_threshold: float | None) -> None:
        """Take the last result once more, its score placed in the ranges of now."""
        last = self.camera.last_result
        if last is None or last.result.measures is None:
            raise ValueError("no result to repeat")
        self.camera.append_still(np.array(self.frame), self.features)
        score, threshold = self.compute_score(last.result.measures, default_threshold)
        self.result = replace(
            last.result,
            score=score,
            threshold=threshold,
            memory_updated=False,
            still=True,
            computed=0.0,
        )

    def watch_standing(self, gamma: float) -> None:
        """Add the frame to the standing memory, and what stands still to the result.

        Nothing becomes normal on a frame at or above γ, or by a rule by which nothing is learned.

        Args: gamma: the bundle's γ.
        """
        watch, error = self.options.standing, self.result.gate_error
        if watch is None:
            return
        gamma = gamma if self.options.gamma is None else self.options.gamma
        learning = self.options.update.learning
        learns = learning is Learning.UPDATED and error is not None and error < gamma
        memory = self.camera.standing
        if learning is Learning.TRAINED:
            memory.take_back()
        light = self.camera.scene.last_light
        memory.add(self.features, light, self.reading, learns=learns)
        self.result = add_standing(self.result, memory.find(watch.dwell_s, watch.cells))


def check_batch(
    cameras: Sequence[CameraState],
    frames: Sequence[Frame],
    options: Sequence[CameraOptions],
    shape: tuple[int, ...],
) -> None:
    """Refuse what can't be a batch. Args: shape: of the network's frames.

    Raises: ValueError: names what is wrong.
    """
    if not len(cameras) == len(frames) == len(options):
        raise ValueError(
            f"{len(cameras)} cameras, {len(frames)} frames, {len(options)} options: unequal"
        )
    if len({id(camera) for camera in cameras}) != len(cameras):
        raise ValueError("a camera stands twice in one batch")
    for frame in frames:
        if frame.dtype != np.uint8 or frame.shape != shape:
            raise ValueError(f"a frame must be uint8 {shape}, got {frame.dtype} {frame.shape}")
    for option in options:
        if option.watched is not None and option.watched.pixels.shape != shape[:2]:
            raise ValueError(f"zones of {shape[:2]}, got {option.watched.pixels.shape}")


def stack_frames(turns: Sequence[CameraTurn]) -> FrameStack:
    """Stack the last frames of each camera and its new one: (B, N*C, H, W)."""
    stacked = np.stack([np.stack((*turn.camera.frames, turn.lit_frame)) for turn in turns])
    # (B, N, H, W) or (B, N, H, W, 3)
    if stacked.ndim == 5:
        stacked = np.ascontiguousarray(stacked.transpose(0, 1, 4, 2, 3))
    return stacked.reshape(len(stacked), -1, *stacked.shape[-2:])


def list_reads(turns: Sequence[CameraTurn]) -> NDArray[np.bool_]:
    """List for which cameras the memory is on, (B,)."""
    return np.array([turn.options.update.reads for turn in turns])
