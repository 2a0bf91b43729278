"""Cuts moving things out of normal footage, as foreground against a background.

A picture here is (H, W) or (H, W, 3), float32 in grey levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from model.footage.clips import Clip

Picture = NDArray[np.float32]
"""(H, W) or (H, W, 3), grey levels."""
Mask = NDArray[np.uint8]
"""(H, W), 0 or 1."""
Alpha = NDArray[np.float32]
"""(H, W), [0, 1]: how much a pasted thing covers each pixel."""

_Level = TypeVar("_Level", bound=np.generic)

CHUNK_FRAMES = 600
"""A background is estimated for each run of this many frames: light changes over longer times."""
FOREGROUND_LEVELS = 14.0
"""A thing differs from the background by at least this many grey levels."""
MOST_CUTOUTS = 20_000
"""More cutouts are thinned out evenly."""
RIGID_CORRELATION = 0.93
"""Above this correlation things keep their shape as they move, so that gliding is normal."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """The place of a thing in the footage: a box around connected foreground."""

    clip: int
    frame: int
    left: int
    top: int
    width: int
    height: int

    @property
    def side(self) -> int:
        """The length of the longer side in pixels."""
        return max(self.width, self.height)


@dataclass(frozen=True, slots=True)
class CutoutBox:
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, cutout: Cutout, margin: int, height: int, width: int) -> CutoutBox:
        return cls(
            max(0, cutout.left - margin),
            max(0, cutout.top - margin),
            min(width, cutout.left + cutout.width + margin),
            min(height, cutout.top + cutout.height + margin),
        )

    @property
    def centre(self) -> tuple[float, float]:
        return 0.5 * (self.left + self.right), 0.5 * (self.top + self.bottom)

    def crop(self, picture: NDArray[_Level]) -> NDArray[_Level]:
        return picture[self.top : self.bottom, self.left : self.right]


def to_grey(pictures: NDArray[np.generic]) -> Picture:
    """Convert (..., H, W, 3) or (..., H, W) to (..., H, W); a last axis of 3 counts as colours."""
    floats = pictures.astype(np.float32)
    return np.asarray(floats.mean(axis=-1) if floats.shape[-1] == 3 else floats, np.float32)


def estimate_background(frames: NDArray[np.uint8], samples: int = 60) -> Picture:
    """Estimate what stands still: blurred median of a clip's frames, (T, H, W[, 3]) to (H, W)."""
    step = max(1, len(frames) // samples)
    return _blur_picture(np.asarray(np.median(to_grey(frames[::step]), axis=0), np.float32))


def _blur_picture(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0), np.float32)


def find_foreground(picture: Picture, behind: Picture) -> Mask:
    """Find what differs from the background, in whole pieces; both pictures are (H, W)."""
    mask = (np.abs(_blur_picture(picture) - behind) > FOREGROUND_LEVELS).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)).astype(np.uint8)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 5), np.uint8))
    return np.asarray(closed, np.uint8)


def soften(mask: Mask) -> Alpha:
    """Widen a mask by a pixel and blur its edge."""
    wide = cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), 0.9), np.float32)


def _estimate_backgrounds(clip: Clip) -> list[Picture]:
    starts = range(0, max(1, len(clip) - CHUNK_FRAMES // 2), CHUNK_FRAMES)
    return [estimate_background(clip.frames[start : start + CHUNK_FRAMES]) for start in starts]


def keep_largest(mask: Mask) -> Mask:
    """Keep only the largest connected part."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if len(stats) < 2:
        return mask
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()), np.uint8)


def make_fade(shape: tuple[int, ...]) -> Alpha:
    """Make an alpha that falls to 0 at the border, so that what a box cuts through ends softly."""
    inside = np.zeros(shape, np.float32)
    inside[2:-2, 2:-2] = 1.0
    return np.asarray(cv2.GaussianBlur(inside, (0, 0), 1.5), np.float32)


@dataclass(frozen=True, slots=True)
class MovingThing:
    """A thing through some frames: its pictures and alphas, all of one size."""

    pictures: list[Picture]
    alphas: list[Alpha]
    centre: tuple[float, float]
    """x, y in the whole picture at which it was cut out."""
    side: float
    """The length of its longer side in pixels."""


class Stock:
    """All moving things in one camera's clips, ready to be cut out; T is the frames of a window.

    All randomness comes from the given generator.
    """

    def __init__(self, clips: Sequence[Clip], length: int, *, only_usual: bool = True) -> None:
        """Args: only_usual: leave out things far larger than most.

        Raises: ValueError: no clip has `length` frames, T.
        """
        self._clips = [clip for clip in clips if len(clip) >= length]
        if not self._clips:
            raise ValueError(f"no clip has {length} frames in a row")
        self.length = length
        self.height, self.width = self._clips[0].frames.shape[1:3]
        self._backgrounds = [_estimate_backgrounds(clip) for clip in self._clips]
        self.cutouts = self._find(only_usual)
        sides = [cutout.side for cutout in self.cutouts]
        self.side = float(np.median(sides)) if sides else 0.12 * min(self.height, self.width)
        """The usual length of a moving thing's longer side, in pixels."""
        self.rigid = self._is_rigid()
        """Whether things here keep their shape as they move."""

    def _find_background(self, clip: int, frame: int) -> Picture:
        chunks = self._backgrounds[clip]
        return chunks[min(frame // CHUNK_FRAMES, len(chunks) - 1)]

    def _find(self, only_usual: bool) -> list[Cutout]:
        total = sum(map(len, self._clips))
        every = max(2, total // 5000)
        found = [
            cutout
            for index, clip in enumerate(self._clips)
            for frame in range(0, len(clip), every)
            for cutout in self._find_things(index, frame)
        ]
        if not found:
            return []
        # Far larger things are crowds, or shadows over half the picture.
        usual = 1.8 * float(np.median([cutout.side for cutout in found]))
        large = max(0.28 * min(self.height, self.width), usual)
        kept = [cutout for cutout in found if cutout.side <= large or not only_usual]
        return kept[:: -(-len(kept) // MOST_CUTOUTS)]

    def _find_things(self, clip: int, frame: int) -> list[Cutout]:
        picture = to_grey(self._clips[clip].frames[frame])
        mask = find_foreground(picture, self._find_background(clip, frame))
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        return [
            Cutout(clip, frame, int(x), int(y), int(w), int(h))
            for x, y, w, h, area in stats[1:]
            if self._is_usable(int(w), int(h), int(area))
        ]

    def _is_usable(self, width: int, height: int, area: int) -> bool:
        large = 0.6 * min(self.height, self.width)
        least = 0.0009 * self.height * self.width
        return area >= least and area > 0.35 * width * height and max(width, height) <= large

    def _is_rigid(self, samples: int = 200) -> bool:
        """Returns whether things have the same shape a window later, at any place."""
        correlations = []
        for cutout in self.cutouts[:: max(1, len(self.cutouts) // samples)]:
            frames = self._clips[cutout.clip].frames
            later = cutout.frame + self.length - 1
            if later >= len(frames):
                continue
            reach = cutout.side
            box = CutoutBox.around(cutout, 0, self.height, self.width)
            near = CutoutBox.around(cutout, reach, self.height, self.width)
            found = cv2.matchTemplate(
                near.crop(to_grey(frames[later])),
                box.crop(to_grey(frames[cutout.frame])),
                cv2.TM_CCOEFF_NORMED,
            )
            correlations.append(float(found.max()))
        return bool(correlations) and float(np.median(correlations)) > RIGID_CORRELATION

    def pick_height(self, random: np.random.Generator) -> float:
        """Pick y, in pixels, of a thing that was found; if there is none, any y."""
        if not self.cutouts:
            return random.uniform(0.0, self.height)
        cutout = self._pick(random)
        return cutout.top + 0.5 * cutout.height

    def pick_texture(self, random: np.random.Generator, side: int) -> Picture:
        """Pick a square of this footage in another light, or make one of noise."""
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

    def cut_motion(self, random: np.random.Generator, stride: int) -> MovingThing:
        """Cut out a thing through T frames, `stride` apart, in the box in which it moves."""
        cutout = self._pick(random)
        frames = self._clips[cutout.clip].frames
        stride = min(stride, (len(frames) - 1) // (self.length - 1)) if self.length > 1 else 1
        reach = (self.length - 1) * stride
        first = int(np.clip(cutout.frame - reach // 2, 0, len(frames) - 1 - reach))
        box = CutoutBox.around(cutout, 6 + 3 * stride, self.height, self.width)
        behind = box.crop(self._find_background(cutout.clip, cutout.frame))
        pictures = [
            box.crop(frames[first + index * stride]).astype(np.float32)
            for index in range(self.length)
        ]
        edge = make_fade(behind.shape)
        alphas = [soften(find_foreground(to_grey(picture), behind)) * edge for picture in pictures]
        return MovingThing(pictures, alphas, box.centre, float(cutout.side))

    def cut_still(self, random: np.random.Generator) -> MovingThing:
        """Cut out one picture of a thing, and repeat it T times."""
        cutout = self._pick(random)
        box = CutoutBox.around(cutout, 4, self.height, self.width)
        picture = box.crop(self._clips[cutout.clip].frames[cutout.frame]).astype(np.float32)
        mask = find_foreground(
            to_grey(picture), box.crop(self._find_background(cutout.clip, cutout.frame))
        )
        alpha = soften(keep_largest(mask)) * make_fade(mask.shape)
        count = self.length
        return MovingThing([picture] * count, [alpha] * count, box.centre, float(cutout.side))
