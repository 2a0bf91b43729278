"""The stateful face of the model: frames of several cameras in, one result a camera out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from model.bundles.bundle import Bundle
from model.detect.batch_inference import BatchInference
from model.detect.camera_state import CameraState
from model.detect.camera_turn import CameraTurn, check_batch
from model.detect.observation import CameraOptions, Observation
from model.engines.choice import open_engine
from model.engines.crops import Crops
from model.engines.names import EngineName
from model.engines.required_measures import find_required_measures
from model.frames import Frame
from model.scene.features import Features, extract
from model.scene.stillness import REFRESH_S
from model.scoring.score_config import ScoreConfig
from model.scoring.scorer import Scorer
from model.stages import Stage, StageTimes


class Detector:
    """A bundle at work. The network's weights are shared; all that adapts is in CameraState.

    As many threads may call it at a time as it takes `batches`, each for other cameras.

    Args:
        scores: their errors are measured in addition to those of the bundle's own score.
        engine: what runs the network; None is PyTorch in fp32, which the others are compared with.
        threads: used by an engine that has threads of its own.
        times: where the CPU time of scene and network is counted.
    Raises: EngineError: this machine or this bundle can't have that engine.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "cpu",
        scores: Sequence[ScoreConfig] = (),
        engine: EngineName | None = None,
        threads: int = 1,
        times: StageTimes | None = None,
    ) -> None:
        self.bundle = bundle
        self._times = times if times is not None else StageTimes()
        self.device = torch.device(device)
        required = find_required_measures(bundle, scores)
        if engine is None:
            engine = EngineName.CUDA_FP32 if self.device.type == "cuda" else EngineName.TORCH_FP32
        self._engine = open_engine(engine, bundle, required, device, threads)
        self._crops = Crops(bundle.config)
        self._inference = BatchInference(bundle, self._engine, required, self.device, self._times)
        trained = bundle.items.cpu().numpy().astype("<f4").tobytes()
        placed = repr((bundle.score, bundle.calibration.normal)).encode()
        self._origin = hashlib.sha256(trained + placed).hexdigest()
        self._bundle_options = CameraOptions()
        self._shape = bundle.frame_shape.array_shape

    @property
    def engine(self) -> EngineName:
        """The engine that runs the network."""
        return self._engine.name

    def prepare_parts(self) -> None:
        """Make ready to compute parts of pictures, if the bundle allows it: otherwise each new
        shape of part delays its frame."""
        if self.bundle.calibration.skips_still and self._engine.computes_parts:
            self._engine.prepare_parts()

    @property
    def batches(self) -> int:
        """Batches, of different cameras, that may be observed at a time by as many threads."""
        return self._engine.batches

    def start(self) -> CameraState:
        """Make a camera that has seen nothing: items as trained, ranges as in the bundle."""
        normal = self.bundle.calibration.normal
        return CameraState(
            self.bundle.config,
            self._inference.trained_items,
            Scorer(self.bundle.score, normal) if normal else None,
            origin=self._origin,
            fps=self.bundle.provenance.frame_rate or 10.0,
        )

    def restore(self, data: bytes) -> CameraState:
        """Make a camera as `CameraState.save` left it.

        Raises: ValueError: not such bytes, damaged ones, or those of another bundle.
        """
        state = self.start()
        state.restore(data, self._shape)
        return state

    @torch.inference_mode()
    def observe(
        self,
        cameras: Sequence[CameraState],
        frames: Sequence[Frame],
        options: Sequence[CameraOptions] | None = None,
        features: Sequence[Features] | None = None,
        *,
        refresh_s: float = REFRESH_S,
    ) -> list[Observation]:
        """Observe the next frame of each camera, as one batch.

        Args:
            cameras: different ones; each is changed, all of them or, when this raises, none (but
                that the network then runs for the whole of their next frames).
            frames: one for each, uint8, of the bundle's frame shape; copied.
            options: one for each; None stands for the bundle's settings throughout. A result is
                used again only while a camera's options are the very same object.
            features: of the frames, where they are known already.
            refresh_s: the network runs for the whole picture at least once in so long for a camera
                that stands still; where something moves, at least once in `REFRESH_S`.
        Raises: ValueError: a frame of another shape or type, a camera twice, unequal lengths.
        """
        options = options if options is not None else [self._bundle_options] * len(cameras)
        check_batch(cameras, frames, options, self._shape)
        features = features or [extract(frame) for frame in frames]
        can_skip = map(self._can_skip, options)
        turns = list(map(CameraTurn, cameras, frames, options, features, can_skip))
        still: list[CameraTurn] = []
        moving: list[CameraTurn] = []
        for turn in turns:
            (still if turn.is_still(refresh_s) else moving).append(turn)
        self._observe_with_network(moving, min(refresh_s, REFRESH_S))
        for turn in still:
            turn.repeat_result(self._inference.default_threshold)
            turn.watch_standing(self.bundle.calibration.gamma)
        return [turn.result for turn in turns]

    def is_still(
        self,
        camera: CameraState,
        features: Features,
        options: CameraOptions,
        within_s: float = REFRESH_S,
    ) -> bool:
        """Returns whether the camera's next frame shows the same as its last result's, which must
        be no older than `within_s`."""
        return self._can_skip(options) and camera.is_still(features, options, within_s)

    def _can_skip(self, options: CameraOptions) -> bool:
        if options.skip_still is None:
            return self.bundle.calibration.skips_still
        return options.skip_still

    def _observe_with_network(self, turns: Sequence[CameraTurn], refresh_s: float) -> None:
        """Observe the frames that the network is to run for, where it can."""
        with self._times.spend_on(Stage.SCENE):
            for turn in turns:
                turn.read_scene()
        ready = [turn for turn in turns if turn.can_predict]
        if self._engine.computes_parts:
            for turn in ready:
                if turn.can_skip:
                    turn.plan_part(self._crops, refresh_s)
        if ready:
            self._inference.run(ready)
        with self._times.spend_on(Stage.SCENE):
            for turn in turns:
                turn.append_frame()
                turn.remember_result()
                turn.watch_standing(self.bundle.calibration.gamma)

    @torch.inference_mode()
    def predict_picture(
        self, camera: CameraState, frame: Frame, options: CameraOptions | None = None
    ) -> Frame:
        """Predict the camera's next frame and return that picture; the camera stays as it is.

        Raises: ValueError: the camera hasn't seen frames enough, or the frame is of another shape.
        """
        options = options or self._bundle_options
        check_batch([camera], [frame], [options], self._shape)
        if not camera.has_context:
            raise ValueError(
                f"needs {self.bundle.config.context} frames before, got {len(camera.frames)}"
            )
        turn = CameraTurn(camera, frame, options, extract(frame), can_skip=False)
        turn.read_scene()
        predicted = self._inference.predict(turn)  # (1, C, H, W)
        levels = (predicted[0].clamp(0.0, 1.0) * 255.0).round().byte().numpy()
        return np.ascontiguousarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))
