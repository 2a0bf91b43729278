"""What moves in normal footage, cut out: foreground against a background, and where it is.

A picture here is (H, W) or (H, W, 3), float32 in grey levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from model.footage import Clip

Picture = NDArray[np.float32]
"""(H, W) or (H, W, 3), grey levels."""
Mask = NDArray[np.uint8]
"""(H, W), 0 or 1."""
Alpha = NDArray[np.float32]
"""(H, W), [0, 1]: how much of a pasted thing covers a pixel."""

_Level = TypeVar("_Level", bound=np.generic)

CHUNK_FRAMES = 600
"""One background stands for so many frames: light changes over longer ones."""
FOREGROUND_LEVELS = 14.0
"""Grey levels by which a thing stands out of the background, at least."""
MOST_CUTOUTS = 20_000
"""More are thinned out evenly."""
RIGID_CORRELATION = 0.93
"""Above it things keep their shape as they move here, so that a glide is nothing abnormal."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """A thing in the footage: a box around connected foreground."""

    clip: int
    frame: int
    left: int
    top: int
    width: int
    height: int

    @property
    def side(self) -> int:
        """Pixels of the longer side."""
        return max(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Box:
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, cutout: Cutout, margin: int, height: int, width: int) -> Box:
        return cls(
            max(0, cutout.left - margin),
            max(0, cutout.top - margin),
            min(width, cutout.left + cutout.width + margin),
            min(height, cutout.top + cutout.height + margin),
        )

    @property
    def centre(self) -> tuple[float, float]:
        return 0.5 * (self.left + self.right), 0.5 * (self.top + self.bottom)

    def of(self, picture: NDArray[_Level]) -> NDArray[_Level]:
        return picture[self.top : self.bottom, self.left : self.right]


def grey(pictures: NDArray[np.generic]) -> Picture:
    """(..., H, W, 3) or (..., H, W) to (..., H, W); `colour` is told by a last axis of 3."""
    floats = pictures.astype(np.float32)
    return np.asarray(floats.mean(axis=-1) if floats.shape[-1] == 3 else floats, np.float32)


def background(frames: NDArray[np.uint8], samples: int = 60) -> Picture:
    """What stands still, blurred: median of frames spread over a clip, (T, H, W[, 3]) to (H, W)."""
    step = max(1, len(frames) // samples)
    return _blurred(np.asarray(np.median(grey(frames[::step]), axis=0), np.float32))


def _blurred(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0), np.float32)


def foreground(picture: Picture, behind: Picture) -> Mask:
    """What differs from the background (see `background`), in whole pieces; both (H, W)."""
    mask = (np.abs(_blurred(picture) - behind) > FOREGROUND_LEVELS).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)).astype(np.uint8)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 5), np.uint8))
    return np.asarray(closed, np.uint8)


def soft(mask: Mask) -> Alpha:
    """A mask with its edge widened by a pixel and blurred."""
    wide = cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), 0.9), np.float32)


def _chunk_backgrounds(clip: Clip) -> list[Picture]:
    starts = range(0, max(1, len(clip) - CHUNK_FRAMES // 2), CHUNK_FRAMES)
    return [background(clip.frames[start : start + CHUNK_FRAMES]) for start in starts]


def largest(mask: Mask) -> Mask:
    """Its largest connected part."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if len(stats) < 2:
        return mask
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()), np.uint8)


def fade(shape: tuple[int, ...]) -> Alpha:
    """1 inside, falling to 0 at the border: what a box cuts through ends softly."""
    inside = np.zeros(shape, np.float32)
    inside[2:-2, 2:-2] = 1.0
    return np.asarray(cv2.GaussianBlur(inside, (0, 0), 1.5), np.float32)


@dataclass(frozen=True, slots=True)
class Moving:
    """A thing through some frames: its pictures, and how much each covers, all of one size."""

    pictures: list[Picture]
    alphas: list[Alpha]
    centre: tuple[float, float]
    """x, y in the whole picture, where it was cut out."""
    side: float
    """Pixels of its longer side."""


class Stock:
    """All that moves in clips of one camera, to be cut out of them; T is the frames of a window.

    Everything random follows from the generator that is handed in.
    """

    def __init__(self, clips: Sequence[Clip], length: int, *, only_usual: bool = True) -> None:
        """Args: only_usual: leave out what is far larger than most.

        Raises: ValueError: no clip has `length` frames, T.
        """
        self._clips = [clip for clip in clips if len(clip) >= length]
        if not self._clips:
            raise ValueError(f"no clip has {length} frames in a row")
        self.length = length
        self.height, self.width = self._clips[0].frames.shape[1:3]
        self._backgrounds = [_chunk_backgrounds(clip) for clip in self._clips]
        self.cutouts = self._find(only_usual)
        sides = [cutout.side for cutout in self.cutouts]
        self.side = float(np.median(sides)) if sides else 0.12 * min(self.height, self.width)
        """Pixels of the longer side of what usually moves."""
        self.rigid = self._moves_rigidly()
        """Whether things here keep their shape as they move."""

    def _background(self, clip: int, frame: int) -> Picture:
        chunks = self._backgrounds[clip]
        return chunks[min(frame // CHUNK_FRAMES, len(chunks) - 1)]

    def _find(self, only_usual: bool) -> list[Cutout]:
        total = sum(map(len, self._clips))
        every = max(2, total // 5000)
        found = [
            cutout
            for index, clip in enumerate(self._clips)
            for frame in range(0, len(clip), every)
            for cutout in self._things(index, frame)
        ]
        if not found:
            return []
        # What is far larger than most is a crowd, or a shadow over half the picture.
        usual = 1.8 * float(np.median([cutout.side for cutout in found]))
        large = max(0.28 * min(self.height, self.width), usual)
        kept = [cutout for cutout in found if cutout.side <= large or not only_usual]
        return kept[:: -(-len(kept) // MOST_CUTOUTS)]

    def _things(self, clip: int, frame: int) -> list[Cutout]:
        picture = grey(self._clips[clip].frames[frame])
        mask = foreground(picture, self._background(clip, frame))
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        return [
            Cutout(clip, frame, int(x), int(y), int(w), int(h))
            for x, y, w, h, area in stats[1:]
            if self._usable(int(w), int(h), int(area))
        ]

    def _usable(self, width: int, height: int, area: int) -> bool:
        large = 0.6 * min(self.height, self.width)
        least = 0.0009 * self.height * self.width
        return area >= least and area > 0.35 * width * height and max(width, height) <= large

    def _moves_rigidly(self, looks: int = 200) -> bool:
        """Whether things here look the same a window later, wherever they are then."""
        correlations = []
        for cutout in self.cutouts[:: max(1, len(self.cutouts) // looks)]:
            frames = self._clips[cutout.clip].frames
            later = cutout.frame + self.length - 1
            if later >= len(frames):
                continue
            reach = cutout.side
            box = Box.around(cutout, 0, self.height, self.width)
            near = Box.around(cutout, reach, self.height, self.width)
            found = cv2.matchTemplate(
                near.of(grey(frames[later])),
                box.of(grey(frames[cutout.frame])),
                cv2.TM_CCOEFF_NORMED,
            )
            correlations.append(float(found.max()))
        return bool(correlations) and float(np.median(correlations)) > RIGID_CORRELATION

    def usual_height(self, random: np.random.Generator) -> float:
        """y, in pixels, of something that was found; anywhere, where nothing was."""
        if not self.cutouts:
            return random.uniform(0.0, self.height)
        cutout = self._pick(random)
        return cutout.top + 0.5 * cutout.height

    def texture(self, random: np.random.Generator, side: int) -> Picture:
        """A square of this footage in another light, or one of noise."""
        clip = self._clips[int(random.integers(len(self._clips)))]
        frame = clip.frames[int(random.integers(len(clip)))]
        x = int(random.integers(0, self.width - side))
        y = int(random.integers(0, self.height - side))
        patch = frame[y : y + side, x : x + side].astype(np.float32)
        if random.random() < 0.5:
            return np.asarray(patch * random.uniform(0.6, 1.2), np.float32)
        noise = random.normal(0.0, random.uniform(0.0, 12.0), patch.shape)
        return np.asarray(random.uniform(20.0, 230.0) + noise, np.float32)

    def _pick(self, random: np.random.Generator) -> Cutout:
        return self.cutouts[int(random.integers(len(self.cutouts)))]

    def moving(self, random: np.random.Generator, stride: int) -> Moving:
        """A thing through T frames, `stride` apart, in the box that it moves in."""
        cutout = self._pick(random)
        frames = self._clips[cutout.clip].frames
        stride = min(stride, (len(frames) - 1) // (self.length - 1)) if self.length > 1 else 1
        reach = (self.length - 1) * stride
        first = int(np.clip(cutout.frame - reach // 2, 0, len(frames) - 1 - reach))
        box = Box.around(cutout, 6 + 3 * stride, self.height, self.width)
        behind = box.of(self._background(cutout.clip, cutout.frame))
        pictures = [
            box.of(frames[first + index * stride]).astype(np.float32)
            for index in range(self.length)
        ]
        edge = fade(behind.shape)
        alphas = [soft(foreground(grey(picture), behind)) * edge for picture in pictures]
        return Moving(pictures, alphas, box.centre, float(cutout.side))

    def still(self, random: np.random.Generator) -> Moving:
        """One picture of a thing, T times."""
        cutout = self._pick(random)
        box = Box.around(cutout, 4, self.height, self.width)
        picture = box.of(self._clips[cutout.clip].frames[cutout.frame]).astype(np.float32)
        mask = foreground(grey(picture), box.of(self._background(cutout.clip, cutout.frame)))
        alpha = soft(largest(mask)) * fade(mask.shape)
        count = self.length
        return Moving([picture] * count, [alpha] * count, box.centre, float(cutout.side))
