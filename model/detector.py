"""The stateful face of the model: frames of several cameras in, one result a camera out."""

from __future__ import annotations

import hashlib
import json
import math
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
from model.network import folded
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

    def __post_init__(self) -> None:
        if self.gamma is not None and not (math.isfinite(self.gamma) and self.gamma >= 0.0):
            raise ValueError(f"gamma must be a number, 0 or more, got {self.gamma!r}")
        weight = self.appearance_weight
        if weight is not None and not 0.0 <= weight <= 1.0:
            raise ValueError(f"appearance_weight must be from 0 to 1, got {weight!r}")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, got {self.threshold!r}")


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

    def __init__(
        self, config: NetConfig, items: Tensor, scorer: Scorer | None, *, origin: str
    ) -> None:
        self.items = items
        """(M, C), float32, on the CPU or the detector's device."""
        self.frames: deque[Frame] = deque(maxlen=config.context)
        self.scorer = scorer
        self.origin = origin
        """Of which trained memory the items are; another network couldn't read them."""

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
                "origin": self.origin,
                "items": items.shape,
                "frames": [frame.shape for frame in self.frames],
                "numbers": {k: v.hex() for k, v in self.scorer.numbers().items()}
                if self.scorer
                else None,
            },
            sort_keys=True,
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
        self._network = folded(bundle.network).to(self.device).channels_last()
        normal = bundle.calibration.normal
        self._heat_scale = 1.0 / max(normal.pooled.high, 1e-6) if normal else 1.0
        trained = bundle.items.cpu().numpy().astype("<f4").tobytes()
        self._origin = hashlib.sha256(trained).hexdigest()

    def start(self) -> CameraState:
        """A camera that has seen nothing: items as trained, ranges as saved with the bundle."""
        normal = self.bundle.calibration.normal
        return CameraState(
            self.bundle.config,
            self.bundle.items[0].to(self.device),
            Scorer(self.bundle.score, normal) if normal else None,
            origin=self._origin,
        )

    def restore(self, data: bytes) -> CameraState:
        """A camera as `CameraState.save` left it.

        Raises: ValueError: not such bytes, damaged ones, or those of another bundle.
        """
        state = self.start()
        header, body = _parse_state(data)
        frame_shape = self.bundle.frame_shape.array_shape
        if header.origin != self._origin or header.items != tuple(state.items.shape):
            raise ValueError("a saved camera state of another bundle")
        if any(shape != frame_shape for shape in header.frames):
            raise ValueError(f"a saved camera state with frames of shapes {header.frames}")
        count, size = len(header.frames), int(np.prod(frame_shape))
        cut = len(body) - count * size
        if cut != 4 * state.items.numel() or count > self.bundle.config.context:
            raise ValueError("a saved camera state has the wrong length")
        items = np.frombuffer(body[:cut], dtype="<f4").reshape(header.items)
        if not np.isfinite(items).all():
            raise ValueError("a saved camera state's items are not finite")
        state.items = torch.from_numpy(items.astype(np.float32)).to(self.device)
        frames = np.frombuffer(body[cut:], dtype=np.uint8).reshape(count, *frame_shape)
        state.frames.extend(frame.copy() for frame in frames)
        if state.scorer is not None and header.numbers is not None:
            state.scorer.restore(header.numbers)
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
        ready = [i for i, camera in enumerate(cameras) if len(camera.frames) >= context]
        results = [Observation(warming=True)] * len(cameras)
        if ready:
            observed = self._infer(
                [cameras[i] for i in ready], [frames[i] for i in ready], [options[i] for i in ready]
            )
            for index, result in zip(ready, observed, strict=True):
                results[index] = result
        for camera, frame in zip(cameras, frames, strict=True):
            camera.frames.append(np.array(frame))
        return results

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

    def _pictures(self, frames: Sequence[Sequence[Frame]]) -> Tensor:
        """T frames of each of B cameras to (B, T*C, H, W), in [0, 1]."""
        stacked = np.stack([np.stack(each) for each in frames])  # (B, T, H, W) or (B, T, H, W, 3)
        if stacked.ndim == 5:
            stacked = stacked.transpose(0, 1, 4, 2, 3)
        flat = stacked.reshape(len(stacked), -1, *stacked.shape[-2:])
        return torch.from_numpy(flat).to(self.device).float() / 255.0

    def _infer(
        self,
        cameras: Sequence[CameraState],
        frames: Sequence[Frame],
        options: Sequence[CameraOptions],
    ) -> list[Observation]:
        config, form = self.bundle.config, self.bundle.calibration.error_form
        actual = self._pictures([[frame] for frame in frames])
        past = self._pictures([camera.frames for camera in cameras]) if config.context else actual
        items = torch.stack([camera.items for camera in cameras])  # (B, M, C)
        inputs = (past * 2.0 - 1.0).contiguous(memory_format=torch.channels_last)
        predicted, queries = self._network(inputs, items)
        predicted = (predicted.float() + 1.0) / 2.0

        chosen = memory.select(items, memory.nearest(queries, items)[..., 0])
        cells = pool_cells(measures.error_map(predicted, actual), self.bundle.score)
        pooled = pool_top(cells, self.bundle.score.top_cells)
        columns = (
            measures.psnr(predicted, actual, self.bundle.score.peak),
            measures.query_distance(queries, chosen, form),
            measures.require_finite("pooled error", pooled),
            measures.gate_error(predicted, actual, form),
        )
        measured = [Measures(*row) for row in torch.stack(columns, dim=1).tolist()]
        accepted = [
            option.adapt and row.gate_error < self._gamma(option)
            for option, row in zip(options, measured, strict=True)
        ]
        # Nothing raises below this line: all cameras change, or none does.
        self._update(cameras, queries, items, accepted)
        maps = cells.cpu().numpy()
        return [
            self._observation(*each)
            for each in zip(cameras, options, measured, maps, accepted, strict=True)
        ]

    def _gamma(self, option: CameraOptions) -> float:
        return self.bundle.calibration.gamma if option.gamma is None else option.gamma

    def _update(
        self,
        cameras: Sequence[CameraState],
        queries: Tensor,
        items: Tensor,
        accepted: Sequence[bool],
    ) -> None:
        """Give the accepted cameras their new items; the others' stay, bit for bit."""
        chosen = [index for index, accept in enumerate(accepted) if accept]
        if not chosen:
            return
        updated = memory.update(queries[chosen], items[chosen])
        for index, moved in zip(chosen, updated, strict=True):
            cameras[index].items = moved.clone()  # a view would keep the whole batch alive

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


@dataclass(frozen=True, slots=True)
class _StateHeader:
    """What a saved camera state says of the bytes that follow."""

    origin: str
    items: tuple[int, ...]
    frames: list[tuple[int, ...]]
    numbers: dict[str, float] | None


def _parse_state(data: bytes) -> tuple[_StateHeader, memoryview]:
    """Header and body. Raises: ValueError: not a saved camera state."""
    prefix = len(STATE_MAGIC) + 4
    if len(data) < prefix or not data.startswith(STATE_MAGIC):
        raise ValueError("not a saved camera state")
    (length,) = struct.unpack_from("<I", data, len(STATE_MAGIC))
    try:
        header = json.loads(data[prefix : prefix + length])
        numbers = header["numbers"]
        parsed = _StateHeader(
            str(header["origin"]),
            tuple(map(int, header["items"])),
            [tuple(map(int, shape)) for shape in header["frames"]],
            None
            if numbers is None
            else {str(name): float.fromhex(text) for name, text in numbers.items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise ValueError("a saved camera state's header is damaged") from None
    return parsed, memoryview(data)[prefix + length :]


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
