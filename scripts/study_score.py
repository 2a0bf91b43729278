"""Which score to take live: chosen on normal footage with strangers in it, never on a test set.

    .venv/bin/python scripts/study_score.py PED2/training VIDEO --bundle BUNDLE --json FILE

The footage that `normwatch train` holds out is shown twice. As it is, it gives the ranges. Then a
part of each stretch gets a stranger: the cyclist and the car of Intel's video
`person-bicycle-car-detection.mp4` (another camera; nothing of it is ever trained on), at walking
speed and faster, and walkers of the held-out clips, who glide without moving their legs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model import bundle as bundles
from model.calibration import causal_scores, measure, normal_range, split
from model.catalog import find
from model.config import (
    JUDGED,
    LIVE,
    SCORES,
    Normalisation,
    NormalisationKind,
    ScoreConfig,
)
from model.cutouts import Stock, background, foreground, soft
from model.detector import Detector
from model.evaluation.accuracy import accuracy, auc
from model.footage import Clip, Source, discover, frame_store, pictures
from model.frames import FrameShape
from model.observation import CameraOptions
from model.rules import UPDATE_RULES

STRETCH = 90
ONSET = 40
BEFORE = 3
"""Pixels around a stranger's mask."""
LEAST_COVER = 60.0
"""Pixels that a stranger must cover for a frame to count as abnormal."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Pictures of something that doesn't belong, and how much each covers."""

    pictures: list[NDArray[np.float32]]
    alphas: list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Scene:
    """One stretch of held-out footage with one stranger."""

    kind: str
    clip: int
    start: int
    leftwards: bool
    speed: float
    """Pixels a frame; people walk at 1 to 2 on Ped2 at 256x256."""
    height: int
    """Of the stranger, in pixels; 0 leaves it as it was."""


SCENES = (
    Scene("bicycle", 0, 0, False, 1.2, 40),
    Scene("bicycle", 1, 10, True, 1.0, 36),
    Scene("bicycle", 1, 80, False, 1.8, 42),
    Scene("bicycle", 0, 85, True, 3.5, 40),
    Scene("glide", 0, 40, False, 1.2, 0),
    Scene("glide", 1, 40, True, 1.0, 0),
    Scene("glide", 1, 0, False, 1.6, 0),
    Scene("glide", 0, 20, True, 2.2, 0),
    Scene("car", 0, 60, False, 1.5, 60),
    Scene("car", 1, 60, True, 4.0, 56),
)
SHOWN = {"bicycle": range(138, 153), "car": range(10, 25)}
"""Frames of the video in which each is seen whole."""
LIGHT = {"bicycle": 70.0, "car": 120.0}
"""Grey level that the video's ground comes out at, over Ped2's at 160."""
DIFFERENCE = 20
"""Grey levels by which the video's strangers differ from its ground."""


def main() -> None:
    """Measure every composition on the scenes, and print them, best first."""
    torch.set_num_threads(1)
    arguments = _arguments()
    bundle = bundles.load(
        find(arguments.bundle, [])
        if not Path(arguments.bundle).is_dir()
        else Path(arguments.bundle)
    )
    clips = _read(arguments.training, bundle.frame_shape)
    _, held_out = split(clips, arguments.hold_out, bundle.config.context)
    scenes, labels = _scenes(held_out, arguments.video, bundle.frame_shape)
    scores = _compositions(judges=bundle.config.judges)
    detector = Detector(bundle, scores=tuple(scores.values()))
    normal = normal_range(measure(detector, held_out))
    rows = measure(detector, scenes, CameraOptions(update=UPDATE_RULES["held"]))
    results: dict[str, dict[str, float]] = {}
    for name, score in scores.items():
        causal = [_array(each) for each in causal_scores(rows, score, normal)]
        results[name] = {
            "causal": accuracy(labels, causal).micro or 0.0,
            "worst_scene": _worst(labels, causal),
        }
    for name, result in sorted(results.items(), key=lambda each: -each[1]["causal"]):
        print(f"{name:34} AUC {result['causal']:6.2f}   worst scene {result['worst_scene']:6.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("training", type=Path, help="the footage that the bundle was trained on")
    parser.add_argument("video", type=Path, help="person-bicycle-car-detection.mp4")
    parser.add_argument("--bundle", required=True, help="folder or name")
    parser.add_argument("--hold-out", type=float, default=0.125, help="as in the training")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _read(folder: Path, shape: FrameShape) -> list[Clip]:
    with frame_store(shape) as store:
        for source in discover([str(folder)]):
            store.add(source)
        return store.clips()


def _compositions(*, judges: bool) -> dict[str, ScoreConfig]:
    named = dict(SCORES)
    smoothing = (1.0, 0.5, 0.35, 0.25)
    for blur, top, weight in product((0.0, 1.0, 2.0), (1, 10, 30, 100, 200), smoothing):
        name = f"blur {blur:g}, top {top}, smoothing {weight:g}"
        step = replace(LIVE.error, blur_cells=blur, top_cells=top)
        named[f"absolute, {name}"] = replace(LIVE, error=step, smoothing=weight)
        if judges and JUDGED.judgement:
            step = replace(JUDGED.judgement, blur_cells=blur, top_cells=top)
            alone = replace(JUDGED, judgement=step, judgement_weight=1.0, smoothing=weight)
            named[f"judgement, {name}"] = alone
    if judges:
        for share, weight, kind in product((0.25, 0.5, 0.75), smoothing, NormalisationKind):
            named[f"both, judgement {share:g}, {kind}, smoothing {weight:g}"] = replace(
                JUDGED,
                judgement_weight=share,
                normalisation=Normalisation(kind=kind),
                smoothing=weight,
            )
    return named


def _scenes(
    held_out: Sequence[Clip], video: Path, shape: FrameShape
) -> tuple[list[Clip], list[NDArray[np.bool_]]]:
    """Stretches with strangers, and which of their frames show one."""
    random = np.random.default_rng(77)
    stock = Stock(held_out, 5)
    made = [_scene(scene, held_out, stock, video, shape, random) for scene in SCENES]
    return [clip for clip, _ in made], [labels for _, labels in made]


def _scene(
    scene: Scene,
    held_out: Sequence[Clip],
    stock: Stock,
    video: Path,
    shape: FrameShape,
    random: np.random.Generator,
) -> tuple[Clip, NDArray[np.bool_]]:
    frames = held_out[scene.clip].frames[scene.start : scene.start + STRETCH].copy()
    if scene.kind == "glide":
        stranger, level = _walker(held_out, stock, random)
    else:
        stranger, level = _foreign(video, scene, shape), 0.59 * shape.height
    direction = -1.0 if scene.leftwards else 1.0
    x = random.uniform(0.78, 0.92) if scene.leftwards else random.uniform(0.08, 0.22)
    labels = np.zeros(len(frames), np.bool_)
    for step, index in enumerate(range(ONSET, len(frames))):
        turn = len(stranger.pictures)
        picture, alpha = (
            each[_to_and_fro(step, turn)] for each in (stranger.pictures, stranger.alphas)
        )
        centre = (x * shape.width + direction * scene.speed * step, level)
        cover = _put(frames, index, picture, alpha, centre)
        labels[index] = cover > LEAST_COVER
    return Clip(f"{scene.kind} at {scene.speed:g}", frames), labels


def _to_and_fro(step: int, count: int) -> int:
    if count == 1:
        return 0
    place = step % (2 * count - 2)
    return place if place < count else 2 * count - 2 - place


def _put(
    frames: NDArray[np.uint8],
    index: int,
    picture: NDArray[np.float32],
    alpha: NDArray[np.float32],
    centre: tuple[float, float],
) -> float:
    """Lay a stranger over a frame, in place; returns how many pixels it covers."""
    height, width = alpha.shape
    size = (frames.shape[2], frames.shape[1])
    matrix = np.array([[1, 0, centre[0] - width / 2], [0, 1, centre[1] - height / 2]], np.float64)
    cover = cv2.warpAffine(alpha, matrix, size)
    moved = cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    mixed = frames[index] + cover * (moved - frames[index])
    frames[index] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    return float(cover.sum())


def _walker(
    held_out: Sequence[Clip], stock: Stock, random: np.random.Generator
) -> tuple[Stranger, float]:
    """One picture of somebody in the held-out footage, and the height at which it was taken."""
    tall = [cutout for cutout in stock.cutouts if cutout.height >= 25]
    cutout = tall[int(random.integers(len(tall)))]
    frames = held_out[cutout.clip].frames
    rows = slice(max(0, cutout.top - BEFORE), cutout.top + cutout.height + BEFORE)
    columns = slice(max(0, cutout.left - BEFORE), cutout.left + cutout.width + BEFORE)
    picture = frames[cutout.frame].astype(np.float32)
    alpha = soft(foreground(picture, background(frames)))[rows, columns].copy()
    return Stranger([picture[rows, columns]], [alpha]), cutout.top + cutout.height / 2


def _foreign(video: Path, scene: Scene, shape: FrameShape) -> Stranger:
    """The video's cyclist or car, as tall as the scene says, squeezed as Ped2's frames are."""
    taken = np.stack([cv2.cvtColor(each, cv2.COLOR_BGR2GRAY) for _, each in pictures(_as(video))])
    behind = _smooth(np.median(taken[::5], axis=0).astype(np.uint8))
    mirrored = scene.leftwards == (scene.kind == "bicycle")
    shown, alphas = [], []
    for frame in SHOWN[scene.kind]:
        mask, (x, y, w, h) = _largest(cv2.absdiff(_smooth(taken[frame]), behind) > DIFFERENCE)
        rows = slice(max(0, y - BEFORE), y + h + BEFORE)
        columns = slice(max(0, x - BEFORE), x + w + BEFORE)
        tall, wide = mask[rows, columns].shape
        size = (max(4, round(wide * scene.height / tall * _squeeze(shape))), scene.height)
        picture, cover = (
            cv2.resize(each[rows, columns], size, interpolation=cv2.INTER_AREA)
            for each in (taken[frame], mask)
        )
        if mirrored:
            picture, cover = np.fliplr(picture), np.fliplr(cover)
        light = (picture.astype(np.float32) - 90.0) * 0.8 + LIGHT[scene.kind]
        shown.append(np.ascontiguousarray(np.clip(light, 0.0, 255.0)))
        alphas.append(soft(np.ascontiguousarray(cover)))
    return Stranger(shown, alphas)


def _as(video: Path) -> Source:
    return Source(video.name, video)


def _smooth(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


def _largest(differs: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """The largest connected part, its gaps closed, and its box: left, top, width, height."""
    mask = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, components, stats, _ = cv2.connectedComponentsWithStats(mask)
    number = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, w, h = (int(value) for value in stats[number][:4])
    return (components == number).astype(np.uint8), (x, y, w, h)


def _squeeze(shape: FrameShape) -> float:
    """By how much a network's shape narrows Ped2's 360x240."""
    return (shape.width / 360.0) / (shape.height / 240.0)


def _array(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _worst(labels: Sequence[NDArray[np.bool_]], scores: Sequence[NDArray[np.float64]]) -> float:
    """AUC of the scene that is told apart worst, its abnormal frames against all normal ones."""
    known = [(each, values) for each, values in zip(labels, scores, strict=True)]
    usual = np.concatenate([v[~each & ~np.isnan(v)] for each, v in known])
    found = []
    for each, values in known:
        strange = values[each & ~np.isnan(values)]
        marks = np.concatenate([np.zeros(len(usual), bool), np.ones(len(strange), bool)])
        value = auc(marks, np.concatenate([usual, strange]))
        if value is not None:
            found.append(value)
    return min(found)


if __name__ == "__main__":
    main()
