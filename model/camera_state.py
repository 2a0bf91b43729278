"""What is kept of one camera between frames, and its form as bytes."""

from __future__ import annotations

import json
import struct
from collections import deque
from copy import copy
from dataclasses import dataclass

from torch import Tensor

from model.config import MemoryKind, NetConfig
from model.frames import Frame
from model.looks import Look, SceneChange
from model.rules import Passed
from model.scene import Scene, saved_size
from model.scene_rules import SceneRules
from model.score import Scorer

STATE_MAGIC = b"NWCS\x01"


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
        """Of which trained memory the items are, and of which score and ranges the numbers: those
        of another bundle, or of one that was calibrated anew, would mean something else."""
        self.passed = Passed()
        self.scene = Scene(SceneRules())
        self.untold: SceneChange | None = None
        """A change of the light on a frame that was taken in without a result."""
        self._adapts = config.memory is MemoryKind.MNAD

    def cut(self) -> None:
        """Say that the next frame doesn't follow the last one. Items, ranges and scene stay."""
        self.scene.cut()
        self.break_off()

    def break_off(self) -> None:
        """Say that the next frame can't be predicted from the last ones."""
        self.frames.clear()
        if self.scorer is not None:
            self.scorer.cut()

    def take_in(self, frame: Frame, look: Look | None = None) -> None:
        """Take in the camera's next frame without a score: the next ones follow from it.

        Args:
            frame: kept, not copied; uint8, of the bundle's frame shape.
            look: what `Scene.look` said of it, where it was asked already.
        """
        look = look if look is not None else self.scene.look(frame)
        self.scene.take_in(look)
        if look.cut:
            # What came before was in another light, or shown in one.
            self.break_off()
        self.frames.append(self.shown(frame, look))
        self.untold = look.change or self.untold

    def shown(self, frame: Frame, look: Look | None) -> Frame:
        """The frame in the light that the network knows."""
        return self.scene.shown(frame, look)

    def without_frames(self) -> CameraState:
        """What the next owner of the camera goes on from, when its last frames will be too old."""
        kept = copy(self)
        kept.frames = deque(maxlen=self.frames.maxlen)
        return kept

    def save(self) -> bytes:
        """Everything but the scene's short past, to the bit; `Detector.restore` takes it back."""
        # Items that never change stay with the bundle: MemAE's are a thousand times as many.
        kept = self.items if self._adapts else self.items[:0]
        items = kept.detach().cpu().numpy().astype("<f4")
        header = json.dumps(
            {
                "origin": self.origin,
                "items": items.shape,
                "passed": [self.passed.frames, self.passed.above],
                "frames": [frame.shape for frame in self.frames],
                "numbers": {k: v.hex() for k, v in self.scorer.numbers().items()}
                if self.scorer
                else None,
                "scene": self.scene.numbers(),
            },
            sort_keys=True,
        ).encode()
        parts = [STATE_MAGIC, struct.pack("<I", len(header)), header, items.tobytes()]
        parts += [self.scene.arrays(), *(frame.tobytes() for frame in self.frames)]
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class StateHeader:
    """What a saved camera state says of the bytes that follow."""

    origin: str
    items: tuple[int, ...]
    passed: Passed
    frames: list[tuple[int, ...]]
    numbers: dict[str, float] | None
    scene: dict[str, int] | None
    """None: it was saved before scenes were."""

    @property
    def scene_size(self) -> int:
        """Bytes of the scene, between items and frames."""
        return 0 if self.scene is None else saved_size(relit=bool(self.scene.get("relit")))


def parse_state(data: bytes) -> tuple[StateHeader, memoryview]:
    """Header and body. Raises: ValueError: not a saved camera state."""
    prefix = len(STATE_MAGIC) + 4
    if len(data) < prefix or not data.startswith(STATE_MAGIC):
        raise ValueError("not a saved camera state")
    (length,) = struct.unpack_from("<I", data, len(STATE_MAGIC))
    try:
        header = json.loads(data[prefix : prefix + length])
        numbers, scene = header["numbers"], header.get("scene")
        parsed = StateHeader(
            str(header["origin"]),
            tuple(map(int, header["items"])),
            Passed(*map(int, header.get("passed", (0, 0)))),
            [tuple(map(int, shape)) for shape in header["frames"]],
            None
            if numbers is None
            else {str(name): float.fromhex(text) for name, text in numbers.items()},
            None if scene is None else {str(name): int(n) for name, n in scene.items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise ValueError("a saved camera state's header is damaged") from None
    return parsed, memoryview(data)[prefix + length :]
