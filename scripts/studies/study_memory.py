"""Studies the memory: how often frames update the items, how far they move, whether it learns a
slow intruder, and what each rule does to the causal AUC. docs/memory.md has the results.

    python scripts/studies/study_memory.py PED2 --bundle ped2-judged --json F --plot F

Every rule is a camera of one batch, and their common picture is encoded once. The two halves, test
clips and intruder, run at the same time, on a core each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.catalog import find_bundle
from model.data.datasets import TestClip, load_test_clips
from model.detect.detector import Detector
from model.detect.observation import CameraOptions, Observation
from model.evaluation.accuracy import compute_accuracy, to_array
from model.footage.clips import Clip, read_clips
from model.footage.footage_search import Source
from model.frames import Frame
from model.network.unet import MemoryNetwork
from model.network.update_rules import PAPER_UPDATE, UPDATE_RULES
from model.scoring.measures import Measures
from model.scoring.score_config import LIVE, PAPER, SCORES
from model.training.bundle_calibration import score_causally

PUBLISHED_GAMMA = 0.01
QUIET_FRAMES = 100
"""Frames of the loop before the stranger comes; and after it has gone."""

DISTANCE = replace(PAPER, name="distance", appearance_weight=0.0)
"""D alone, as the paper's score takes it."""

PEEKED = {score.name: score for score in (PAPER, LIVE, DISTANCE)}


class OneEncoding(MemoryNetwork):
    """A network whose batch is one picture, seen with different items."""

    def encode(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        queries, skips = super().encode(pictures[:1])
        count = len(pictures)
        return queries.expand(count, -1, -1), [skip.expand(count, -1, -1, -1) for skip in skips]


@dataclass(frozen=True, slots=True)
class Asked:
    """The parsed command line."""

    data: Path
    bundle: Path
    rules: tuple[str, ...]
    every: int
    loop: str
    stranger: tuple[str, int]
    """Test clip and frame."""
    frames: int
    speed: float
    """Pixels a frame."""


@dataclass(slots=True)
class RuleCourse:
    """The results of one rule, frame by frame; NaN where there was no score."""

    rows: list[list[Measures | None]] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    drift_deg: list[float] = field(default_factory=list)
    updated: list[bool] = field(default_factory=list)
    heat: list[float] = field(default_factory=list)
    """The largest error at the stranger; 1 is the highest in normal footage."""

    def add(self, seen: Observation, place: NDArray[np.bool_] | None = None) -> None:
        self.rows[-1].append(seen.measures)
        self.score.append(np.nan if seen.score is None else seen.score)
        self.drift_deg.append(seen.memory_drift_deg)
        self.updated.append(seen.memory_updated)
        hot = seen.heat is not None and place is not None and place.any()
        self.heat.append(_find_heat(seen.heat, place) if hot else np.nan)


RuleCourses = dict[str, RuleCourse]


def _find_heat(heat: NDArray[np.float32] | None, place: NDArray[np.bool_] | None) -> float:
    if heat is None or place is None:
        return float("nan")
    rows, columns = heat.shape
    mask = cv2.resize(place.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_AREA)
    return float(heat[mask > 0].max()) if mask.any() else float("nan")


def make_options(rules: Sequence[str]) -> dict[str, CameraOptions]:
    """Make options for each rule at the bundle's γ, and for the paper's at the published γ."""
    published = CameraOptions(gamma=PUBLISHED_GAMMA, update=PAPER_UPDATE)
    named = {name: CameraOptions(update=UPDATE_RULES[name]) for name in rules}
    return {f"paper, γ {PUBLISHED_GAMMA}": published, **named}


class RuleCameras:
    """One camera for each rule, all fed with the same frames."""

    def __init__(self, bundle: Bundle, options: Mapping[str, CameraOptions]) -> None:
        network = bundle.network
        shared = OneEncoding(network.encoder, network.decoder, network.memory).eval()
        self.detector = Detector(replace(bundle, network=shared), scores=tuple(SCORES.values()))
        self.options = options
        self.states = [self.detector.start() for _ in options]
        self.courses = {name: RuleCourse() for name in options}

    def cut(self) -> None:
        for state in self.states:
            state.cut()
        for course in self.courses.values():
            course.rows.append([])

    def see(self, frame: Frame, place: NDArray[np.bool_] | None = None) -> None:
        seen = self.detector.observe(
            self.states, [frame] * len(self.states), list(self.options.values())
        )
        for course, each in zip(self.courses.values(), seen, strict=True):
            course.add(each, place)


def read_fitted_clips(bundle: Bundle, sources: Sequence[Source]) -> list[Clip]:
    """Read the clips, fitted to the network."""
    return read_clips(sources, bundle.frame_shape, whole=True)


def study_clips(asked: Asked) -> tuple[RuleCourses, dict[str, object]]:
    """Run the test clips in a row through one camera for each rule."""
    torch.set_num_threads(1)
    bundle, labelled = bundles.load(asked.bundle), load_test_clips(asked.data)[:: asked.every]
    watch = RuleCameras(bundle, make_options(asked.rules))
    for clip in read_fitted_clips(bundle, [each.source for each in labelled]):
        watch.cut()
        for frame in clip.frames:
            watch.see(frame)
        print(f"clip {clip.name} watched", flush=True)
    normal = bundle.calibration.normal
    if normal is None:
        raise ValueError(f"bundle {bundle.name} has no normal range")
    results: dict[str, object] = {}
    for name, course in watch.courses.items():
        auc = {
            score.name: compute_accuracy(
                [each.abnormal for each in labelled],
                [
                    to_array(clip)
                    for clip in score_causally(
                        course.rows, score, normal, bundle.calibration.thresholds.get(score.name)
                    )
                ],
            ).micro
            for score in PEEKED.values()
        }
        results[name] = {**_summarise(course), "auc.causal.micro": auc}
    return watch.courses, results


def _summarise(course: RuleCourse) -> dict[str, float]:
    scored = ~np.isnan(course.score)
    drift = np.array(course.drift_deg)[scored]
    return {
        "updated_share": float(np.array(course.updated)[scored].mean()),
        "drift_deg.median": float(np.median(drift)),
        "drift_deg.max": float(drift.max()),
        "drift_deg.end": float(drift[-1]),
    }


@dataclass(frozen=True, slots=True)
class PastedStranger:
    """Something cut out of a picture, to be pasted into others."""

    pixels: Frame
    mask: NDArray[np.bool_]
    top: int

    def paste(self, frame: Frame, left: float) -> tuple[Frame, NDArray[np.bool_]]:
        """Paste the stranger between pixels; also returns the pixels that it covers."""
        shift = np.array([[1.0, 0.0, left], [0.0, 1.0, self.top]])
        size = (frame.shape[1], frame.shape[0])
        pixels = cv2.warpAffine(self.pixels.astype(np.float32), shift, size)
        cover = cv2.warpAffine(self.mask.astype(np.float32), shift, size)
        mixed = frame * (1.0 - cover) + pixels  # black outside of the mask, so weighed already
        return mixed.round().astype(np.uint8), cover > 0.5


def cut_out(bundle: Bundle, clip: TestClip, index: int) -> PastedStranger:
    """Cut out what is labelled in a test frame."""
    if clip.masks is None:
        raise ValueError(f"clip {clip.source.name} has no masks")
    frame = read_fitted_clips(bundle, [clip.source])[0].frames[index]
    mask = clip.masks()[index].astype(np.uint8)
    mask = cv2.resize(mask, (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_NEAREST)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        raise ValueError(f"nothing is labelled in frame {index} of clip {clip.source.name}")
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    left, top, width, height = (int(value) for value in stats[largest, :4])
    place = np.s_[top : top + height, left : left + width]
    inside = labels[place] == largest
    return PastedStranger(np.where(inside, frame[place], 0).astype(np.uint8), inside, top)


def follow_path(frames: int, room: float, speed: float) -> Iterator[float]:
    """Yield positions back and forth between 0 and `room`, in pixels."""
    for step in range(frames):
        along = (step * speed) % (2.0 * room)
        yield min(along, 2.0 * room - along)


def study_intruder(asked: Asked) -> tuple[RuleCourses, dict[str, object]]:
    """Run normal footage in a loop; a stranger comes, stays for a while, and goes."""
    torch.set_num_threads(1)
    bundle = bundles.load(asked.bundle)
    clip = next(
        each for each in load_test_clips(asked.data) if each.source.name == asked.stranger[0]
    )
    stranger = cut_out(bundle, clip, asked.stranger[1])
    source = Source(asked.loop, asked.data / "training" / "frames" / asked.loop)
    (loop,) = read_fitted_clips(bundle, [source])
    frames, speed = asked.frames, asked.speed
    watch = RuleCameras(
        bundle, make_options([name for name in asked.rules if UPDATE_RULES[name].reads])
    )
    room = float(loop.frames.shape[2] - stranger.mask.shape[1])
    places: list[float | None] = [None] * QUIET_FRAMES
    places += [*follow_path(frames, room, speed), *[None] * QUIET_FRAMES]
    for step, left in enumerate(places):
        frame = loop.frames[step % len(loop)]
        if step % len(loop) == 0:
            watch.cut()
        watch.see(*((frame,) if left is None else stranger.paste(frame, left)))
        if step % 100 == 0:
            print(f"intruder: frame {step} of {len(places)}", flush=True)
    phases = {
        "before": slice(0, QUIET_FRAMES),
        "first": slice(QUIET_FRAMES, QUIET_FRAMES + frames // 5),
        "last": slice(QUIET_FRAMES + frames - frames // 5, QUIET_FRAMES + frames),
        "after": slice(QUIET_FRAMES + frames, len(places)),
    }
    results: dict[str, object] = {}
    for name, course in watch.courses.items():
        measured = [row for rows in course.rows for row in rows]
        columns = {
            "score": np.array(course.score),
            "heat": np.array(course.heat),
            "distance": to_array([row.distance if row else None for row in measured]),
            "updated": np.where(np.isnan(course.score), np.nan, course.updated),
        }
        means = {
            f"{column}.{phase}": _mean_known(values[part])
            for column, values in columns.items()
            for phase, part in phases.items()
        }
        results[name] = {**_summarise(course), **means}
    return watch.courses, results


def _mean_known(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def draw(clips: RuleCourses, intruder: RuleCourses, frames: int, file: Path) -> None:
    """Draw the items' drift on the test clips, and the stranger's error and D while it stays."""
    figure = Figure(figsize=(11, 9), layout="constrained")
    drift, heat, distance = figure.subplots(3, 1)
    for name, course in clips.items():
        drift.plot(course.drift_deg, label=name, linewidth=1.2)
    drift.set_ylabel("farthest item, degrees\nfrom the trained one")
    drift.set_xlabel("frame of the test clips")
    for name, course in intruder.items():
        heat.plot(_smooth(course.heat), label=name, linewidth=1.2)
        rows = [row for clip in course.rows for row in clip]
        distance.plot(
            _smooth([row.distance if row else np.nan for row in rows]), label=name, linewidth=1.2
        )
    heat.set_ylabel("error where the stranger is\n(1: most of normal), 50 frames")
    distance.set_ylabel("D, 50 frames")
    distance.set_yscale("log")
    for axes in (heat, distance):
        axes.axvspan(QUIET_FRAMES, QUIET_FRAMES + frames, color="#d64545", alpha=0.08, lw=0)
        axes.set_xlabel("frame of the loop; shaded: the stranger is there")
        axes.set_xlim(0, 2 * QUIET_FRAMES + frames)
    for axes in (drift, heat, distance):
        axes.legend(loc="upper right", fontsize="small", ncols=4)
    drift.margins(x=0)
    figure.savefig(file, dpi=110)


def _smooth(values: Sequence[float], window: int = 50) -> NDArray[np.float64]:
    """Compute the running mean of known values; NaN if over half of the window is unknown."""
    array = np.array(values, dtype=np.float64)
    known = ~np.isnan(array)
    kernel = np.ones(window)
    sums = np.convolve(np.where(known, array, 0.0), kernel)[: len(array)]
    counts = np.convolve(known.astype(float), kernel)[: len(array)]
    return np.where(counts >= window / 2, sums / np.maximum(counts, 1.0), np.nan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path, help="Ped2: testing/ and training/ below it")
    parser.add_argument("--bundle", default="ped2-judged")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--plot", type=Path, required=True)
    parser.add_argument("--rules", default="paper,reference,bounded,pulled,frozen,off")
    parser.add_argument("--every", type=int, default=1, help="take each n-th test clip")
    parser.add_argument("--loop", default="05", help="training clip that is repeated")
    parser.add_argument("--stranger", default="04:100", help="test clip and frame it is cut from")
    parser.add_argument("--frames", type=int, default=1800, help="that the stranger stays")
    parser.add_argument("--speed", type=float, default=0.3, help="pixels a frame, of 256")
    given = parser.parse_args()
    clip, _, frame = given.stranger.partition(":")
    asked = Asked(
        given.data,
        find_bundle(given.bundle),
        tuple(given.rules.split(",")),
        given.every,
        given.loop,
        (clip, int(frame)),
        given.frames,
        given.speed,
    )
    with ProcessPoolExecutor(2) as pool:
        halves = [pool.submit(study, asked) for study in (study_clips, study_intruder)]
        (clips, moved), (intruder, learned) = (half.result() for half in halves)
    bundle = bundles.load(asked.bundle)
    results = {
        "bundle": bundle.name,
        "gamma": bundle.calibration.gamma,
        "clips": [each.source.name for each in load_test_clips(asked.data)[:: asked.every]],
        "test": moved,
        "intruder": {"frames": asked.frames, "speed": asked.speed, "rules": learned},
    }
    given.json.write_text(json.dumps(results, indent=2) + "\n")
    draw(clips, intruder, asked.frames, given.plot)


if __name__ == "__main__":
    main()
