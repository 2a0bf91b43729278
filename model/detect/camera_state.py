"""The state of one camera between frames, and its form as bytes."""

from __future__ import annotations

import json
import struct
from collections import deque
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.detect.observation import CameraOptions, Observation
from model.engines.kept_outputs import KeptOutputs
from model.frames import Frame
from model.network.network_config import MemoryKind, NetConfig
from model.network.update_rules import MemoryCounts
from model.scene.features import Features
from model.scene.light import Light
from model.scene.scene import Scene, count_saved_bytes
from model.scene.scene_phases import SceneReading
from model.scene.scene_rules import SceneRules
from model.scene.stillness import Stillness
from model.scoring.scorer import Scorer
from model.standing.memory import StandingMemory
from model.standing.rules import StandingRules
from model.standing.snapshot import MEMORY_BYTES, dump_memory, restore_memory

STATE_MAGIC = b"NWCS\x01"


class CameraState:
    """One camera's items, last frames, running ranges and scene."""

    def __init__(
        self,
        config: NetConfig,
        items: Tensor,
        scorer: Scorer | None,
        *,
        origin: str,
        fps: float = 10.0,
    ) -> None:
        """Args: fps: the model's rate, which frames without times are taken to have."""
        self.items = items
        """(M, C), float32, on the CPU or the detector's device."""
        self.frames: deque[Frame] = deque(maxlen=config.context)
        self.scorer = scorer
        self.origin = origin
        """Identifies the trained memory, score and ranges that items and numbers belong to: in a
        bundle that is another one, or was calibrated again, they would mean something else."""
        self.counts = MemoryCounts()
        self.scene = Scene(SceneRules())
        self.stillness = Stillness(config.context, fps)
        self._fps = fps
        self._scored_s: float | None = None
        """When the newest frame with a score was captured; None: unknown, or a cut came since."""
        self.standing = StandingMemory(StandingRules(), 1.0 / fps)
        """Stays empty unless the camera's options watch for what stands still."""
        self.last_result: LastResult | None = None
        """The newest result of the network; None: a frame without one has come since."""
        self._lights: deque[Light] = deque(maxlen=config.context)
        """The lights that `frames` are relit from; fewer after a restart."""
        self._adapts = config.memory is MemoryKind.MNAD

    @property
    def has_context(self) -> bool:
        """True where there are as many last frames as a prediction needs."""
        return len(self.frames) == self.frames.maxlen

    def cut(self) -> None:
        """Say that the next frame doesn't follow the last one. Items, ranges and scene stay."""
        self.scene.cut()
        self.standing.cut()
        self.break_off()

    def break_off(self) -> None:
        """Say that the next frame can't be predicted from the last ones."""
        self.frames.clear()
        self._lights.clear()
        self.stillness.cut()
        self.last_result = None
        self._scored_s = None
        if self.scorer is not None:
            self.scorer.cut()

    def append_unscored(self, frame: Frame, features: Features) -> None:
        """Append a frame that there is no time to score: the next ones are predicted from it.

        The scene isn't compared with it: it is relit as the last compared frame was.

        Args: frame: kept, not copied; uint8, of the bundle's frame shape.
        """
        self.stillness.add_unscored(features)
        self._append(frame, self.scene.last_light)

    def is_still(self, features: Features, options: CameraOptions, within_s: float) -> bool:
        """Returns whether the next frame may take over the measures of the last result, if that is
        no older than `within_s`."""
        if self.last_result is None or self.last_result.options is not options:
            return False
        return self.stillness.is_still(features, within_s)

    def append_still(self, frame: Frame, features: Features) -> None:
        """Append a frame that shows the same as the last result's. Args: frame: as above."""
        self.stillness.add_still(features)
        self.scene.repeat()
        self._append(frame, self.scene.last_light)

    def append_compared(self, frame: Frame, look: SceneReading) -> None:
        """Append a frame that was compared with the scene.

        Args: frame: as above.
        """
        self.scene.append(look)
        if look.cut:
            # The frames before were in another light, or relit for one.
            self.break_off()
        self._append(frame, self.scene.get_light(look))

    def append_unwatched(self, frame: Frame) -> None:
        """Append a frame of a camera whose scene isn't watched. Args: frame: as above."""
        self._append(frame, self.scene.get_light(None))

    def _append(self, frame: Frame, light: Light) -> None:
        self._lights.append(light)
        self.frames.append(light.undo(frame))

    def is_lit_by(self, light: Light) -> bool:
        """Returns whether all frames that the next one is predicted from are in such a light."""
        known = len(self._lights) == len(self.frames)
        return known and all(light.is_near(each) for each in self._lights)

    def advance_to(self, time_s: float | None) -> float:
        """Note when the frame that gets a score now was captured.

        Returns: the time since the last score, in frames at the model's rate; 1 where it is unknown
        or none has passed.
        """
        before, self._scored_s = self._scored_s, time_s
        if time_s is None or before is None or time_s <= before:
            return 1.0
        return (time_s - before) * self._fps

    def forget_result(self) -> None:
        """Make the network run for the next frame in any case."""
        self.stillness.cut()
        self.last_result = None

    def relight(self, frame: Frame, look: SceneReading | None) -> Frame:
        """Convert the frame to the light that the network knows."""
        return self.scene.undo_light(frame, look)

    def without_frames(self) -> CameraState:
        """Copy this state for the camera's next owner, to whom its last frames are too old."""
        kept = copy(self)
        kept.frames = deque(maxlen=self.frames.maxlen)
        return kept

    def restore(self, data: bytes, frame_shape: tuple[int, ...]) -> None:
        """Become what `save` gave; this camera is a new one, of the same bundle.

        Args: frame_shape: of the bundle's frames.
        Raises: ValueError: not such bytes, damaged ones, or those of another bundle.
        """
        header, body = parse_state(data)
        kept = self.items if self._adapts else self.items[:0]
        if header.origin != self.origin or header.items != tuple(kept.shape):
            raise ValueError("a saved camera state of another bundle")
        if any(shape != frame_shape for shape in header.frames):
            raise ValueError(f"a saved camera state with frames of shapes {header.frames}")
        count, size = len(header.frames), int(np.prod(frame_shape))
        cut = 4 * kept.numel()
        after_scene = cut + header.scene_size
        first_frame = after_scene + header.standing_size
        if len(body) - first_frame != count * size or count > (self.frames.maxlen or 0):
            raise ValueError("a saved camera state has the wrong length")
        items = np.frombuffer(body[:cut], dtype="<f4").reshape(header.items)
        if not np.isfinite(items).all():
            raise ValueError("a saved camera state's items are not finite")
        if self._adapts:
            self.items = torch.from_numpy(items.astype(np.float32)).to(self.items.device)
        self.counts = header.counts
        frames = np.frombuffer(body[first_frame:], dtype=np.uint8).reshape(count, *frame_shape)
        self.frames.extend(frame.copy() for frame in frames)
        if self.scorer is not None and header.numbers is not None:
            self.scorer.restore(header.numbers)
        if header.scene is not None:
            self.scene.restore(header.scene, bytes(body[cut:after_scene]))
        if header.standing is not None:
            restore_memory(self.standing, header.standing, bytes(body[after_scene:first_frame]))

    def save(self) -> bytes:
        """Pack all but the scene's short past, to the bit; `Detector.restore` unpacks it."""
        # Items that never change stay with the bundle: MemAE's are a thousand times as many.
        kept = self.items if self._adapts else self.items[:0]
        items = kept.detach().cpu().numpy().astype("<f4")
        standing = dump_memory(self.standing)
        header = json.dumps(
            {
                "origin": self.origin,
                "items": items.shape,
                "counts": [self.counts.frames, self.counts.above],
                "frames": [frame.shape for frame in self.frames],
                "numbers": {k: v.hex() for k, v in self.scorer.to_numbers().items()}
                if self.scorer
                else None,
                "scene": self.scene.dump_numbers(),
                **({} if standing is None else {"standing": standing.numbers}),
            },
            sort_keys=True,
        ).encode()
        parts = [STATE_MAGIC, struct.pack("<I", len(header)), header, items.tobytes()]
        parts += [self.scene.dump_arrays(), b"" if standing is None else standing.arrays]
        parts += [*(frame.tobytes() for frame in self.frames)]
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class LastResult:
    """A result of the network, and what it was made with."""

    result: Observation
    options: CameraOptions
    kept: KeptOutputs | None = None
    """The network's output for each place; None: it isn't kept. Not saved."""


@dataclass(frozen=True, slots=True)
class StateHeader:
    """Describes the bytes that follow it in a saved camera state."""

    origin: str
    items: tuple[int, ...]
    counts: MemoryCounts
    frames: list[tuple[int, ...]]
    numbers: dict[str, float] | None
    scene: dict[str, int] | None
    """None: no scene was saved."""
    standing: dict[str, float] | None
    """None: nothing is remembered of what stands still."""

    @property
    def standing_size(self) -> int:
        """Size in bytes of the standing memory, which lies between scene and frames."""
        return 0 if self.standing is None else MEMORY_BYTES

    @property
    def scene_size(self) -> int:
        """Size in bytes of the scene, which lies between items and frames."""
        return 0 if self.scene is None else count_saved_bytes(relit=bool(self.scene.get("relit")))


def parse_state(data: bytes) -> tuple[StateHeader, memoryview]:
    """Split saved bytes into header and body. Raises: ValueError: no saved camera state."""
    prefix = len(STATE_MAGIC) + 4
    if len(data) < prefix or not data.startswith(STATE_MAGIC):
        raise ValueError("not a saved camera state")
    (length,) = struct.unpack_from("<I", data, len(STATE_MAGIC))
    try:
        header = json.loads(data[prefix : prefix + length])
        numbers, scene = header["numbers"], header.get("scene")
        standing = header.get("standing")
        parsed = StateHeader(
            str(header["origin"]),
            tuple(map(int, header["items"])),
            MemoryCounts(*map(int, header["counts"])),
            [tuple(map(int, shape)) for shape in header["frames"]],
            None
            if numbers is None
            else {str(name): float.fromhex(text) for name, text in numbers.items()},
            None if scene is None else {str(name): int(n) for name, n in scene.items()},
            None if standing is None else {str(name): float(n) for name, n in standing.items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise ValueError("a saved camera state's header is damaged") from None
    return parsed, memoryview(data)[prefix + length :]
