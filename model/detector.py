"""The stateful face of the model: frames of several cameras in, one result a camera out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import updates
from model.bundle import Bundle
from model.camera_state import CameraState, parse_state
from model.catalog import BundleError
from model.config import LIVE, ErrorKind, ScoreConfig
from model.engines.choice import open_engine
from model.engines.engine import EngineOutput, FrameStack
from model.engines.forms import COLUMNS, Wanted
from model.engines.names import EngineName
from model.engines.narrowing import narrowed, zoned
from model.frames import Frame
from model.looks import Look
from model.memories import memory_of
from model.observation import CameraOptions, Observation
from model.rules import Learning, Passed, UpdateRule, passed
from model.score import Measures, Scorer
from model.zones import region_of


class Detector:
    """A bundle at work. The network's weights are shared; all that adapts is in CameraState.

    Not thread-safe: one thread calls it.

    Args:
        scores: whose errors are measured, beside those of the bundle's own score.
        engine: what runs the network; None is PyTorch in fp32, which the others are compared with.
        threads: of an engine that has threads of its own.
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
    ) -> None:
        self.bundle = bundle
        self.device = torch.device(device)
        wanted = wanted_of(bundle, scores)
        self._wanted = wanted
        self._keys = tuple(step.key for step in wanted.errors)
        if engine is None:
            engine = EngineName.CUDA_FP32 if self.device.type == "cuda" else EngineName.TORCH_FP32
        self._engine = open_engine(engine, bundle, wanted, device, threads)
        normal = bundle.calibration.normal
        usual = normal.errors.get(wanted.heat.key) if normal else None
        self._heat_scale = 1.0 / max(usual.high, 1e-6) if usual else 1.0
        trained = bundle.items.cpu().numpy().astype("<f4").tobytes()
        placed = repr((bundle.score, normal)).encode()
        self._origin = hashlib.sha256(trained + placed).hexdigest()
        self._trained = bundle.items[0].to(self.device)
        self._adapts = memory_of(bundle.config).adapts

    @property
    def engine(self) -> EngineName:
        """What runs the network."""
        return self._engine.name

    def start(self) -> CameraState:
        """A camera that has seen nothing: items as trained, ranges as saved with the bundle."""
        normal = self.bundle.calibration.normal
        return CameraState(
            self.bundle.config,
            self._trained,
            Scorer(self.bundle.score, normal) if normal else None,
            origin=self._origin,
        )

    def restore(self, data: bytes) -> CameraState:
        """A camera as `CameraState.save` left it.

        Raises: ValueError: not such bytes, damaged ones, or those of another bundle.
        """
        state = self.start()
        header, body = parse_state(data)
        frame_shape = self.bundle.frame_shape.array_shape
        kept = state.items if self._adapts else state.items[:0]
        if header.origin != self._origin or header.items != tuple(kept.shape):
            raise ValueError("a saved camera state of another bundle")
        if any(shape != frame_shape for shape in header.frames):
            raise ValueError(f"a saved camera state with frames of shapes {header.frames}")
        count, size = len(header.frames), int(np.prod(frame_shape))
        cut = 4 * kept.numel()
        first_frame = cut + header.scene_size
        if len(body) - first_frame != count * size or count > self.bundle.config.context:
            raise ValueError("a saved camera state has the wrong length")
        items = np.frombuffer(body[:cut], dtype="<f4").reshape(header.items)
        if not np.isfinite(items).all():
            raise ValueError("a saved camera state's items are not finite")
        if self._adapts:
            state.items = torch.from_numpy(items.astype(np.float32)).to(self.device)
        state.passed = header.passed
        frames = np.frombuffer(body[first_frame:], dtype=np.uint8).reshape(count, *frame_shape)
        state.frames.extend(frame.copy() for frame in frames)
        if state.scorer is not None and header.numbers is not None:
            state.scorer.restore(header.numbers)
        if header.scene is not None:
            state.scene.restore(header.scene, bytes(body[cut:first_frame]))
        return state

    @torch.inference_mode()
    def observe(
        self,
        cameras: Sequence[CameraState],
        frames: Sequence[Frame],
        options: Sequence[CameraOptions] | None = None,
    ) -> list[Observation]:
        """Take in the next frame of each camera, as one batch.

        Args:
            cameras: different ones; each is changed, all of them or, when this raises, none.
            frames: one for each, uint8, of the bundle's frame shape; copied.
            options: one for each; None stands for the bundle's settings throughout.
        Raises: ValueError: a frame of another shape or type, a camera twice, unequal lengths.
        """
        options = options if options is not None else [CameraOptions()] * len(cameras)
        self._check(cameras, frames, options)
        context = self.bundle.config.context
        looks = [
            camera.scene.look(frame) if option.watch_scene else None
            for camera, frame, option in zip(cameras, frames, options, strict=True)
        ]
        shown = [
            camera.shown(frame, look)
            for camera, frame, look in zip(cameras, frames, looks, strict=True)
        ]
        ready = [
            i
            for i, (camera, look) in enumerate(zip(cameras, looks, strict=True))
            if len(camera.frames) >= context and not (look and look.cut and not look.relit)
        ]
        results = [Observation(warming=True)] * len(cameras)
        if ready:
            observed = self._infer(
                [cameras[i] for i in ready],
                [shown[i] for i in ready],
                [options[i] for i in ready],
                [bool(look and look.quiet) for look in (looks[i] for i in ready)],
            )
            for index, result in zip(ready, observed, strict=True):
                results[index] = result
        return [_taken_in(*each) for each in zip(cameras, frames, looks, results, strict=True)]

    def _check(
        self,
        cameras: Sequence[CameraState],
        frames: Sequence[Frame],
        options: Sequence[CameraOptions],
    ) -> None:
        if not len(cameras) == len(frames) == len(options):
            raise ValueError(
                f"{len(cameras)} cameras, {len(frames)} frames, {len(options)} options: unequal"
            )
        if len({id(camera) for camera in cameras}) != len(cameras):
            raise ValueError("a camera stands twice in one batch")
        shape = self.bundle.frame_shape.array_shape
        for frame in frames:
            if frame.dtype != np.uint8 or frame.shape != shape:
                raise ValueError(f"a frame must be uint8 {shape}, got {frame.dtype} {frame.shape}")
        for option in options:
            if option.watched is not None and option.watched.pixels.shape != shape[:2]:
                raise ValueError(f"zones of {shape[:2]}, got {option.watched.pixels.shape}")

    def _stacked(self, cameras: Sequence[CameraState], frames: Sequence[Frame]) -> FrameStack:
        """The last frames of each camera and its new one, (B, N*C, H, W)."""
        stacked = np.stack(
            [
                np.stack((*camera.frames, frame))
                for camera, frame in zip(cameras, frames, strict=True)
            ]
        )  # (B, N, H, W) or (B, N, H, W, 3)
        if stacked.ndim == 5:
            stacked = np.ascontiguousarray(stacked.transpose(0, 1, 4, 2, 3))
        return stacked.reshape(len(stacked), -1, *stacked.shape[-2:])

    @torch.inference_mode()
    def picture(
        self, camera: CameraState, frame: Frame, options: CameraOptions | None = None
    ) -> Frame:
        """What the network makes of the camera's next frame, which is not taken in.

        Raises: ValueError: the camera hasn't seen frames enough, or the frame is of another shape.
        """
        options = options or CameraOptions()
        self._check([camera], [frame], [options])
        if len(camera.frames) < self.bundle.config.context:
            raise ValueError(
                f"needs {self.bundle.config.context} frames before, got {len(camera.frames)}"
            )
        look = camera.scene.look(frame) if options.watch_scene else None
        predicted = self._engine.predict(
            self._stacked([camera], [camera.shown(frame, look)]),
            self._items([camera], [options.update]),
            _reads([options.update]),
        )  # (1, C, H, W)
        levels = (predicted[0].clamp(0.0, 1.0) * 255.0).round().byte().numpy()
        return np.ascontiguousarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))

    def _infer(
        self,
        cameras: Sequence[CameraState],
        frames: Sequence[Frame],
        options: Sequence[CameraOptions],
        quiet: Sequence[bool],
    ) -> list[Observation]:
        """Of those that are quiet nothing is scored, and nothing learned."""
        rules = [option.update for option in options]
        items = self._items(cameras, rules)
        stack, parts = self._stacked(cameras, frames), [option.watched for option in options]
        output = self._engine.run(stack, items, _reads(rules), zoned(parts))
        output = narrowed(output, stack, parts, self._wanted)
        measured = self._measures(output)
        below = [
            row.gate_error < self._gamma(option)
            for option, row in zip(options, measured, strict=True)
        ]
        learns = [self._adapts and low and not no for low, no in zip(below, quiet, strict=True)]
        learned = updates.learned(output.queries, items, self._trained[None], rules, learns)
        # Nothing raises below this line: all cameras change, or none does.
        for each in zip(cameras, rules, learned, below, strict=True):
            self._settle(*each)
        updated = [items is not None for items in learned]
        drifts = self._drifts_deg(cameras)
        return [
            self._observation(*each)
            for each in zip(
                cameras, options, measured, output.heat, updated, drifts, quiet, strict=True
            )
        ]

    def _measures(self, output: EngineOutput) -> list[Measures]:
        """Raises: ValueError: one isn't finite."""
        columns = output.columns
        if not np.isfinite(columns).all():
            names = (*COLUMNS, *self._keys)
            bad = names[int(np.argwhere(~np.isfinite(columns))[0][1])]
            raise ValueError(
                f"{bad} is not finite: the frames, queries or items hold NaN or infinity"
            )
        return [
            Measures(row[0], row[1], row[2], dict(zip(self._keys, row[3:], strict=True)))
            for row in columns.tolist()
        ]

    def _gamma(self, option: CameraOptions) -> float:
        return self.bundle.calibration.gamma if option.gamma is None else option.gamma

    def _items(self, cameras: Sequence[CameraState], rules: Sequence[UpdateRule]) -> Tensor:
        """What each camera's queries are compared with: (B, M, C), or (1, M, C) for all."""
        if not self._adapts:
            return self._trained[None]
        return torch.stack(
            [
                self._trained if rule.learning is Learning.TRAINED else camera.items
                for camera, rule in zip(cameras, rules, strict=True)
            ]
        )

    def _settle(
        self, camera: CameraState, rule: UpdateRule, learned: Tensor | None, below: bool
    ) -> None:
        """Give a camera the items of its next frame."""
        if rule.learning is not Learning.UPDATED:
            camera.passed, rolled_back = Passed(), rule.learning is Learning.TRAINED
        else:
            camera.passed, rolled_back = passed(camera.passed, rule, below=below)
        if rolled_back:
            camera.items = self._trained
        elif learned is not None:
            camera.items = learned

    def _drifts_deg(self, cameras: Sequence[CameraState]) -> list[float]:
        """How far each camera's items are from the trained ones: of the farthest."""
        if not self._adapts:
            return [0.0] * len(cameras)
        items = torch.stack([camera.items for camera in cameras])  # (B, M, C)
        drifts: list[float] = updates.angles_deg(items, self._trained).amax(dim=1).tolist()
        return drifts

    def _observation(
        self,
        camera: CameraState,
        option: CameraOptions,
        measured: Measures,
        cells: NDArray[np.float32],
        updated: bool,
        drift_deg: float,
        quiet: bool,
    ) -> Observation:
        score = threshold = None
        if camera.scorer is not None and not quiet:
            threshold = option.threshold
            if threshold is None:
                threshold = self.bundle.calibration.thresholds.get(self.bundle.score.name)
            score = camera.scorer.score(measured, option.appearance_weight, threshold)
        part, step = option.watched, self._wanted.heat
        region = region_of(cells) if part is None else part.region_of(cells, step)
        return Observation(
            warming=score is None,
            psnr=measured.psnr,
            distance=measured.distance,
            gate_error=measured.gate_error,
            score=score,
            threshold=threshold,
            memory_updated=updated,
            memory_drift_deg=drift_deg,
            heat=cells * np.float32(self._heat_scale),
            region=region,
            measures=measured,
        )


def wanted_of(bundle: Bundle, scores: Sequence[ScoreConfig] = ()) -> Wanted:
    """What is measured of a frame for the bundle's own score and these.

    Raises: BundleError: its score takes a judgement, which its network doesn't give.
    """
    own = bundle.score
    if own.judgement is not None and not bundle.config.judges:
        raise BundleError(f"score {own.name} takes a judgement, which {bundle.name} doesn't give")
    steps = {step.key: step for score in (own, *scores) for step in score.steps}
    heat = own.judgement or own.error
    return Wanted(
        bundle.calibration.error_form,
        own.error.peak,
        tuple(steps.values()),
        LIVE.error if heat.form is ErrorKind.PSNR else heat,
    )


def _taken_in(
    camera: CameraState, frame: Frame, look: Look | None, result: Observation
) -> Observation:
    """The frame becomes the camera's past; the result says what it is to the scene."""
    if look is None:
        camera.frames.append(np.array(camera.shown(frame, None)))
        return result
    scorer = camera.scorer
    if scorer is not None and look.warming and result.measures is not None:
        scorer.sample(result.measures)
    camera.take_in(np.array(frame), look)
    if scorer is not None and look.settled:
        known = camera.scene.relighting is None and not look.restless
        scorer.settle(known=known, drifted=look.drifted)
    change, camera.untold = camera.untold, None
    if change is None and not look.obscured:
        return result
    return replace(result, scene=change, obscured=look.obscured)


def _reads(rules: Sequence[UpdateRule]) -> NDArray[np.bool_]:
    return np.array([rule.reads for rule in rules])
