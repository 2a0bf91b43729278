"""Measures what changes of light do to a camera's events, with the scene watched and without.

    python -m scripts.studies.study_light PED2 --json F [--model M] [--engine E] [--clips DIR]

The stream is labelled clips with held-out normal clips around them, under each disturbance. Two
cameras get it, one of them without `Scene`. PED2 holds training/ and testing/ with labels;
DIR holds videos of fixed cameras, in which all changes found by the scene watch are counted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from model.bundles import bundle as bundles
from model.bundles.catalog import find_bundle
from model.data.datasets import load_test_clips
from model.detect.detector import Detector
from model.detect.observation import CameraOptions, Observation
from model.engines.names import EngineName
from model.evaluation.accuracy import Labels, compute_accuracy, to_array
from model.evaluation.event_figures import measure_events
from model.events.event_detection import EventRules
from model.footage.clips import Clip, read_clips
from model.footage.footage_reader import FootageReader
from model.footage.footage_search import Source, find_footage
from model.footage.source_pictures import Fitter
from model.frames import FrameShape
from model.network.update_rules import LIVE_UPDATE
from model.scene.features import extract
from model.scene.scene import Scene
from model.scene.scene_rules import SceneRules
from scripts.studies.disturbances import (
    Course,
    add_noise,
    apply_between,
    apply_infrared,
    chain,
    combine,
    dim,
    drift_gamma,
    keep,
    light_by_a_lamp,
    pass_clouds,
    toggle,
)

FPS = 10.0
HELD_OUT = ("05", "13")
"""Training clips that the shipped bundles weren't trained on."""
TESTS = ("01", "04", "12")


@dataclass(frozen=True)
class LabelledPart:
    """A clip of the stream with its labels."""

    clip: Clip
    abnormal: Labels


@dataclass(frozen=True)
class LightOutcome:
    """The result of one camera on one stream."""

    disturbance: str
    watched: bool
    false_events: int
    found: int
    labelled: int
    auc: float | None
    unscored_share: float
    """The share of frames without a score, besides each clip's first ones."""
    changes: tuple[str, ...]
    obscured_frames: int


def read_stream(folder: Path, shape: FrameShape) -> list[LabelledPart]:
    """Read normal clips, test clips, and the normal clips again."""
    tests = [clip for clip in load_test_clips(folder) if clip.source.name in TESTS]
    sources = find_footage([str(folder / "training" / "frames")]).sources
    needed = [s for s in sources if s.name in HELD_OUT] + [t.source for t in tests]
    read = read_clips(needed, shape, whole=True)
    clips = [Clip(clip.name, np.array(clip.frames)) for clip in read]
    count = len(HELD_OUT)
    normal = [LabelledPart(clip, np.zeros(len(clip), np.bool_)) for clip in clips[:count]]
    labelled = [
        LabelledPart(clip, test.abnormal) for clip, test in zip(clips[count:], tests, strict=True)
    ]
    return [*normal, *labelled, *normal, *normal]


def make_courses(parts: Sequence[LabelledPart]) -> dict[str, Course]:
    """Make disturbances that come amid the second normal clip, and go amid the last but one."""
    seconds = [len(part.clip) / FPS for part in parts]
    start = seconds[0] + seconds[1] / 2.0
    stop = sum(seconds) - seconds[-1] - seconds[-2] / 2.0
    return {
        "none": lambda _: keep,
        "infrared and back": apply_between(start, stop, apply_infrared),
        "infrared, exposure swings": combine(
            apply_between(start, stop, apply_infrared), pass_clouds(6.0, 0.8, 0.5)
        ),
        "infrared with noise": apply_between(start, stop, chain(apply_infrared, add_noise(6.0))),
        "lights off and on": toggle(40.0, dim(0.6)),
        "a lamp on and off": toggle(40.0, light_by_a_lamp),
        "gamma drifts for 45 s": drift_gamma(start, 45.0, 1.8, stop - 45.0),
        "clouds of 9 s": pass_clouds(30.0, 3.0, 0.6),
        "exposure that swings": pass_clouds(6.0, 0.8, 0.5),
    }


def watch(
    detector: Detector, parts: Sequence[LabelledPart], course: Course
) -> list[list[Observation]]:
    """Run the stream through a camera that watches its scene, and one that doesn't."""
    cameras = [detector.start(), detector.start()]
    options = [CameraOptions(watch_scene=watched, update=LIVE_UPDATE) for watched in (True, False)]
    random = np.random.default_rng(0)
    seen: list[list[Observation]] = [[], []]
    count = 0
    for part in parts:
        for camera in cameras:
            camera.cut()
        for frame in part.clip.frames:
            disturbed = course(count / FPS)(frame, random)
            count += 1
            for found, each in zip(
                seen, detector.observe(cameras, [disturbed, disturbed], options), strict=True
            ):
                found.append(each)
    return seen


def judge_camera(
    name: str,
    parts: Sequence[LabelledPart],
    seen: Sequence[Observation],
    threshold: float,
    *,
    watched: bool,
) -> LightOutcome:
    """Compute events and figures of one camera."""
    scores = to_array([each.score for each in seen])
    ends = np.cumsum([len(part.clip) for part in parts])[:-1]
    clips, labels = np.split(scores, ends), [part.abnormal for part in parts]
    result = measure_events(clips, labels, threshold, EventRules(), FPS)
    measured = np.array([each.measures is not None for each in seen])
    return LightOutcome(
        name,
        watched,
        result.false_events,
        result.found,
        result.labelled,
        compute_accuracy(labels, clips).micro,
        float(np.isnan(scores).sum() - 4 * len(parts)) / len(measured),
        tuple(f"{i / FPS:.1f} s: {o.scene.reason}" for i, o in enumerate(seen) if o.scene),
        sum(bool(each.obscured) for each in seen),
    )


def count_changes(folder: Path, shape: FrameShape) -> dict[str, dict[str, object]]:
    """Count what the scene watch finds in videos of other cameras."""
    found: dict[str, dict[str, object]] = {}
    fitter = Fitter(shape)
    for path in sorted(folder.glob("*.mp4")):
        source = Source(path.name, path)
        scene = Scene(SceneRules())
        changes: list[str] = []
        frames = quiet = obscured = 0
        for timed in FootageReader(source, fps=FPS):
            reading = scene.read(extract(fitter.fit(timed.picture)).thumb)
            scene.append(reading)
            changes += [f"{frames / FPS:.1f} s: {reading.change.reason}"] if reading.change else []
            quiet += not reading.phase.has_scores
            obscured += bool(reading.obscured)
            frames += 1
        found[source.name] = {
            "frames": frames, "quiet": quiet, "obscured": obscured, "changes": changes,
        }  # fmt: skip
        print(source.name, found[source.name])
    return found


def main() -> None:
    """Watch, judge, write."""
    parser = argparse.ArgumentParser(description="What changes of the light do to events.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="ped2-fast")
    parser.add_argument("--engine", default="torch-fp32")
    parser.add_argument("--only", nargs="*", help="disturbances; all if omitted")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    bundle = bundles.load(find_bundle(arguments.model))
    detector = Detector(bundle, engine=EngineName(arguments.engine))
    threshold = bundle.calibration.thresholds[bundle.score.name]
    parts = read_stream(arguments.folder, bundle.frame_shape)
    lines: list[LightOutcome] = []
    for name, course in make_courses(parts).items():
        if arguments.only and name not in arguments.only:
            continue
        for watched, seen in zip((True, False), watch(detector, parts, course), strict=True):
            line = judge_camera(name, parts, seen, threshold, watched=watched)
            lines.append(line)
            auc = "     " if line.auc is None else f"{line.auc:5.1f}"
            print(
                f"{name:22} {'watched' if watched else 'not    '} false {line.false_events:2d}  "
                f"found {line.found}/{line.labelled}  AUC {auc}  "
                f"without score {100.0 * line.unscored_share:.0f}%  changes {len(line.changes)}  "
                f"obscured {line.obscured_frames}",
                flush=True,
            )
    clips = count_changes(arguments.clips, bundle.frame_shape) if arguments.clips else {}
    if arguments.json:
        figures = {"streams": [asdict(line) for line in lines], "clips": clips}
        arguments.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
