"""Pseudo-anomalies: things cut out of normal footage and put back where, or as, they don't belong.

A network that is taught to leave them out of its prediction, and to mark them, learns what things
look like here, not only how pixels move: a cyclist at walking speed is as easy to predict as a
walker. The idea: Astrid, Zaheer, Lee and Lee, "Learning Not to Reconstruct Anomalies" (BMVC 2021);
the kinds, and the pasted walkers that stay normal, are ours.

A picture here is (H, W) or (H, W, 3), float32 in grey levels; a window is T of them in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.cutouts import Cutout, Mask, Picture, Stock
from model.footage import Clip
from model.pasting import Thing, drawn_shape, mirror, paste, put_on, velocity


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


class PseudoAnomalies:
    """The ways to paste what a stock of cutouts holds.

    Everything random follows from the generator that is handed in.
    """

    def __init__(
        self, clips: Sequence[Clip], length: int, config: PseudoConfig | None = None
    ) -> None:
        """Find what moves in the clips; `length` is T, the frames of a window."""
        self.config = config or PseudoConfig()
        self._stock = Stock(clips, length)
        self.kinds = self._possible_kinds()
        """The share of each kind that makes sense here."""

    @property
    def cutouts(self) -> list[Cutout]:
        """What was found to move."""
        return self._stock.cutouts

    @property
    def rigid(self) -> bool:
        """Whether things here keep their shape as they move."""
        return self._stock.rigid

    def _possible_kinds(self) -> dict[Kind, float]:
        kinds = dict(KIND_SHARES)
        single = self._stock.length == 1  # in one frame nothing moves
        if self.rigid or single:
            del kinds[Kind.GLIDING]
        if single:
            del kinds[Kind.FAST]
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
        mirrors: bool = False,
    ) -> Composed:
        """Paste normal things, then pseudo-anomalies, into a window.

        Args:
            window: (T, h, w[, 3]), a part of the footage's frames; it isn't changed.
            origin: x, y of its top left corner in the whole picture.
            mirrors: whether normal things may be pasted mirrored, as if they went the other way.
        """
        pictures = [np.asarray(picture, np.float32) for picture in window]
        height, width = window.shape[1:3]
        quarters = 4.0 * height * width / (self._stock.height * self._stock.width)
        normals = random.poisson(self.config.normals * quarters) if self.cutouts else 0
        for _ in range(normals):
            self._paste_normal(pictures, origin, random, mirrors=mirrors)
        target = pictures[-1].copy()
        abnormal = np.zeros((height, width), np.float32)
        for _ in range(random.poisson(self.config.anomalies * quarters)):
            thing = self._anomaly(random)
            centre = (
                random.uniform(0.0, width),
                float(np.clip(thing.centre[1] - origin[1] + self._spread(random, 0.05), 0, height)),
            )
            np.maximum(abnormal, paste(pictures, thing, centre), out=abnormal)
        return Composed(np.stack(pictures), target, (abnormal > 0.4).astype(np.uint8))

    def _spread(self, random: np.random.Generator, share: float) -> float:
        return float(random.normal(0.0, share * min(self._stock.height, self._stock.width)))

    def _paste_normal(
        self,
        pictures: list[Picture],
        origin: tuple[int, int],
        random: np.random.Generator,
        *,
        mirrors: bool,
    ) -> None:
        """Something that moves as it did, about where it did: it belongs here."""
        thing = self._cut(random, 1)
        x = thing.centre[0] - origin[0] + self._spread(random, 0.05)
        y = thing.centre[1] - origin[1] + self._spread(random, 0.015)
        height, width = pictures[0].shape[:2]
        if not (-thing.side < x < width + thing.side and -thing.side < y < height + thing.side):
            x = random.uniform(0.0, width)
        if mirrors and random.random() < 0.5:
            mirror(thing)
        thing.gain = random.uniform(0.85, 1.15)
        paste(pictures, thing, (x, y))

    def _cut(self, random: np.random.Generator, stride: int) -> Thing:
        return Thing.of(self._stock.moving(random, stride))

    def _cut_still(self, random: np.random.Generator) -> Thing:
        return Thing.of(self._stock.still(random))

    def _anomaly(self, random: np.random.Generator) -> Thing:
        names = list(self.kinds)
        kind = names[int(random.choice(len(names), p=list(self.kinds.values())))]
        thing = {
            Kind.GLIDING: self._gliding,
            Kind.MISSHAPEN: self._misshapen,
            Kind.FAST: self._fast,
            Kind.STRANGE: self._strange,
        }[kind](random)
        thing.gain = random.uniform(0.7, 1.3)
        return thing

    def _gliding(self, random: np.random.Generator) -> Thing:
        thing = self._cut_still(random)
        size = float(np.exp(random.normal(0.0, 0.1)))
        wide = random.uniform(1.1, 2.2) if random.random() < 0.4 else 1.0
        thing.scale = (size * wide, size)
        thing.shift = velocity(random, thing.side)
        return thing

    def _misshapen(self, random: np.random.Generator) -> Thing:
        thing = self._cut(random, 1) if random.random() < 0.6 else self._cut_still(random)
        if random.random() < 0.4 or self.rigid:
            thing.shift = velocity(random, thing.side)
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

    def _fast(self, random: np.random.Generator) -> Thing:
        thing = self._cut(random, int(random.integers(2, 5)))
        if random.random() < 0.5:
            mirror(thing)
        if random.random() < 0.4:
            x, y = velocity(random, thing.side)
            thing.shift = (0.5 * x, 0.3 * y)
        return thing

    def _strange(self, random: np.random.Generator) -> Thing:
        """Ellipses, rings, bars and polygons, filled or drawn, with a texture of this footage."""
        side = int(
            np.clip(1.8 * self._stock.side, 24, min(self._stock.height, self._stock.width) - 2)
        )
        drawn = drawn_shape(random, side).astype(np.float32)
        alpha = np.asarray(cv2.GaussianBlur(drawn, (0, 0), 0.7), np.float32)
        picture = self._stock.texture(random, side)
        if self.cutouts and random.random() < 0.5:
            put_on(picture, alpha, self._stock.still(random), random)
        thing = Thing(
            [picture] * self._stock.length,
            [alpha] * self._stock.length,
            (0.0, self._stock.usual_height(random)),
            self._stock.side,
        )
        thing.shift = velocity(random, thing.side)
        return thing
