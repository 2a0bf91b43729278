"""The stateful face of the model: frames of several cameras in, one result a camera out."""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import measures, memory
from model.bundle import Bundle
from model.config import NetConfig
from model.frames import Frame
from model.score import Measures, Scorer, pool_cells, pool_top

STATE_MAGIC = b"NWCS\x01"


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """What one camera sets apart from the bundle; None takes the bundle's."""

    gamma: float | None = None
    appearance_weight: float | None = None
    """λ."""
    threshold: float | None = None
    adapt: bool = True
    """Whether frames below γ update the memory."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One frame's result."""

    warming: bool
    """Too few frames since the start or a cut, or no normal range: there is no score."""
    psnr: float | None = None
    distance: float | None = None
    gate_error: float | None = None
    score: float | None = None
    """In [0, 1]."""
    threshold: float | None = None
    memory_updated: bool = False
    heat: NDArray[np.float32] | None = None
    """(rows, columns), >= 0: error by place; 1 is the most that normal footage gave."""
    region: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom of where the error is largest, as shares of the picture."""
    measures: Measures | None = None


class CameraState:
    """What the detector keeps of one camera: its items, its last frames, its running ranges."""

    def __init__(self, config: NetConfig, items: Tensor, scorer: Scorer | None) -> None:
        self.items = items
        """(M, C), float32, on the CPU or the detector's device."""
        self.frames: deque[Frame] = deque(maxlen=max(config.context, 1))
        self.scorer = scorer

    def cut(self) -> None:
        """Say that the next frame doesn't follow the last one. Items and ranges stay."""
        self.frames.clear()
        if self.scorer is not None:
            self.scorer.cut()

    def save(self) -> bytes:
        """Everything, to the bit; `Detector.restore` takes it back."""
        items = self.items.detach().cpu().numpy().astype("<f4")
        header = json.dumps(
            {
                "items": items.shape,
                "frames": [frame.shape for frame in self.frames],
                "numbers": {k: v.hex() for k, v in self.scorer.numbers().items()}
                if self.scorer
                else None,
            }
        ).encode()
        parts = [STATE_MAGIC, struct.pack("<I", len(header)), header, items.tobytes()]
        return b"".join(parts + [frame.tobytes() for frame in self.frames])


class Detector:
    """A bundle at work. The network's weights are shared; all that adapts is in CameraState.

    Not thread-safe: one thread calls it.
    """

    def __init__(self, bundle: Bundle, *, device: str = "cpu") -> None:
        self.bundle = bundle
        self.device = torch.device(device)
        self._network = bundle.network.to(self.device).channels_last()
        normal = bundle.calibration.normal
        self._heat_scale = 1.0 / max(normal.pooled.high, 1e-6) if normal else 1.0

    def start(self) -> CameraState:
        """A camera that has seen nothing: items as trained, ranges as saved with the bundle."""
        return CameraState(self.bundle.config, self.bundle.items[0].to(self.device), self._scorer())

    def _scorer(self) -> Scorer | None:
        normal = self.bundle.calibration.normal
        return Scorer(self.bundle.score, normal) if normal else None

    def restore(self, data: bytes) -> CameraState:
        """A camera as `CameraState.save` left it.

        Raises: ValueError: not such bytes, or those of another network.
        """
        state = self.start()
        prefix = len(STATE_MAGIC) + 4
        if len(data) < prefix or not data.startswith(STATE_MAGIC):
            raise ValueError("not a saved camera state")
        (length,) = struct.unpack_from("<I", data, len(STATE_MAGIC))
        try:
            header = json.loads(data[prefix : prefix + length])
            numbers = header["numbers"]
            shapes = [tuple(header["items"]), *map(tuple, header["frames"])]
        except (ValueError, KeyError, TypeError):
            raise ValueError("a saved camera state's header is damaged") from None
        frame_shape = self.bundle.frame_shape.array_shape
        if shapes[0] != tuple(state.items.shape) or any(s != frame_shape for s in shapes[1:]):
            raise ValueError(f"a saved camera state of another network: shapes {shapes}")
        body = memoryview(data)[prefix + length :]
        sizes = [4 * int(np.prod(shapes[0])), *(int(np.prod(s)) for s in shapes[1:])]
        if len(body) != sum(sizes) or len(shapes) - 1 > (state.frames.maxlen or 0):
            raise ValueError("a saved camera state has the wrong length")
        items = np.frombuffer(body[: sizes[0]], dtype="<f4").reshape(shapes[0]).copy()
        if not np.isfinite(items).all():
            raise ValueError("a saved camera state's items are not finite")
        state.items = torch.from_numpy(items).to(self.device)
        offset = sizes[0]
        for size in sizes[1:]:
            pixels = np.frombuffer(body[offset : offset + size], dtype=np.uint8)
            state.frames.append(pixels.reshape(frame_shape).copy())
            offset += size
        if state.scorer is not None and numbers is not None:
            state.scorer.restore({name: float.fromhex(text) for name, text in numbers.items()})
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
            frames: one for each, uint8, of the bundle's frame shape.
            options: one for each; None stands for the bundle's settings throughout.
        Raises: ValueError: a frame of another shape or type, a camera twice, or lengths that differ.
        """
        options = options if options is not None else [CameraOptions()] * len(cameras)
        self._check(cameras, frames, options)
        context = self.bundle.config.context
        ready = [i for i, camera in enumerate(cameras) if len(camera.frames) >= context]
        results = [Observation(warming=True)] * len(cameras)
        if ready:
            observed = self._infer(
                [cameras[i] for i in ready], [frames[i] for i in ready], [options[i] for i in ready]
            )
            for index, result in zip(ready, observed, strict=True):
                results[index] = result
        for camera, frame in zip(cameras, frames, strict=True):
            camera.frames.append(frame)
        return results

    def _check(
        self,
        cameras: Sequence[CameraState],
        frames: Sequence[Frame],
        options: Sequence[CameraOptions],
    ) -> None:
        if not len(cameras) == len(frames) == len(options):
            raise ValueError(
                f"{len(cameras)} cameras, {len(frames)} frames and {len(options)} options don't match"
            )
        if len({id(camera) for camera in cameras}) != len(cameras):
            raise ValueError("a camera stands twice in one batch")
        shape = self.bundle.frame_shape.array_shape
        for frame in frames:
            if frame.dtype != np.uint8 or frame.shape != shape:
                raise ValueError(f"a frame must be uint8 {shape}, got {frame.dtype} {frame.shape}")

    def _tensor(self, frames: Sequence[Frame]) -> Tensor:
        """Stack frames (T of them) to (T*C, H, W), uint8."""
        stacked = np.stack(frames)  # (T, H, W) or (T, H, W, 3)
        if stacked.ndim == 4:
            stacked = stacked.transpose(0, 3, 1, 2)
        return torch.from_numpy(stacked.reshape(-1, *stacked.shape[-2:]))

    def _infer(
        self,
        cameras: Sequence[CameraState],
        frames: Sequence[Frame],
        options: Sequence[CameraOptions],
    ) -> list[Observation]:
        config, calibration = self.bundle.config, self.bundle.calibration
        actual = (
            torch.stack([self._tensor([frame]) for frame in frames]).to(self.device).float() / 255.0
        )
        if config.context:
            pictures = torch.stack([self._tensor(camera.frames) for camera in cameras]).to(
                self.device
            )
            pictures = pictures.float() / 255.0
        else:
            pictures = actual
        items = torch.stack([camera.items for camera in cameras])  # (B, M, C)
        pictures = (pictures * 2.0 - 1.0).contiguous(memory_format=torch.channels_last)
        predicted, queries = self._network(pictures, items)
        predicted = (predicted.float() + 1.0) / 2.0

        chosen = memory.select(items, memory.nearest(queries, items)[..., 0])
        distance = measures.query_distance(queries, chosen, calibration.error_form)
        psnr = measures.psnr(predicted, actual, self.bundle.score.peak)
        gate = measures.gate_error(predicted, actual, calibration.error_form)
        cells = pool_cells(measures.error_map(predicted, actual), self.bundle.score)
        pooled = measures.require_finite(
            "pooled error", pool_top(cells, self.bundle.score.top_cells)
        )
        updated = memory.update(queries, items)

        maps = cells.cpu().numpy()
        columns = (psnr.tolist(), distance.tolist(), pooled.tolist(), gate.tolist())
        results: list[Observation] = []
        for index, values in enumerate(zip(*columns, strict=True)):
            option, camera = options[index], cameras[index]
            measured = Measures(*values)
            gamma = calibration.gamma if option.gamma is None else option.gamma
            accept = option.adapt and measured.gate_error < gamma
            if accept:
                camera.items = updated[index].clone()
            results.append(self._observation(camera, option, measured, maps[index], accept))
        return results

    def _observation(
        self,
        camera: CameraState,
        option: CameraOptions,
        measured: Measures,
        cells: NDArray[np.float32],
        accepted: bool,
    ) -> Observation:
        score = threshold = None
        if camera.scorer is not None:
            score = camera.scorer.score(measured, option.appearance_weight)
            threshold = option.threshold
            if threshold is None:
                threshold = self.bundle.calibration.thresholds.get(self.bundle.score.name)
        return Observation(
            warming=score is None,
            psnr=measured.psnr,
            distance=measured.distance,
            gate_error=measured.gate_error,
            score=score,
            threshold=threshold,
            memory_updated=accepted,
            heat=cells * np.float32(self._heat_scale),
            region=region_of(cells),
            measures=measured,
        )


def region_of(cells: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Box around the cells that are connected to the largest and at least half as large.

    Args:
        cells: (rows, columns), >= 0.
    Returns: left, top, right, bottom as shares of the picture, each in [0, 1].
    """
    rows, columns = cells.shape
    peak_row, peak_column = divmod(int(cells.argmax()), columns)
    strong = (cells >= 0.5 * cells[peak_row, peak_column]).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(strong, connectivity=8)
    left, top, width, height, _ = (int(v) for v in stats[labels[peak_row, peak_column]])
    return left / columns, top / rows, (left + width) / columns, (top + height) / rows
