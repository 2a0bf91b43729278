"""Makes pseudo-anomalies: things cut out of normal footage and pasted back where they don't belong.

A network that learns to leave them out of its prediction, and to mark them, learns the shapes of
things here, not only their motion: a cyclist at walking speed is as easy to predict as a walker.
The idea: Astrid, Zaheer, Lee and Lee, "Learning Not to Reconstruct Anomalies" (BMVC 2021). The
kinds, and the pasted walkers that stay normal, are ours.

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

from model.footage.clips import Clip
from model.training.cutouts import Cutout, Mask, Picture, Stock
from model.training.pasting import Thing, draw_shape, draw_velocity, mirror, paste, put_on


class PseudoKind(StrEnum):
    """The way in which a pseudo-anomaly is wrong."""

    GLIDING = "gliding"
    """It moves, but its parts don't: one picture of it, shifted."""
    MISSHAPEN = "misshapen"
    """It is too wide, too large, flattened or turned."""
    FAST = "fast"
    """It moves 2 to 4 times as fast as it did."""
    STRANGE = "strange"
    """A drawn shape, alone or with something cut out before it."""


KIND_SHARES = {
    PseudoKind.GLIDING: 0.35,
    PseudoKind.MISSHAPEN: 0.25,
    PseudoKind.FAST: 0.20,
    PseudoKind.STRANGE: 0.20,
}


@dataclass(frozen=True, slots=True)
class PseudoConfig:
    """How much is pasted into a window: means of Poisson numbers, for each quarter of a picture."""

    anomalies: float = 0.9
    """The mean number of pseudo-anomalies."""
    normals: float = 0.7
    """The mean number of normal things, pasted in the same way and kept in the target."""

    def __post_init__(self) -> None:
        for name in ("anomalies", "normals"):
            if not 0.0 <= getattr(self, name) <= 20.0:
                raise ValueError(f"{name} must be from 0 to 20, got {getattr(self, name)!r}")


class ComposedWindow(NamedTuple):
    """A window with things pasted into it."""

    window: Picture
    """(T, H, W[, 3]): everything pasted."""
    target: Picture
    """The last frame without the pseudo-anomalies."""
    abnormal: Mask
    """The pixels of the last frame with a pseudo-anomaly."""


class PseudoAnomalies:
    """Pastes pseudo-anomalies from a stock of cutouts into windows.

    All randomness comes from the given generator.
    """

    def __init__(
        self, clips: Sequence[Clip], length: int, config: PseudoConfig | None = None
    ) -> None:
        """Find the moving things in the clips; `length` is T, the frames of a window."""
        self.config = config or PseudoConfig()
        self._stock = Stock(clips, length)
        self.kinds = self._find_possible_kinds()
        """The share of each kind that is possible here."""

    @property
    def cutouts(self) -> list[Cutout]:
        """The moving things that were found."""
        return self._stock.cutouts

    @property
    def rigid(self) -> bool:
        """Returns whether things here keep their shape as they move."""
        return self._stock.rigid

    def _find_possible_kinds(self) -> dict[PseudoKind, float]:
        kinds = dict(KIND_SHARES)
        single = self._stock.length == 1  # in one frame nothing moves
        if self.rigid or single:
            del kinds[PseudoKind.GLIDING]
        if single:
            del kinds[PseudoKind.FAST]
        if not self.cutouts:
            kinds = {PseudoKind.STRANGE: 1.0}
        total = sum(kinds.values())
        return {kind: share / total for kind, share in kinds.items()}

    def compose(
        self,
        window: NDArray[np.uint8],
        origin: tuple[int, int],
        random: np.random.Generator,
        *,
        mirrors: bool = False,
    ) -> ComposedWindow:
        """Paste normal things, then pseudo-anomalies, into a window.

        Args:
            window: (T, h, w[, 3]), a crop of the footage; it isn't changed.
            origin: x, y of the crop's top left corner in the whole picture.
            mirrors: whether normal things may be mirrored, as if they went the other way.
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
            thing = self._make_anomaly(random)
            centre = (
                random.uniform(0.0, width),
                float(
                    np.clip(
                        thing.centre[1] - origin[1] + self._draw_offset(random, 0.05), 0, height
                    )
                ),
            )
            np.maximum(abnormal, paste(pictures, thing, centre), out=abnormal)
        return ComposedWindow(np.stack(pictures), target, (abnormal > 0.4).astype(np.uint8))

    def _draw_offset(self, random: np.random.Generator, share: float) -> float:
        return float(random.normal(0.0, share * min(self._stock.height, self._stock.width)))

    def _paste_normal(
        self,
        pictures: list[Picture],
        origin: tuple[int, int],
        random: np.random.Generator,
        *,
        mirrors: bool,
    ) -> None:
        """Paste a thing that moves as it did, near where it did: it is normal here."""
        thing = self._cut(random, 1)
        x = thing.centre[0] - origin[0] + self._draw_offset(random, 0.05)
        y = thing.centre[1] - origin[1] + self._draw_offset(random, 0.015)
        height, width = pictures[0].shape[:2]
        if not (-thing.side < x < width + thing.side and -thing.side < y < height + thing.side):
            x = random.uniform(0.0, width)
        if mirrors and random.random() < 0.5:
            mirror(thing)
        thing.gain = random.uniform(0.85, 1.15)
        paste(pictures, thing, (x, y))

    def _cut(self, random: np.random.Generator, stride: int) -> Thing:
        return Thing.from_cut(self._stock.cut_motion(random, stride))

    def _cut_still(self, random: np.random.Generator) -> Thing:
        return Thing.from_cut(self._stock.cut_still(random))

    def _make_anomaly(self, random: np.random.Generator) -> Thing:
        names = list(self.kinds)
        kind = names[int(random.choice(len(names), p=list(self.kinds.values())))]
        thing = {
            PseudoKind.GLIDING: self._make_glider,
            PseudoKind.MISSHAPEN: self._make_misshapen,
            PseudoKind.FAST: self._make_fast,
            PseudoKind.STRANGE: self._make_strange,
        }[kind](random)
        thing.gain = random.uniform(0.7, 1.3)
        return thing

    def _make_glider(self, random: np.random.Generator) -> Thing:
        thing = self._cut_still(random)
        size = float(np.exp(random.normal(0.0, 0.1)))
        wide = random.uniform(1.1, 2.2) if random.random() < 0.4 else 1.0
        thing.scale = (size * wide, size)
        thing.shift = draw_velocity(random, thing.side)
        return thing

    def _make_misshapen(self, random: np.random.Generator) -> Thing:
        thing = self._cut(random, 1) if random.random() < 0.6 else self._cut_still(random)
        if random.random() < 0.4 or self.rigid:
            thing.shift = draw_velocity(random, thing.side)
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

    def _make_fast(self, random: np.random.Generator) -> Thing:
        thing = self._cut(random, int(random.integers(2, 5)))
        if random.random() < 0.5:
            mirror(thing)
        if random.random() < 0.4:
            x, y = draw_velocity(random, thing.side)
            thing.shift = (0.5 * x, 0.3 * y)
        return thing

    def _make_strange(self, random: np.random.Generator) -> Thing:
        """Make a drawn shape, filled or outlined, with a texture of this footage."""
        side = int(
            np.clip(1.8 * self._stock.side, 24, min(self._stock.height, self._stock.width) - 2)
        )
        drawn = draw_shape(random, side).astype(np.float32)
        alpha = np.asarray(cv2.GaussianBlur(drawn, (0, 0), 0.7), np.float32)
        picture = self._stock.pick_texture(random, side)
        if self.cutouts and random.random() < 0.5:
            put_on(picture, alpha, self._stock.cut_still(random), random)
        thing = Thing(
            [picture] * self._stock.length,
            [alpha] * self._stock.length,
            (0.0, self._stock.pick_height(random)),
            self._stock.side,
        )
        thing.shift = draw_velocity(random, thing.side)
        return thing
