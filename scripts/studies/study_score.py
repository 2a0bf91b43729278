"""Chooses the live score on normal footage with strangers pasted in, never on a test set.

    python scripts/studies/study_score.py PED2/training VIDEO --bundle BUNDLE --json FILE

The footage that `normwatch train` holds out is used twice. As it is, it gives the ranges. Then a
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

from model.bundles import bundle as bundles
from model.bundles.catalog import find_bundle
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.evaluation.accuracy import compute_accuracy, compute_auc, to_array
from model.footage.clips import Clip, read_clips
from model.footage.footage_reader import FootageReader
from model.footage.footage_search import Source, find_footage
from model.frames import FrameShape
from model.network.update_rules import UPDATE_RULES
from model.scoring.score_config import (
    JUDGED,
    LIVE,
    SCORES,
    Normalisation,
    NormalisationKind,
    ScoreConfig,
)
from model.training.bundle_calibration import (
    measure_clips,
    measure_normal_range,
    score_causally,
    split_clips,
)
from model.training.cutouts import Stock, estimate_background, find_foreground, soften

STRETCH = 90
ONSET = 40
BEFORE = 3
"""Pixels around a stranger's mask."""
LEAST_COVER = 60.0
"""Pixels that a stranger must cover for a frame to count as abnormal."""


@dataclass(frozen=True, slots=True)
class CutStranger:
    """Pictures of something that doesn't belong, with their alphas."""

    pictures: list[NDArray[np.float32]]
    alphas: list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class StrangerScene:
    """One stretch of held-out footage with one stranger."""

    kind: str
    clip: int
    start: int
    leftwards: bool
    speed: float
    """Pixels a frame; people walk at 1 to 2 on Ped2 at 256x256."""
    height: int
    """The stranger's height in pixels; 0 leaves it as it was."""


SCENES = (
    StrangerScene("bicycle", 0, 0, False, 1.2, 40),
    StrangerScene("bicycle", 1, 10, True, 1.0, 36),
    StrangerScene("bicycle", 1, 80, False, 1.8, 42),
    StrangerScene("bicycle", 0, 85, True, 3.5, 40),
    StrangerScene("glide", 0, 40, False, 1.2, 0),
    StrangerScene("glide", 1, 40, True, 1.0, 0),
    StrangerScene("glide", 1, 0, False, 1.6, 0),
    StrangerScene("glide", 0, 20, True, 2.2, 0),
    StrangerScene("car", 0, 60, False, 1.5, 60),
    StrangerScene("car", 1, 60, True, 4.0, 56),
)
VIDEO_FRAMES = {"bicycle": range(138, 153), "car": range(10, 25)}
"""Frames of the video in which each is visible as a whole."""
LIGHT = {"bicycle": 70.0, "car": 120.0}
"""Grey level of the video's ground after conversion; Ped2's is 160."""
DIFFERENCE = 20
"""The video's strangers differ from its ground by more than this many grey levels."""


def main() -> None:
    """Measure every composition on the scenes, and print them, best first."""
    torch.set_num_threads(1)
    arguments = _parse_arguments()
    bundle = bundles.load(
        find_bundle(arguments.bundle, [])
        if not Path(arguments.bundle).is_dir()
        else Path(arguments.bundle)
    )
    clips = _read(arguments.training, bundle.frame_shape)
    _, held_out = split_clips(clips, arguments.hold_out, bundle.config.context)
    scenes, labels = _make_scenes(held_out, arguments.video, bundle.frame_shape)
    scores = _list_compositions(judges=bundle.config.judges)
    detector = Detector(bundle, scores=tuple(scores.values()))
    normal = measure_normal_range(measure_clips(detector, held_out))
    rows = measure_clips(detector, scenes, CameraOptions(update=UPDATE_RULES["held"]))
    results: dict[str, dict[str, float]] = {}
    for name, score in scores.items():
        causal = [to_array(each) for each in score_causally(rows, score, normal)]
        results[name] = {
            "causal": compute_accuracy(labels, causal).micro or 0.0,
            "worst_scene": _find_worst_auc(labels, causal),
        }
    for name, result in sorted(results.items(), key=lambda each: -each[1]["causal"]):
        print(f"{name:34} AUC {result['causal']:6.2f}   worst scene {result['worst_scene']:6.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("training", type=Path, help="the footage that the bundle was trained on")
    parser.add_argument("video", type=Path, help="person-bicycle-car-detection.mp4")
    parser.add_argument("--bundle", required=True, help="folder or name")
    parser.add_argument("--hold-out", type=float, default=0.125, help="as in the training")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _read(folder: Path, shape: FrameShape) -> list[Clip]:
    return read_clips(find_footage([str(folder)]).sources, shape)


def _list_compositions(*, judges: bool) -> dict[str, ScoreConfig]:
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


def _make_scenes(
    held_out: Sequence[Clip], video: Path, shape: FrameShape
) -> tuple[list[Clip], list[NDArray[np.bool_]]]:
    """Make stretches with strangers, and label the frames that contain one."""
    random = np.random.default_rng(77)
    stock = Stock(held_out, 5)
    made = [_make_scene(scene, held_out, stock, video, shape, random) for scene in SCENES]
    return [clip for clip, _ in made], [labels for _, labels in made]


def _make_scene(
    scene: StrangerScene,
    held_out: Sequence[Clip],
    stock: Stock,
    video: Path,
    shape: FrameShape,
    random: np.random.Generator,
) -> tuple[Clip, NDArray[np.bool_]]:
    frames = held_out[scene.clip].frames[scene.start : scene.start + STRETCH].copy()
    if scene.kind == "glide":
        stranger, level = _cut_walker(held_out, stock, random)
    else:
        stranger, level = _cut_from_video(video, scene, shape), 0.59 * shape.height
    direction = -1.0 if scene.leftwards else 1.0
    x = random.uniform(0.78, 0.92) if scene.leftwards else random.uniform(0.08, 0.22)
    labels = np.zeros(len(frames), np.bool_)
    for step, index in enumerate(range(ONSET, len(frames))):
        turn = len(stranger.pictures)
        picture, alpha = (
            each[_bounce(step, turn)] for each in (stranger.pictures, stranger.alphas)
        )
        centre = (x * shape.width + direction * scene.speed * step, level)
        cover = _paste(frames, index, picture, alpha, centre)
        labels[index] = cover > LEAST_COVER
    return Clip(f"{scene.kind} at {scene.speed:g}", frames), labels


def _bounce(step: int, count: int) -> int:
    if count == 1:
        return 0
    place = step % (2 * count - 2)
    return place if place < count else 2 * count - 2 - place


def _paste(
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


def _cut_walker(
    held_out: Sequence[Clip], stock: Stock, random: np.random.Generator
) -> tuple[CutStranger, float]:
    """Cut one picture of a walker from the held-out footage; also returns its position y."""
    tall = [cutout for cutout in stock.cutouts if cutout.height >= 25]
    cutout = tall[int(random.integers(len(tall)))]
    frames = held_out[cutout.clip].frames
    rows = slice(max(0, cutout.top - BEFORE), cutout.top + cutout.height + BEFORE)
    columns = slice(max(0, cutout.left - BEFORE), cutout.left + cutout.width + BEFORE)
    picture = frames[cutout.frame].astype(np.float32)
    alpha = soften(find_foreground(picture, estimate_background(frames)))[rows, columns].copy()
    return CutStranger([picture[rows, columns]], [alpha]), cutout.top + cutout.height / 2


def _cut_from_video(video: Path, scene: StrangerScene, shape: FrameShape) -> CutStranger:
    """Cut the cyclist or car from the video, with the scene's height, squeezed like Ped2."""
    read = (each.picture.bgr() for each in FootageReader(Source(video.name, video)))
    taken = np.stack([cv2.cvtColor(each, cv2.COLOR_BGR2GRAY) for each in read])
    behind = _smooth(np.median(taken[::5], axis=0).astype(np.uint8))
    mirrored = scene.leftwards == (scene.kind == "bicycle")
    pictures, alphas = [], []
    for frame in VIDEO_FRAMES[scene.kind]:
        mask, (x, y, w, h) = _find_largest(cv2.absdiff(_smooth(taken[frame]), behind) > DIFFERENCE)
        rows = slice(max(0, y - BEFORE), y + h + BEFORE)
        columns = slice(max(0, x - BEFORE), x + w + BEFORE)
        tall, wide = mask[rows, columns].shape
        size = (max(4, round(wide * scene.height / tall * _find_squeeze(shape))), scene.height)
        picture, cover = (
            cv2.resize(each[rows, columns], size, interpolation=cv2.INTER_AREA)
            for each in (taken[frame], mask)
        )
        if mirrored:
            picture, cover = np.fliplr(picture), np.fliplr(cover)
        light = (picture.astype(np.float32) - 90.0) * 0.8 + LIGHT[scene.kind]
        pictures.append(np.ascontiguousarray(np.clip(light, 0.0, 255.0)))
        alphas.append(soften(np.ascontiguousarray(cover)))
    return CutStranger(pictures, alphas)


def _smooth(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


def _find_largest(
    differs: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """Find the largest connected part, gaps closed, and its box: left, top, width, height."""
    mask = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, components, stats, _ = cv2.connectedComponentsWithStats(mask)
    number = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, w, h = (int(value) for value in stats[number][:4])
    return (components == number).astype(np.uint8), (x, y, w, h)


def _find_squeeze(shape: FrameShape) -> float:
    """Compute by how much a network's shape narrows Ped2's 360x240."""
    return (shape.width / 360.0) / (shape.height / 240.0)


def _find_worst_auc(
    labels: Sequence[NDArray[np.bool_]], scores: Sequence[NDArray[np.float64]]
) -> float:
    """Find the lowest AUC of a scene: its abnormal frames against all normal ones."""
    known = [(each, values) for each, values in zip(labels, scores, strict=True)]
    usual = np.concatenate([v[~each & ~np.isnan(v)] for each, v in known])
    found = []
    for each, values in known:
        strange = values[each & ~np.isnan(values)]
        marks = np.concatenate([np.zeros(len(usual), bool), np.ones(len(strange), bool)])
        value = compute_auc(marks, np.concatenate([usual, strange]))
        if value is not None:
            found.append(value)
    return min(found)


if __name__ == "__main__":
    main()
