"""Makes synthetic anomalies in held-out normal footage, to compare scores without labelled footage.

Training has pseudo-anomalies of its own (`model.training.pseudo_anomalies`). A network knows those,
so the kinds here are others, and half of them paste nothing. In most scenes something normal is
pasted as well, so that the seams of pasting are no sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from model.evaluation.accuracy import Labels
from model.evaluation.drawn_strangers import draw_stranger
from model.evaluation.tracked_things import (
    PastedPlace,
    ThingFinder,
    TrackedThing,
    blend,
    paste,
)
from model.footage.clips import Clip
from model.training.cutouts import find_foreground, soften, to_grey

SCENE_S = 6.0
LEAST_FRAMES, MOST_FRAMES = 30, 60
"""A scene has the frames of `SCENE_S`, between these bounds."""
USUAL_SHARE = 0.4
"""The first part of a scene, in which nothing is abnormal."""
LEAST_COVER = 0.0006
"""An anomaly counts in a frame where it covers this share of the picture."""
MOVING_LEVELS = 3.0
"""Something moves where it changed by this mean of grey levels since the frame before."""
NORMAL_PASTE_SHARE = 0.7
"""In this share of the scenes something normal is pasted."""
FALL_S = 0.5


class SyntheticKind(StrEnum):
    """The way in which a synthetic anomaly is wrong."""

    STRANGER = "stranger"
    """Something that this camera has never seen walks through."""
    REVERSED = "reversed"
    """The footage plays backwards."""
    ACCELERATED = "accelerated"
    """The footage plays two or three times as fast."""
    STOPPED = "stopped"
    """Something that moves stands still, in the middle of its movement."""
    RESIZED = "resized"
    """Something moves as usual, twice or half as large."""
    LYING = "lying"
    """Something upright falls on its side and stays there."""
    SMOKE = "smoke"
    """A texture like smoke or water drifts."""


@dataclass(frozen=True, slots=True)
class SyntheticScene:
    """A stretch of normal footage that becomes abnormal."""

    kind: SyntheticKind
    clip: Clip
    abnormal: Labels
    """(T,)"""
    masks: NDArray[np.bool_]
    """(T, H, W): the abnormal pixels."""


def make_scenes(
    clips: Sequence[Clip],
    fps: float,
    seed: int = 0,
    *,
    scenes_a_kind: int = 4,
    strangers: Sequence[TrackedThing] = (),
    normal_paste_share: float = NORMAL_PASTE_SHARE,
) -> Iterator[SyntheticScene]:
    """Make scenes of each kind that is possible in this footage; the same for the same seed.

    Args:
        clips: normal footage of one camera, best held out of training.
        fps: its frames a second.
        strangers: moving things of other cameras; drawn ones unless given.
        normal_paste_share: the share of scenes in which something normal is pasted, whenever.
    Yields: the scenes, one after the other; none where no clip is long enough.
    """
    length = int(np.clip(round(SCENE_S * fps), LEAST_FRAMES, MOST_FRAMES))
    long = [clip for clip in clips if len(clip) >= LEAST_FRAMES]
    if not long:
        return
    maker = _Maker(long, fps, length, strangers, normal_paste_share)
    makers = maker.list_makers()
    for index in range(scenes_a_kind):
        for kind, make in makers.items():
            made = make(np.random.default_rng((seed, list(SyntheticKind).index(kind), index)))
            if made is None:
                continue
            frames, masks = made
            abnormal = masks.mean(axis=(1, 2)) >= LEAST_COVER
            if abnormal.any():
                clip = Clip(f"{kind.value} {index + 1}", frames)
                yield SyntheticScene(kind, clip, abnormal, masks & abnormal[:, None, None])


_Made = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Frames and masks of a scene."""


class _Maker:
    """Makes one scene at a time; each method returns None where the footage doesn't allow one."""

    def __init__(
        self,
        clips: Sequence[Clip],
        fps: float,
        length: int,
        strangers: Sequence[TrackedThing],
        normal_paste_share: float,
    ) -> None:
        self._clips = clips
        self._fps = fps
        self._length = length
        self._strangers = strangers
        self._normal_paste_share = normal_paste_share
        self._finder = ThingFinder(clips)

    def list_makers(
        self,
    ) -> dict[SyntheticKind, Callable[[np.random.Generator], _Made | None]]:
        """List the kinds that are possible; only two of them where nothing moves."""
        makers: dict[SyntheticKind, Callable[[np.random.Generator], _Made | None]] = {
            SyntheticKind.STRANGER: self._make_stranger,
            SyntheticKind.SMOKE: self._make_smoke,
        }
        if self._finder.has_things:
            makers |= {
                SyntheticKind.REVERSED: self._make_reversed,
                SyntheticKind.ACCELERATED: self._make_accelerated,
                SyntheticKind.STOPPED: self._make_stopped,
                SyntheticKind.RESIZED: self._make_resized,
                SyntheticKind.LYING: self._make_lying,
            }
        return makers

    def _cut(self, random: np.random.Generator) -> tuple[NDArray[np.uint8], int]:
        """Copy a stretch of the footage; returns it and the frame from which it is abnormal."""
        clip = self._clips[int(random.integers(len(self._clips)))]
        length = min(self._length, len(clip))
        start = int(random.integers(len(clip) - length + 1))
        frames = np.array(clip.frames[start : start + length])
        self._paste_normal(frames, random)
        return frames, round(USUAL_SHARE * length)

    def _paste_normal(self, frames: NDArray[np.uint8], random: np.random.Generator) -> None:
        """Paste something that moves as it did, near where it did, in place."""
        if random.random() >= self._normal_paste_share or not self._finder.has_things:
            return
        found = self._finder.find(random, 8)
        if found is None:
            return
        thing = found[1]
        first = int(random.integers(max(1, len(frames) - len(thing))))
        shift = random.normal(0.0, 0.04 * frames.shape[2]), random.normal(0.0, 2.0)
        _play(frames, thing, first, shift, 1.0, np.zeros(frames.shape[:3], np.bool_))

    def _make_stranger(self, random: np.random.Generator) -> _Made:
        frames, onset = self._cut(random)
        height, width = frames.shape[1:3]
        count = len(frames) - onset
        side = self._finder.side * random.uniform(0.7, 1.4)
        if self._strangers:
            thing = self._strangers[int(random.integers(len(self._strangers)))]
        else:
            colours = 1 if frames.ndim == 3 else 3
            thing = draw_stranger(random, count, side, self._fps, colours=colours)
        thing = _match_channels(thing, frames.ndim)
        masks = np.zeros(frames.shape[:3], np.bool_)
        start = random.uniform(0.15, 0.6) * width, random.uniform(0.3, 0.8) * height
        shift = start[0] - thing.centres[0][0], start[1] - thing.centres[0][1]
        _play(frames, thing, onset, shift, side / thing.side, masks)
        return frames, masks

    def _make_smoke(self, random: np.random.Generator) -> _Made:
        frames, onset = self._cut(random)
        height, width = frames.shape[1:3]
        masks = np.zeros(frames.shape[:3], np.bool_)
        level = float(random.choice([40.0, 215.0]))
        fields = [_make_noise(random, height, width, scale) for scale in (0.12, 0.05, 0.02)]
        centre = np.array([random.uniform(0.2, 0.8) * width, random.uniform(0.3, 0.8) * height])
        radius = min(height, width) * random.uniform(0.1, 0.22)
        drift = random.normal(0.0, 1.0, (3, 2)) * 0.03 * min(height, width) / self._fps * 3.0
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        for step, index in enumerate(range(onset, len(frames))):
            grown = min(1.0, (step + 2) / self._fps)
            away = np.hypot(columns - centre[0], rows - centre[1]) / (radius * (0.5 + 0.5 * grown))
            moved = [
                np.roll(field, np.round(step * shift).astype(int), (0, 1))
                for field, shift in zip(fields, drift, strict=True)
            ]
            noise = 0.5 * moved[0] + 0.3 * moved[1] + 0.2 * moved[2]
            alpha = np.clip(1.3 - away, 0.0, 1.0) * np.clip(0.45 + 0.5 * noise, 0.0, 0.8) * grown
            over = np.full(frames.shape[1:], level, np.float32)
            blend(frames[index], over, alpha.astype(np.float32))
            masks[index] = alpha > 0.2
        return frames, masks

    def _make_reversed(self, random: np.random.Generator) -> _Made:
        clip_index, length = self._choose_clip(random)
        clip = self._clips[clip_index]
        forward = round(USUAL_SHARE * length)
        turn = int(random.integers(length - forward, len(clip) - 1))
        before = np.arange(turn - forward + 1, turn + 1)
        back = np.arange(turn - 1, turn - 1 - (length - forward), -1)
        before = before[before >= 0]
        return self._replay(clip_index, np.concatenate([before, back]), len(before), random)

    def _make_accelerated(self, random: np.random.Generator) -> _Made:
        clip_index, length = self._choose_clip(random)
        clip = self._clips[clip_index]
        onset = round(USUAL_SHARE * length)
        stride = int(random.choice([2, 3]))
        count = min(length - onset, (len(clip) - onset) // stride)
        start = int(random.integers(len(clip) - onset - count * stride + 1))
        usual = start + np.arange(onset)
        fast = start + onset - 1 + stride * np.arange(1, count + 1)
        return self._replay(clip_index, np.concatenate([usual, fast]), onset, random)

    def _choose_clip(self, random: np.random.Generator) -> tuple[int, int]:
        index = int(random.integers(len(self._clips)))
        return index, min(self._length, len(self._clips[index]) - 2)

    def _replay(
        self, clip: int, order: NDArray[np.intp], onset: int, random: np.random.Generator
    ) -> _Made:
        """Play frames in another order; abnormal is what moves from the onset on."""
        frames = np.array(self._clips[clip].frames[order])
        masks = np.zeros(frames.shape[:3], np.bool_)
        for index in range(onset, len(frames)):
            masks[index] = _find_moving(
                frames[index], frames[index - 1], self._finder.backgrounds[clip]
            )
        self._paste_normal(frames, random)
        return frames, masks

    def _make_stopped(self, random: np.random.Generator) -> _Made | None:
        found = self._finder.find(random, 8)
        if found is None:
            return None
        cutout, thing = found
        clip = self._clips[cutout.clip]
        first = max(0, cutout.frame - round(USUAL_SHARE * self._length))
        onset = cutout.frame + 4 - first
        thing = _drop_first_frames(thing, 4)
        count = min(len(thing), self._length)
        frames = np.array(clip.frames[first : first + onset + count])
        self._paste_normal(frames, random)
        masks = np.zeros(frames.shape[:3], np.bool_)
        empty = np.median(clip.frames[:: max(1, len(clip) // 60)], axis=0).astype(np.float32)
        for step in range(count):
            index = onset + step
            if index >= len(frames):
                break
            cover = _spread(thing.alphas[step], thing.centres[step], frames.shape[1:3])
            blend(frames[index], empty, cover)
            placement = PastedPlace(thing.centres[0])
            masks[index] = paste(frames[index], thing.pictures[0], thing.alphas[0], placement)
        return frames, masks

    def _make_resized(self, random: np.random.Generator) -> _Made | None:
        found = self._finder.find(random, 8)
        if found is None:
            return None
        thing = found[1]
        frames, onset = self._cut(random)
        height, width = frames.shape[1:3]
        scale = float(random.choice([0.5, 2.0]))
        middle = np.mean(np.array(thing.centres), axis=0)
        away = random.uniform(0.2, 0.8) * width - middle[0], random.normal(0.0, 0.08 * height)
        masks = np.zeros(frames.shape[:3], np.bool_)
        _play(frames, thing, onset, away, scale, masks, along=scale)
        return frames, masks

    def _make_lying(self, random: np.random.Generator) -> _Made | None:
        found = self._finder.find(random, 8)
        if found is None:
            return None
        thing = found[1]
        frames, onset = self._cut(random)
        height, width = frames.shape[1:3]
        masks = np.zeros(frames.shape[:3], np.bool_)
        start = np.array([random.uniform(0.2, 0.8) * width, thing.centres[0][1]])
        direction = float(random.choice([-1.0, 1.0]))
        fall = max(1, round(FALL_S * self._fps))
        for step, index in enumerate(range(onset, len(frames))):
            share = min(1.0, (step + 1) / fall)
            frame = min(step, fall, len(thing) - 1)
            picture, alpha = thing.pictures[frame], thing.alphas[frame]
            down = 0.5 * share * max(0.0, float(alpha.shape[0] - alpha.shape[1]))
            centre = (float(start[0]), float(np.clip(start[1] + down, 0.0, height)))
            masks[index] = paste(
                frames[index],
                picture,
                alpha,
                PastedPlace(centre, 1.0, direction * share * np.pi / 2),
            )
        return frames, masks


def _drop_first_frames(thing: TrackedThing, first: int) -> TrackedThing:
    """Return the thing from its frame `first` on."""
    return TrackedThing(
        thing.pictures[first:], thing.alphas[first:], thing.centres[first:], thing.side
    )


def _play(
    frames: NDArray[np.uint8],
    thing: TrackedThing,
    first: int,
    shift: tuple[float, float],
    scale: float,
    masks: NDArray[np.bool_],
    *,
    along: float = 1.0,
) -> None:
    """Paste a thing as it moves, from a frame on, in place; `along` scales its path."""
    start = np.array(thing.centres[0])
    for step in range(min(len(thing), len(frames) - first)):
        way = along * (np.array(thing.centres[step]) - start)
        x, y = start + way + np.array(shift)
        placement = PastedPlace((float(x), float(y)), scale)
        masks[first + step] |= paste(
            frames[first + step], thing.pictures[step], thing.alphas[step], placement
        )


def _spread(
    alpha: NDArray[np.float32], centre: tuple[float, float], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Put an alpha, widened by some pixels, at its place in a picture that is empty otherwise."""
    rows, columns = alpha.shape
    shift = np.array([[1.0, 0.0, centre[0] - 0.5 * columns], [0.0, 1.0, centre[1] - 0.5 * rows]])
    whole = cv2.warpAffine(alpha, shift, (size[1], size[0]))
    wide = cv2.dilate((whole > 0.3).astype(np.uint8), np.ones((5, 5)))
    return soften(np.asarray(wide, np.uint8))


def _find_moving(
    frame: NDArray[np.uint8], before: NDArray[np.uint8], behind: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Find the foreground that has changed since the frame before."""
    now = to_grey(frame)
    _, labels = cv2.connectedComponents(find_foreground(now, behind))
    change = np.abs(now - to_grey(before))
    areas = np.maximum(np.bincount(labels.ravel()), 1)
    means = np.bincount(labels.ravel(), weights=change.ravel()) / areas
    means[0] = 0.0
    moving = (means > MOVING_LEVELS) & (areas >= LEAST_COVER * labels.size)
    return np.asarray(moving[labels], np.bool_)


def _make_noise(
    random: np.random.Generator, height: int, width: int, scale: float
) -> NDArray[np.float32]:
    """Make smooth noise of mean 0 and deviation 1, with grains of this share of the picture."""
    field = random.normal(0.0, 1.0, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(
        field, (0, 0), scale * min(height, width), borderType=cv2.BORDER_REFLECT
    )
    return np.asarray((smooth - smooth.mean()) / max(float(smooth.std()), 1e-6), np.float32)


def _match_channels(thing: TrackedThing, dimensions: int) -> TrackedThing:
    """Convert a thing's pictures to grey or RGB like frames of so many dimensions."""
    if dimensions - 1 == thing.pictures[0].ndim:
        return thing
    pictures = tuple(
        to_grey(each) if dimensions == 3 else np.repeat(each[..., None], 3, axis=-1)
        for each in thing.pictures
    )
    return TrackedThing(pictures, thing.alphas, thing.centres, thing.side)
