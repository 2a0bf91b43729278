"""Cuts training windows of consecutive frames: cropped, mirrored, with pseudo-anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.footage.clips import Clip
from model.network.network_config import DOWNSCALE, NetConfig
from model.training.cutouts import Cutout, Stock
from model.training.pseudo_anomalies import ComposedWindow, PseudoAnomalies, PseudoConfig

MOVING_SHARE = 0.6
"""This share of the crops is placed around something that moves."""
NEAR_FRAMES = 3
"""A crop may be placed around a thing that was found this many frames from the window's first."""
PAST_EDGE = 0.16
"""Other crops are drawn from this far beyond the picture, then moved inside, so that its edges are
used as often as its middle."""
MOST_REPEATS = 50
"""An epoch repeats a window of footage that was marked normal at most this many times."""


class TrainingBatch(NamedTuple):
    """The windows of one step; pictures in [-1, 1]."""

    inputs: Tensor
    """(B, T*C, h, w): the context, oldest first."""
    targets: Tensor
    """(B, C, h, w)"""
    abnormal: Tensor
    """(B, 1, h, w): 1 on a pseudo-anomaly."""


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """The settings by which windows are cut and changed."""

    crop: int = 0
    """The side of the square cut out of each window, in pixels; 0 takes whole frames."""
    flip: bool = False
    """Mirror half of the windows left to right."""
    pseudo: PseudoConfig | None = None
    """The pseudo-anomalies to paste; None pastes nothing."""
    called_share: float = 0.25
    """Windows of footage that was marked normal are repeated until they make up this share of an
    epoch."""

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
        """Args: called_normal: clips that scored as abnormal, and were marked normal.

        Raises: ValueError: no clip is long enough, or a crop is larger than the picture.
        """
        self._config = config or WindowConfig()
        self._length = net.context + 1
        footage = self._keep_long(clips)
        called = self._keep_long(called_normal)
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
        self._starts = own + others * _count_repeats(
            len(own), len(others), self._config.called_share
        )
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
        # Footage that was marked normal isn't a source of pseudo-anomalies.
        self.pseudo = PseudoAnomalies(footage, self._length, pseudo) if pseudo else None
        self._seen = _group_by_frame(self.pseudo.cutouts if self.pseudo else ())
        if self.pseudo and called:
            found = Stock(called, self._length, only_usual=False).cutouts
            self._seen |= _group_by_frame(
                [replace(each, clip=each.clip + len(footage)) for each in found]
            )

    def _keep_long(self, clips: Sequence[Clip]) -> list[Clip]:
        return [clip for clip in clips if len(clip) >= self._length]

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def frames(self) -> int:
        """The number of frames in all clips, including clips too short for a window."""
        return self._frames

    def make_batch(self, indices: Sequence[int], random: np.random.Generator) -> TrainingBatch:
        """Make a batch of these windows, changed as configured; `random` decides all chance."""
        return _to_tensors([self._compose(index, random) for index in indices])

    def _compose(self, index: int, random: np.random.Generator) -> ComposedWindow:
        number, start = self._starts[index]
        window = self._clips[number].frames[start : start + self._length]
        x, y = 0, 0
        if self._config.crop:
            side = self._config.crop
            x, y = self._draw_corner(number, start, random)
            window = window[:, y : y + side, x : x + side]
        if self.pseudo:
            composed = self.pseudo.compose(window, (x, y), random, mirrors=self._config.flip)
        else:
            nothing = np.zeros(window.shape[1:3], np.uint8)
            composed = ComposedWindow(
                window.astype(np.float32), window[-1].astype(np.float32), nothing
            )
        if self._config.flip and random.random() < 0.5:
            return ComposedWindow(
                np.flip(composed.window, 2),
                np.flip(composed.target, 1),
                np.flip(composed.abnormal, 1),
            )
        return composed

    def _draw_corner(self, clip: int, start: int, random: np.random.Generator) -> tuple[int, int]:
        """Draw x, y of a crop's top left, on the grid of the feature map."""
        crop = self._config.crop
        near = [
            cutout
            for frame in range(start - NEAR_FRAMES, start + NEAR_FRAMES + 1)
            for cutout in self._seen.get((clip, frame), ())
        ]
        if near and random.random() < MOVING_SHARE:
            found = near[int(random.integers(len(near)))]
            x = found.left + 0.5 * found.width - crop * random.uniform(0.2, 0.8)
            y = found.top + 0.5 * found.height - crop * random.uniform(0.2, 0.8)
        else:
            x, y = (
                random.uniform(-PAST_EDGE * size, (1.0 + PAST_EDGE) * size - crop)
                for size in (self._size[1], self._size[0])
            )
        return (
            self._snap_to_grid(x, self._size[1] - crop),
            self._snap_to_grid(y, self._size[0] - crop),
        )

    def _snap_to_grid(self, position: float, most: int) -> int:
        return int(np.clip(position, 0, most)) // self._grid * self._grid


def _count_repeats(own: int, called: int, share: float) -> int:
    """Count how often windows must be repeated to make up about this share; at least once."""
    if not called:
        return 0
    return min(MOST_REPEATS, max(1, round(share * own / ((1.0 - share) * called))))


def _group_by_frame(cutouts: Sequence[Cutout]) -> dict[tuple[int, int], list[Cutout]]:
    seen: dict[tuple[int, int], list[Cutout]] = {}
    for cutout in cutouts:
        seen.setdefault((cutout.clip, cutout.frame), []).append(cutout)
    return seen


def _to_tensors(composed: Sequence[ComposedWindow]) -> TrainingBatch:
    inputs = [each.window[:-1] if len(each.window) > 1 else each.window for each in composed]
    targets = [each.target[None] for each in composed]
    abnormal = np.stack([each.abnormal[None] for each in composed]).astype(np.float32)
    return TrainingBatch(_to_tensor(inputs), _to_tensor(targets), torch.from_numpy(abnormal))


def _to_tensor(windows: Sequence[NDArray[np.float32]]) -> Tensor:
    """Convert windows (T, H, W[, 3]) in grey levels to (B, T*C, H, W) in [-1, 1], channels last."""
    stacked = torch.from_numpy(np.stack([_merge_channels(each) for each in windows]))
    tensor = stacked.div_(127.5).sub_(1.0).permute(0, 3, 1, 2)
    return tensor.contiguous(memory_format=torch.channels_last)


def _merge_channels(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert (T, H, W, 3) to (H, W, T*3), and (T, H, W) to (H, W, T)."""
    if pictures.ndim == 3:
        return pictures.transpose(1, 2, 0)
    return pictures.transpose(1, 2, 0, 3).reshape(*pictures.shape[1:3], -1)
