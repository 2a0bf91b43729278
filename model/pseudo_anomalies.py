"""Pseudo-anomalies: things cut out of normal footage and put back where, or as, they don't belong.

A network that is taught to leave them out of its prediction, and to mark them, learns what things
look like here, not only how pixels move: a cyclist at walking speed is as easy to predict as a
walker. The idea: Astrid, Zaheer, Lee, "Learning Not to Reconstruct Anomalies" (BMVC 2021); the
kinds, and the pasted walkers that stay normal, are ours.

A picture here is (H, W) or (H, W, 3), float32 in grey levels; a window is T of them in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeVar

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
RIGID_CORRELATION = 0.93
"""Above it things keep their shape as they move here, so that a glide is nothing abnormal."""


class Kind(StrEnum):
    """What is wrong with a pseudo-anomaly."""

    GLIDING = "gliding"
    """Moves, but its parts don't: one picture of it, shifted."""
    MISSHAPEN = "misshapen"
    """Too wide, too large, flattened or turned."""
    FAST = "fast"
    """Moves 2 to 4 times as fast as it did."""
    STRANGE = "strange"
    """A drawn shape, alone or with something cut out before it."""


KIND_SHARES = {
    Kind.GLIDING: 0.35,
    Kind.MISSHAPEN: 0.25,
    Kind.FAST: 0.20,
    Kind.STRANGE: 0.20,
}


@dataclass(frozen=True, slots=True)
class PseudoConfig:
    """How much is pasted into a window. Means are of Poisson numbers, a quarter of a picture."""

    anomalies: float = 0.9
    """Mean number of pseudo-anomalies."""
    normals: float = 0.7
    """Mean number of normal things, pasted in the same way and kept in the target."""

    def __post_init__(self) -> None:
        for name in ("anomalies", "normals"):
            if not 0.0 <= getattr(self, name) <= 20.0:
                raise ValueError(f"{name} must be from 0 to 20, got {getattr(self, name)!r}")


class Composed(NamedTuple):
    """A window with things pasted into it."""

    window: Picture
    """(T, H, W[, 3]): everything pasted."""
    target: Picture
    """The last frame without the pseudo-anomalies."""
    abnormal: Mask
    """Where the last frame shows one."""


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


@dataclass(slots=True)
class _Thing:
    """What is pasted: T pictures and T alphas of one size, and how they are put down."""

    pictures: list[Picture]
    alphas: list[Alpha]
    centre: tuple[float, float]
    """x, y in the whole picture, where it was cut out."""
    side: float
    """Pixels of its longer side."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Pixels a frame that it moves, beside what it does in its own pictures."""
    scale: tuple[float, float] = (1.0, 1.0)
    turn: float = 0.0
    """Radians."""
    gain: float = 1.0


@dataclass(slots=True)
class _Backgrounds:
    """One background a chunk of each clip."""

    chunks: list[list[Picture]] = field(default_factory=list)

    def of(self, clip: int, frame: int) -> Picture:
        return self.chunks[clip][min(frame // CHUNK_FRAMES, len(self.chunks[clip]) - 1)]


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


class PseudoAnomalies:
    """A stock of cutouts of normal footage, and the ways to paste them.

    Everything random follows from the generator that is handed in.
    """

    def __init__(
        self, clips: Sequence[Clip], length: int, config: PseudoConfig | None = None
    ) -> None:
        """Find what moves in the clips; `length` is T, the frames of a window."""
        self.config = config or PseudoConfig()
        self._clips = [clip for clip in clips if len(clip) >= length]
        if not self._clips:
            raise ValueError(f"no clip has {length} frames in a row")
        self._length = length
        self._height, self._width = self._clips[0].frames.shape[1:3]
        self._backgrounds = _Backgrounds([_chunk_backgrounds(clip) for clip in self._clips])
        self.cutouts = self._find()
        sides = [cutout.side for cutout in self.cutouts]
        self._side = float(np.median(sides)) if sides else 0.12 * min(self._height, self._width)
        self.rigid = self._moves_rigidly()
        self._kinds = self._possible_kinds()

    def _find(self) -> list[Cutout]:
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
        large = max(0.28 * min(self._height, self._width), usual)
        kept = [cutout for cutout in found if cutout.side <= large]
        return kept[:: -(-len(kept) // MOST_CUTOUTS)]

    def _things(self, clip: int, frame: int) -> list[Cutout]:
        picture = grey(self._clips[clip].frames[frame])
        mask = foreground(picture, self._backgrounds.of(clip, frame))
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        return [
            Cutout(clip, frame, int(x), int(y), int(w), int(h))
            for x, y, w, h, area in stats[1:]
            if self._usable(int(w), int(h), int(area))
        ]

    def _usable(self, width: int, height: int, area: int) -> bool:
        large = 0.6 * min(self._height, self._width)
        least = 0.0009 * self._height * self._width
        return area >= least and area > 0.35 * width * height and max(width, height) <= large

    def _moves_rigidly(self, looks: int = 200) -> bool:
        """Whether things here look the same a window later, wherever they are then."""
        correlations = []
        for cutout in self.cutouts[:: max(1, len(self.cutouts) // looks)]:
            frames = self._clips[cutout.clip].frames
            later = cutout.frame + self._length - 1
            if later >= len(frames):
                continue
            reach = cutout.side
            box = _Box.around(cutout, 0, self._height, self._width)
            near = _Box.around(cutout, reach, self._height, self._width)
            found = cv2.matchTemplate(
                near.of(grey(frames[later])),
                box.of(grey(frames[cutout.frame])),
                cv2.TM_CCOEFF_NORMED,
            )
            correlations.append(float(found.max()))
        return bool(correlations) and float(np.median(correlations)) > RIGID_CORRELATION

    def _possible_kinds(self) -> dict[Kind, float]:
        kinds = dict(KIND_SHARES)
        if self.rigid:
            del kinds[Kind.GLIDING]
        if not self.cutouts:
            kinds = {Kind.STRANGE: 1.0}
        total = sum(kinds.values())
        return {kind: share / total for kind, share in kinds.items()}

    def compose(
        self,
        window: NDArray[np.uint8],
        origin: tuple[int, int],
        random: np.random.Generator,
        *,
        mirror: bool = False,
    ) -> Composed:
        """Paste normal things, then pseudo-anomalies, into a window.

        Args:
            window: (T, h, w[, 3]), a part of the footage's frames; it isn't changed.
            origin: x, y of its top left corner in the whole picture.
            mirror: whether normal things may be pasted mirrored, as if they went the other way.
        """
        pictures = [np.asarray(picture, np.float32) for picture in window]
        height, width = window.shape[1:3]
        quarters = 4.0 * height * width / (self._height * self._width)
        normals = random.poisson(self.config.normals * quarters) if self.cutouts else 0
        for _ in range(normals):
            self._paste_normal(pictures, origin, random, mirror=mirror)
        target = pictures[-1].copy()
        abnormal = np.zeros((height, width), np.float32)
        for _ in range(random.poisson(self.config.anomalies * quarters)):
            thing = self._anomaly(random)
            centre = (
                random.uniform(0.0, width),
                float(np.clip(thing.centre[1] - origin[1] + self._spread(random, 0.05), 0, height)),
            )
            np.maximum(abnormal, _paste(pictures, thing, centre), out=abnormal)
        return Composed(np.stack(pictures), target, (abnormal > 0.4).astype(np.uint8))

    def _spread(self, random: np.random.Generator, share: float) -> float:
        return float(random.normal(0.0, share * min(self._height, self._width)))

    def _paste_normal(
        self,
        pictures: list[Picture],
        origin: tuple[int, int],
        random: np.random.Generator,
        *,
        mirror: bool,
    ) -> None:
        """Something that moves as it did, about where it did: it belongs here."""
        thing = self._moving(random, 1)
        x = thing.centre[0] - origin[0] + self._spread(random, 0.05)
        y = thing.centre[1] - origin[1] + self._spread(random, 0.015)
        height, width = pictures[0].shape[:2]
        if not (-thing.side < x < width + thing.side and -thing.side < y < height + thing.side):
            x = random.uniform(0.0, width)
        if mirror and random.random() < 0.5:
            _mirror(thing)
        thing.gain = random.uniform(0.85, 1.15)
        _paste(pictures, thing, (x, y))

    def _anomaly(self, random: np.random.Generator) -> _Thing:
        names = list(self._kinds)
        kind = names[int(random.choice(len(names), p=list(self._kinds.values())))]
        thing = {
            Kind.GLIDING: self._gliding,
            Kind.MISSHAPEN: self._misshapen,
            Kind.FAST: self._fast,
            Kind.STRANGE: self._strange,
        }[kind](random)
        thing.gain = random.uniform(0.7, 1.3)
        return thing

    def _gliding(self, random: np.random.Generator) -> _Thing:
        thing = self._still(random)
        size = float(np.exp(random.normal(0.0, 0.1)))
        wide = random.uniform(1.1, 2.2) if random.random() < 0.4 else 1.0
        thing.scale = (size * wide, size)
        thing.shift = _velocity(random, thing.side)
        return thing

    def _misshapen(self, random: np.random.Generator) -> _Thing:
        thing = self._moving(random, 1) if random.random() < 0.6 else self._still(random)
        if random.random() < 0.4 or self.rigid:
            thing.shift = _velocity(random, thing.side)
        form = random.integers(4)
        if form == 0:
            thing.scale = (random.uniform(1.5, 2.6), 1.0)
        elif form == 1:
            size = random.uniform(1.5, 2.3)
            thing.scale = (size, size)
        elif form == 2:
            thing.turn = 0.5 * np.pi * random.choice([1, -1, 2]) + random.normal(0.0, 0.2)
        else:
            thing.scale = (random.uniform(0.9, 1.6), random.uniform(0.4, 0.65))
        return thing

    def _fast(self, random: np.random.Generator) -> _Thing:
        thing = self._moving(random, int(random.integers(2, 5)))
        if random.random() < 0.5:
            _mirror(thing)
        if random.random() < 0.4:
            x, y = _velocity(random, thing.side)
            thing.shift = (0.5 * x, 0.3 * y)
        return thing

    def _strange(self, random: np.random.Generator) -> _Thing:
        """Ellipses, rings, bars and polygons, filled or drawn, with a texture of this footage."""
        side = int(np.clip(1.8 * self._side, 24, min(self._height, self._width) - 2))
        drawn = _drawn(random, side).astype(np.float32)
        alpha = np.asarray(cv2.GaussianBlur(drawn, (0, 0), 0.7), np.float32)
        picture = self._texture(random, side)
        if self.cutouts and random.random() < 0.5:
            _put_on(picture, alpha, self._still(random), random)
        thing = _Thing(
            [picture] * self._length,
            [alpha] * self._length,
            (0.0, self._usual_height(random)),
            self._side,
        )
        thing.shift = _velocity(random, thing.side)
        return thing

    def _usual_height(self, random: np.random.Generator) -> float:
        if not self.cutouts:
            return random.uniform(0.0, self._height)
        cutout = self._pick(random)
        return cutout.top + 0.5 * cutout.height

    def _texture(self, random: np.random.Generator, side: int) -> Picture:
        clip = self._clips[int(random.integers(len(self._clips)))]
        frame = clip.frames[int(random.integers(len(clip)))]
        x = int(random.integers(0, self._width - side))
        y = int(random.integers(0, self._height - side))
        patch = frame[y : y + side, x : x + side].astype(np.float32)
        if random.random() < 0.5:
            return np.asarray(patch * random.uniform(0.6, 1.2), np.float32)
        noise = random.normal(0.0, random.uniform(0.0, 12.0), patch.shape)
        return np.asarray(random.uniform(20.0, 230.0) + noise, np.float32)

    def _pick(self, random: np.random.Generator) -> Cutout:
        return self.cutouts[int(random.integers(len(self.cutouts)))]

    def _moving(self, random: np.random.Generator, stride: int) -> _Thing:
        """A thing through T frames, `stride` apart, in the box that it moves in."""
        cutout = self._pick(random)
        frames = self._clips[cutout.clip].frames
        stride = min(stride, (len(frames) - 1) // (self._length - 1)) if self._length > 1 else 1
        reach = (self._length - 1) * stride
        first = int(np.clip(cutout.frame - reach // 2, 0, len(frames) - 1 - reach))
        box = _Box.around(cutout, 6 + 3 * stride, self._height, self._width)
        behind = box.of(self._backgrounds.of(cutout.clip, cutout.frame))
        pictures = [
            box.of(frames[first + index * stride]).astype(np.float32)
            for index in range(self._length)
        ]
        fade = _fade(behind.shape)
        alphas = [soft(foreground(grey(picture), behind)) * fade for picture in pictures]
        return _Thing(pictures, alphas, box.centre, float(cutout.side))

    def _still(self, random: np.random.Generator) -> _Thing:
        """One picture of a thing, T times."""
        cutout = self._pick(random)
        box = _Box.around(cutout, 4, self._height, self._width)
        picture = box.of(self._clips[cutout.clip].frames[cutout.frame]).astype(np.float32)
        mask = foreground(grey(picture), box.of(self._backgrounds.of(cutout.clip, cutout.frame)))
        alpha = soft(_largest(mask)) * _fade(mask.shape)
        count = self._length
        return _Thing([picture] * count, [alpha] * count, box.centre, float(cutout.side))


@dataclass(frozen=True, slots=True)
class _Box:
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, cutout: Cutout, margin: int, height: int, width: int) -> _Box:
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


def _chunk_backgrounds(clip: Clip) -> list[Picture]:
    starts = range(0, max(1, len(clip) - CHUNK_FRAMES // 2), CHUNK_FRAMES)
    return [background(clip.frames[start : start + CHUNK_FRAMES]) for start in starts]


def _largest(mask: Mask) -> Mask:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if len(stats) < 2:
        return mask
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()), np.uint8)


def _fade(shape: tuple[int, ...]) -> Alpha:
    """1 inside, falling to 0 at the border: what a box cuts through ends softly."""
    inside = np.zeros(shape, np.float32)
    inside[2:-2, 2:-2] = 1.0
    return np.asarray(cv2.GaussianBlur(inside, (0, 0), 1.5), np.float32)


def _mirror(thing: _Thing) -> None:
    thing.pictures = [np.ascontiguousarray(picture[:, ::-1]) for picture in thing.pictures]
    thing.alphas = [np.ascontiguousarray(alpha[:, ::-1]) for alpha in thing.alphas]


def _velocity(random: np.random.Generator, side: float) -> tuple[float, float]:
    """Pixels a frame, a 70th to a sixth of its side; mostly along the ground."""
    speed = side * float(np.exp(random.uniform(np.log(0.014), np.log(0.17))))
    if random.random() < 0.35:
        angle = random.uniform(0.0, 2.0 * np.pi)
    else:
        angle = np.pi * int(random.integers(2)) + random.normal(0.0, 0.25)
    return speed * float(np.cos(angle)), speed * float(np.sin(angle))


def _drawn(random: np.random.Generator, side: int) -> Mask:
    canvas = np.zeros((side, side), np.uint8)
    width, height = (int(side * random.uniform(0.16, 0.7)) for _ in range(2))
    for _ in range(int(random.integers(1, 4))):
        x = side // 2 + int(random.integers(-width // 3, width // 3 + 1))
        y = side // 2 + int(random.integers(-height // 3, height // 3 + 1))
        a, b = (max(3, int(extent * random.uniform(0.2, 0.5))) for extent in (width, height))
        form = random.integers(5)
        if form < 2:
            thickness = -1 if form == 0 else int(random.integers(1, 4))
            cv2.ellipse(canvas, (x, y), (a, b), random.uniform(0, 180), 0, 360, 1, thickness)
        elif form == 2:
            cv2.rectangle(canvas, (x - a, y - b), (x + a, y + b), 1, -1)
        elif form == 3:
            rise = int(b * random.uniform(-1, 1))
            cv2.line(canvas, (x - a, y - rise), (x + a, y + rise), 1, int(random.integers(1, 5)))
        else:
            corners = random.normal((x, y), (width / 3, height / 3), (5, 2))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], 1)
    return canvas


def _put_on(picture: Picture, alpha: Alpha, rider: _Thing, random: np.random.Generator) -> None:
    """Put a cut-out thing upon a drawn one, in place, where it fits."""
    top, cover = rider.pictures[0], rider.alphas[0]
    height, width = cover.shape
    side = len(alpha)
    if height > side or width > side:
        return
    y = int(np.clip(side // 2 - height + random.integers(0, 16), 0, side - height))
    x = int(np.clip(side // 2 - width // 2 + random.integers(-8, 9), 0, side - width))
    here = (slice(y, y + height), slice(x, x + width))
    picture[here] += _like(cover, top) * (top - picture[here])
    alpha[here] = np.maximum(alpha[here], cover)


def _like(alpha: Alpha, picture: Picture) -> Alpha:
    """The alpha with the picture's axes."""
    return alpha if picture.ndim == 2 else alpha[..., None]


def _paste(pictures: list[Picture], thing: _Thing, centre: tuple[float, float]) -> Alpha:
    """Put a thing into a window, in place, its centre in the last frame there.

    Returns: how much it covers of the last frame, (H, W).
    """
    height, width = pictures[0].shape[:2]
    cos, sin = np.cos(thing.turn), np.sin(thing.turn)
    across, down = thing.scale
    linear = np.array([[cos * across, -sin * down], [sin * across, cos * down]])
    rows, columns = thing.alphas[0].shape
    middle = linear @ np.array([0.5 * columns - 0.5, 0.5 * rows - 0.5])
    cover = np.zeros((height, width), np.float32)
    for index, (source, mask) in enumerate(zip(thing.pictures, thing.alphas, strict=True)):
        before = index - (len(pictures) - 1)
        place = np.array(centre) + before * np.array(thing.shift) - middle
        matrix = np.hstack([linear, place[:, None]])
        moved = cv2.warpAffine(source, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        cover = np.asarray(cv2.warpAffine(mask, matrix, (width, height)), np.float32)
        pixels = np.clip(moved * thing.gain, 0.0, 255.0)
        pictures[index] += _like(cover, pictures[index]) * (pixels - pictures[index])
    return cover
