"""What changes of the light do to a camera's events, with the scene watched and without.

    .venv/bin/python scripts/study_light.py PED2 --json F [--model M] [--engine E] [--clips DIR]

One stream of labelled clips, held-out normal clips around them, each disturbance laid over it; two
cameras see it, one of them without `model.scene`. PED2 holds training/ and testing/ with labels;
DIR videos of fixed cameras, in which whatever is found of a scene is counted.
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
from disturbances import (
    Course,
    after,
    between,
    both,
    clouds,
    dimmed,
    drifting,
    infrared,
    lit_by_a_lamp,
    noisy,
    same,
    toggled,
)

from model import bundle as bundles
from model.catalog import find
from model.datasets import load
from model.detector import Detector
from model.engines.names import EngineName
from model.evaluation.accuracy import Labels, accuracy
from model.evaluation.events import outcome
from model.events import EventRules
from model.footage import Clip, Sampling, discover, fitted, frame_store
from model.frames import FrameShape
from model.observation import CameraOptions, Observation
from model.rules import LIVE_UPDATE
from model.scene import Scene
from model.scene_rules import SceneRules

FPS = 10.0
HELD_OUT = ("05", "13")
"""Training clips that the shipped bundles weren't trained on."""
TESTS = ("01", "04", "12")


@dataclass(frozen=True)
class Part:
    """A clip of the stream."""

    clip: Clip
    abnormal: Labels


@dataclass(frozen=True)
class Outcome:
    """What one camera made of one stream."""

    disturbance: str
    watched: bool
    false_events: int
    found: int
    labelled: int
    auc: float | None
    unscored_share: float
    """Of the frames after each clip's first ones."""
    changes: tuple[str, ...]
    obscured_frames: int


def stream(folder: Path, shape: FrameShape) -> list[Part]:
    """Normal clips, test clips, normal clips again."""
    tests = [clip for clip in load(folder) if clip.source.name in TESTS]
    with frame_store(shape) as store:
        sources = discover([str(folder / "training" / "frames")])
        for source in [s for s in sources if s.name in HELD_OUT] + [t.source for t in tests]:
            store.add(source)
        clips = [Clip(clip.name, np.array(clip.frames)) for clip in store.clips()]
    count = len(HELD_OUT)
    normal = [Part(clip, np.zeros(len(clip), np.bool_)) for clip in clips[:count]]
    labelled = [Part(clip, test.abnormal) for clip, test in zip(clips[count:], tests, strict=True)]
    return [*normal, *labelled, *normal, *normal]


def courses(parts: Sequence[Part]) -> dict[str, Course]:
    """Each comes amid the second normal clip, and goes amid the last but one."""
    seconds = [len(part.clip) / FPS for part in parts]
    start = seconds[0] + seconds[1] / 2.0
    stop = sum(seconds) - seconds[-1] - seconds[-2] / 2.0
    return {
        "none": lambda _: same,
        "infrared and back": between(start, stop, infrared),
        "infrared, exposure swings": both(between(start, stop, infrared), clouds(6.0, 0.8, 0.5)),
        "infrared with noise": between(start, stop, after(infrared, noisy(6.0))),
        "lights off and on": toggled(40.0, dimmed(0.6)),
        "a lamp on and off": toggled(40.0, lit_by_a_lamp),
        "gamma drifts for 45 s": drifting(start, 45.0, 1.8, stop - 45.0),
        "clouds of 9 s": clouds(30.0, 3.0, 0.6),
        "exposure that swings": clouds(6.0, 0.8, 0.5),
    }


def watch(detector: Detector, parts: Sequence[Part], course: Course) -> list[list[Observation]]:
    """The stream, seen by a camera that watches its scene, and by one that doesn't."""
    cameras = [detector.start(), detector.start()]
    options = [CameraOptions(watch_scene=watched, update=LIVE_UPDATE) for watched in (True, False)]
    random = np.random.default_rng(0)
    seen: list[list[Observation]] = [[], []]
    count = 0
    for part in parts:
        for camera in cameras:
            camera.cut()
        for frame in part.clip.frames:
            shown = course(count / FPS)(frame, random)
            count += 1
            for found, each in zip(
                seen, detector.observe(cameras, [shown, shown], options), strict=True
            ):
                found.append(each)
    return seen


def judged(
    name: str,
    parts: Sequence[Part],
    seen: Sequence[Observation],
    threshold: float,
    *,
    watched: bool,
) -> Outcome:
    """Events and figures of one camera."""
    scores = np.array([np.nan if each.score is None else each.score for each in seen])
    ends = np.cumsum([len(part.clip) for part in parts])[:-1]
    clips, labels = np.split(scores, ends), [part.abnormal for part in parts]
    result = outcome(clips, labels, threshold, EventRules(), FPS)
    measured = np.array([each.measures is not None for each in seen])
    return Outcome(
        name,
        watched,
        result.false_events,
        result.found,
        result.labelled,
        accuracy(labels, clips).micro,
        float(np.isnan(scores).sum() - 4 * len(parts)) / len(measured),
        tuple(f"{i / FPS:.1f} s: {o.scene.reason}" for i, o in enumerate(seen) if o.scene),
        sum(bool(each.obscured) for each in seen),
    )


def fixed_cameras(folder: Path, shape: FrameShape) -> dict[str, dict[str, object]]:
    """What is found in videos of other cameras."""
    found: dict[str, dict[str, object]] = {}
    for source in discover([str(path) for path in sorted(folder.glob("*.mp4"))]):
        scene = Scene(SceneRules())
        changes: list[str] = []
        frames = quiet = obscured = 0
        for frame in fitted(source, shape, Sampling(FPS)):
            look = scene.look(frame)
            scene.take_in(look)
            changes += [f"{frames / FPS:.1f} s: {look.change.reason}"] if look.change else []
            quiet += look.quiet
            obscured += bool(look.obscured)
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
    parser.add_argument("--only", nargs="*", help="disturbances; all, unless given")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    bundle = bundles.load(find(arguments.model))
    detector = Detector(bundle, engine=EngineName(arguments.engine))
    threshold = bundle.calibration.thresholds[bundle.score.name]
    parts = stream(arguments.folder, bundle.frame_shape)
    lines: list[Outcome] = []
    for name, course in courses(parts).items():
        if arguments.only and name not in arguments.only:
            continue
        for watched, seen in zip((True, False), watch(detector, parts, course), strict=True):
            line = judged(name, parts, seen, threshold, watched=watched)
            lines.append(line)
            auc = "     " if line.auc is None else f"{line.auc:5.1f}"
            print(
                f"{name:22} {'watched' if watched else 'not    '} false {line.false_events:2d}  "
                f"found {line.found}/{line.labelled}  AUC {auc}  "
                f"without score {100.0 * line.unscored_share:.0f}%  changes {len(line.changes)}  "
                f"obscured {line.obscured_frames}",
                flush=True,
            )
    clips = fixed_cameras(arguments.clips, bundle.frame_shape) if arguments.clips else {}
    if arguments.json:
        told = {"streams": [asdict(line) for line in lines], "clips": clips}
        arguments.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
