"""What a training step is shown: windows of consecutive frames, cropped, mirrored, and with
pseudo-anomalies pasted in, as the run asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import DOWNSCALE, NetConfig
from model.cutouts import Cutout, Stock
from model.footage import Clip
from model.pseudo_anomalies import Composed, PseudoAnomalies, PseudoConfig

LOOK_SHARE = 0.6
"""Share of the crops that are laid around something that moves."""
NEAR_FRAMES = 3
"""How far from a window's first frame a thing may have been seen to have a crop laid around it."""
PAST_EDGE = 0.16
"""Other crops are laid from so much beyond the picture, then moved inside: its edges are seen as
often as its middle."""
MOST_REPEATS = 50
"""How many times an epoch shows a window of footage that somebody called normal, at most."""


class Batch(NamedTuple):
    """Windows of one step; pictures in [-1, 1]."""

    inputs: Tensor
    """(B, T*C, h, w): the context, oldest first."""
    targets: Tensor
    """(B, C, h, w)"""
    abnormal: Tensor
    """(B, 1, h, w): 1 where a pseudo-anomaly is."""


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How windows are cut and changed."""

    crop: int = 0
    """Side of the square that is cut out of each window, in pixels; 0 takes whole frames."""
    flip: bool = False
    """Mirror half of the windows left to right."""
    pseudo: PseudoConfig | None = None
    """What is pasted; None pastes nothing."""
    called_share: float = 0.25
    """Share of an epoch's windows that are of footage which somebody called normal, where there is
    any: its windows are repeated up to it."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.called_share < 1.0:
            raise ValueError(f"called_share must be from 0 to below 1, got {self.called_share!r}")
        if self.crop < 0 or self.crop % DOWNSCALE:
            raise ValueError(f"crop must be 0 or a multiple of {DOWNSCALE}, got {self.crop!r}")


class Windows:
    """Runs of consecutive frames that never cross a cut: the context, and the frame to predict."""

    def __init__(
        self,
        clips: Sequence[Clip],
        net: NetConfig,
        config: WindowConfig | None = None,
        called_normal: Sequence[Clip] = (),
    ) -> None:
        """Args: called_normal: clips of what scored as abnormal, and was called normal by somebody.

        Raises: ValueError: no clip is long enough, or a crop is larger than the picture.
        """
        self._config = config or WindowConfig()
        self._length = net.context + 1
        footage = self._long_enough(clips)
        called = self._long_enough(called_normal)
        if not footage:
            raise ValueError(f"no clip has {self._length} frames in a row")
        self._clips = footage + called
        self._frames = sum(map(len, clips)) + sum(map(len, called_normal))
        starts = [
            (number, start)
            for number, clip in enumerate(self._clips)
            for start in range(len(clip) - self._length + 1)
        ]
        own = [each for each in starts if each[0] < len(footage)]
        others = starts[len(own) :]
        self._starts = own + others * _repeats(len(own), len(others), self._config.called_share)
        if self._config.crop > min(net.height, net.width):
            raise ValueError(
                f"crop must fit {net.height}x{net.width} pixels, got {self._config.crop!r}"
            )
        if self._config.crop % net.downscale:
            raise ValueError(
                f"crop must be a multiple of {net.downscale}, got {self._config.crop!r}"
            )
        self._size = (net.height, net.width)
        self._grid = net.downscale
        pseudo = self._config.pseudo
        # Nothing is cut out of what was called normal, to be pasted as if it were abnormal.
        self.pseudo = PseudoAnomalies(footage, self._length, pseudo) if pseudo else None
        self._seen = _by_frame(self.pseudo.cutouts if self.pseudo else ())
        if self.pseudo and called:
            found = Stock(called, self._length, only_usual=False).cutouts
            self._seen |= _by_frame(
                [replace(each, clip=each.clip + len(footage)) for each in found]
            )

    def _long_enough(self, clips: Sequence[Clip]) -> list[Clip]:
        return [clip for clip in clips if len(clip) >= self._length]

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def frames(self) -> int:
        """Frames of all clips, those too short for a window among them."""
        return self._frames

    def batch(self, indices: Sequence[int], random: np.random.Generator) -> Batch:
        """These windows, changed as the configuration says; all that is random from `random`."""
        return _to_tensors([self._compose(index, random) for index in indices])

    def _compose(self, index: int, random: np.random.Generator) -> Composed:
        number, start = self._starts[index]
        window = self._clips[number].frames[start : start + self._length]
        x, y = 0, 0
        if self._config.crop:
            side = self._config.crop
            x, y = self._corner(number, start, random)
            window = window[:, y : y + side, x : x + side]
        if self.pseudo:
            composed = self.pseudo.compose(window, (x, y), random, mirrors=self._config.flip)
        else:
            nothing = np.zeros(window.shape[1:3], np.uint8)
            composed = Composed(window.astype(np.float32), window[-1].astype(np.float32), nothing)
        if self._config.flip and random.random() < 0.5:
            return Composed(
                np.flip(composed.window, 2),
                np.flip(composed.target, 1),
                np.flip(composed.abnormal, 1),
            )
        return composed

    def _corner(self, clip: int, start: int, random: np.random.Generator) -> tuple[int, int]:
        """x, y of a crop's top left, on the grid of the feature map."""
        crop = self._config.crop
        near = [
            cutout
            for frame in range(start - NEAR_FRAMES, start + NEAR_FRAMES + 1)
            for cutout in self._seen.get((clip, frame), ())
        ]
        if near and random.random() < LOOK_SHARE:
            found = near[int(random.integers(len(near)))]
            x = found.left + 0.5 * found.width - crop * random.uniform(0.2, 0.8)
            y = found.top + 0.5 * found.height - crop * random.uniform(0.2, 0.8)
        else:
            x, y = (
                random.uniform(-PAST_EDGE * size, (1.0 + PAST_EDGE) * size - crop)
                for size in (self._size[1], self._size[0])
            )
        return (self._on_grid(x, self._size[1] - crop), self._on_grid(y, self._size[0] - crop))

    def _on_grid(self, position: float, most: int) -> int:
        return int(np.clip(position, 0, most)) // self._grid * self._grid


def _repeats(own: int, called: int, share: float) -> int:
    """How many times windows are shown for them to be about that share; once at least."""
    if not called:
        return 0
    return min(MOST_REPEATS, max(1, round(share * own / ((1.0 - share) * called))))


def _by_frame(cutouts: Sequence[Cutout]) -> dict[tuple[int, int], list[Cutout]]:
    seen: dict[tuple[int, int], list[Cutout]] = {}
    for cutout in cutouts:
        seen.setdefault((cutout.clip, cutout.frame), []).append(cutout)
    return seen


def _to_tensors(composed: Sequence[Composed]) -> Batch:
    inputs = [
        _channels(each.window[:-1] if len(each.window) > 1 else each.window) for each in composed
    ]
    targets = [_channels(each.target[None]) for each in composed]
    abnormal = np.stack([each.abnormal[None] for each in composed]).astype(np.float32)
    return Batch(_pictures(inputs), _pictures(targets), torch.from_numpy(abnormal))


def _channels(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, H, W) as it is, (T, H, W, 3) to (T*3, H, W)."""
    if pictures.ndim == 3:
        return pictures
    return pictures.transpose(0, 3, 1, 2).reshape(-1, *pictures.shape[1:3])


def _pictures(arrays: Sequence[NDArray[np.float32]]) -> Tensor:
    tensor = torch.from_numpy(np.stack(arrays)) / 127.5 - 1.0
    return tensor.contiguous(memory_format=torch.channels_last)
