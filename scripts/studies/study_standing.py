"""Measures what the standing memory finds, and what it finds by mistake.

    python scripts/studies/study_standing.py DATA [--dwell S ...] [--bundle B] [--parts P ...]

DATA holds `coffee-room/` (training and testing, with labels) and videos of fixed cameras below
`cameras/` and `clips/`. No network is needed, except for `--bundle`: its prediction's score is then
measured on the same frames of the coffee room.

* floor: recordings with a fall. How much of the time after it is reported, from the dwell time on;
  and how much of the time before it, and of recordings without a fall.
* left: pieces of other cameras' pictures are put into each camera's footage and taken away again.
* mistakes: what is reported in footage that nothing was put into.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.bundles.bundle import load
from model.bundles.catalog import find_bundle
from model.data.datasets import TestClip, load_test_clips
from model.detect.detector import Detector
from model.footage.clips import Clip, read_clips
from model.footage.footage_search import find_footage
from model.frames import Frame, FrameShape
from model.scene.features import extract
from model.scene.scene import Scene
from model.scene.scene_rules import SceneRules
from model.standing.memory import StandingMemory
from model.standing.rules import StandingRules

SHAPE = FrameShape(256, 256, 1)
COFFEE_FPS = 25.0
SHORT = replace(StandingRules(), start_s=2.0, settle_s=2.0, still_s=1.0)
"""Recordings of a few seconds: what stands there in the first two is normal."""
START_SHARE = 1.0 / 3.0
"""What stands there in this share of a camera's footage is normal, or in the service's first minute
if that is shorter."""
SIDES = (12, 16, 24, 40)
"""Of things that are put down, in pixels of 256×256."""
TRIES = 6
"""Things of each size that are put into each camera's footage."""
LEAST_DIFFERENCE = 0.25
"""A thing is this much darker or brighter than what it hides: others can't be seen by anyone."""
CAMERAS = (
    ("cameras/ped2-normal.mp4", 10.0),
    ("cameras/car-park-clouds.mp4", 25.0),
    ("cameras/waving-trees.mp4", 15.0),
    ("clips/person-bicycle-car-detection.mp4", 12.0),
    ("clips/one-by-one-person-detection.mp4", 10.0),
    ("clips/car-detection.mp4", 12.5),
)


class StandingCamera:
    """A camera's scene and standing memory, as the detector runs them."""

    def __init__(self, rules: StandingRules, fps: float) -> None:
        self.memory = StandingMemory(rules, 1.0 / fps)
        self._scene = Scene(SceneRules())
        self._fps = fps
        self._frames = 0
        self.spent_s = 0.0

    def begin(self) -> None:
        """Begin another recording of the camera; what stands there then is normal."""
        self._scene.cut()
        self.memory.accept_present()
        self._frames = 0

    def observe(self, frame: Frame, dwells_s: Sequence[float]) -> list[bool]:
        """Observe the next frame. Returns for each dwell time whether something is reported."""
        features = extract(frame, self._frames / self._fps)
        self._frames += 1
        reading = self._scene.read(features.thumb)
        light = self._scene.get_light(reading)
        self._scene.append(reading)
        began = time.process_time()
        self.memory.add(features, light, reading, learns=True)
        things = [self.memory.find(dwell_s) for dwell_s in dwells_s]
        self.spent_s += time.process_time() - began
        return [thing is not None and thing.share >= 1.0 for thing in things]


@dataclass(frozen=True, slots=True)
class FloorFigures:
    """The coffee room at one dwell time. Shares are of seconds."""

    dwell_s: float
    falls: int
    """Recordings that show the floor for longer than the dwell time."""
    found: int
    after_s: float
    """Seconds in them from a dwell time after the fall on."""
    after: float
    """The share of those that is reported."""
    after_by_prediction: float | None
    """The share of the same seconds in which the prediction reaches its threshold."""
    before: float
    """The share of the time before the falls that is reported."""
    normal_events: int
    """Reported stretches in the recordings without a fall."""
    normal_s: float
    normal: float


@dataclass(frozen=True, slots=True)
class LeftFigures:
    """Things of one size in one camera's footage."""

    camera: str
    side: int
    tries: int
    found: int
    """Reported within two seconds of the dwell time."""
    late: int
    """Reported later."""
    forgotten: int
    """Of those, no longer reported two seconds after they were taken away."""


@dataclass(frozen=True, slots=True)
class MistakeFigures:
    """A camera's footage as it is."""

    camera: str
    dwell_s: float
    seconds: float
    reports: int
    reported_s: float
    ms_a_frame: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--dwell", type=float, nargs="+", default=[2.0, 3.0, 5.0])
    parser.add_argument("--bundle")
    parser.add_argument("--parts", nargs="+", default=["floor", "mistakes", "left"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    report: dict[str, list[dict[str, object]]] = {}
    parts: dict[str, Iterator[FloorFigures] | Iterator[MistakeFigures] | Iterator[LeftFigures]] = {
        "floor": measure_floor(options.data / "coffee-room", options.dwell, options.bundle),
        "mistakes": measure_mistakes(options.data, options.dwell),
        "left": measure_left(options.data),
    }
    for name in options.parts:
        report[name] = []
        for each in parts[name]:
            figures = asdict(each)
            report[name].append(figures)
            print(name, *(f"{key}={value}" for key, value in figures.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def measure_floor(
    folder: Path, dwells_s: Sequence[float], bundle: str | None
) -> Iterator[FloorFigures]:
    """Measure the coffee room: all recordings are one camera's, one after the other."""
    labelled = load_test_clips(folder / "testing")
    tests = read_clips((clip.source for clip in labelled), SHAPE, whole=True)
    normal = read_clips(find_footage([str(folder / "training")]).sources, SHAPE, whole=True)
    predicted = None if bundle is None else _predict(bundle, labelled)
    camera = StandingCamera(SHORT, COFFEE_FPS)
    of_all = [_observe_clip(camera, clip, dwells_s) for clip in (*normal, *tests)]
    for which, dwell_s in enumerate(dwells_s):
        reported = [flags[:, which] for flags in of_all]
        events = sum(_count_rises(flags) for flags in reported[: len(normal)])
        normal_flags = np.concatenate(reported[: len(normal)])
        after, before, by_prediction, found = [], [], [], 0
        for place, (flags, clip) in enumerate(zip(reported[len(normal) :], labelled, strict=True)):
            fall = np.flatnonzero(clip.abnormal)
            start = fall[-1] + 1 + round((dwell_s + SHORT.still_s) * COFFEE_FPS)
            before.append(flags[: fall[0]])
            if start < len(flags):
                after.append(flags[start:])
                found += bool(flags[start:].any())
                if predicted is not None:
                    by_prediction.append(predicted[place][start:])
        flat = np.concatenate(after) if after else np.zeros(1)
        yield FloorFigures(
            dwell_s,
            len(after),
            found,
            sum(map(len, after)) / COFFEE_FPS,
            float(flat.mean()),
            float(np.concatenate(by_prediction).mean()) if by_prediction else None,
            float(np.concatenate(before).mean()),
            events,
            len(normal_flags) / COFFEE_FPS,
            float(normal_flags.mean()),
        )


def _observe_clip(
    camera: StandingCamera, clip: Clip, dwells_s: Sequence[float]
) -> NDArray[np.bool_]:
    """Returns (frames, dwell times)."""
    camera.begin()
    return np.array([camera.observe(frame, dwells_s) for frame in clip.frames])


def _count_rises(flags: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(np.diff(np.concatenate([[False], flags]).astype(np.int8)) == 1))


def _predict(name: str, labelled: Sequence[TestClip]) -> list[NDArray[np.bool_]]:
    """Return for each frame of the clips whether the prediction's score reaches its threshold.

    The network sees the frames at the rate that it was trained at.
    """
    bundle = load(find_bundle(name))
    detector = Detector(bundle)
    state = detector.start()
    every = max(1, round(COFFEE_FPS / (bundle.provenance.frame_rate or COFFEE_FPS)))
    flags = []
    for clip in read_clips((each.source for each in labelled), bundle.frame_shape, whole=True):
        state.cut()
        of_clip = np.zeros(len(clip), np.bool_)
        for place in range(0, len(clip), every):
            (seen,) = detector.observe([state], [clip.frames[place]])
            if seen.score is not None and seen.threshold is not None:
                of_clip[place : place + every] = seen.score >= seen.threshold
        flags.append(of_clip)
    return flags


def measure_mistakes(data: Path, dwells_s: Sequence[float]) -> Iterator[MistakeFigures]:
    """Count what is reported in footage that nothing was put into."""
    for path, fps in CAMERAS:
        frames = _read_frames(data / path)
        camera = StandingCamera(_make_rules(frames, fps), fps)
        longer_s = (*dwells_s, 10.0, 20.0)
        reported = np.array([camera.observe(frame, longer_s) for frame in frames])
        for which, dwell_s in enumerate(longer_s):
            flags = reported[:, which]
            yield MistakeFigures(
                Path(path).stem,
                dwell_s,
                round(len(frames) / fps, 1),
                _count_rises(flags),
                float(flags.sum()) / fps,
                round(1000.0 * camera.spent_s / len(frames), 3),
            )


def _read_frames(path: Path) -> NDArray[np.uint8]:
    (clip,) = read_clips(find_footage([str(path)]).sources, SHAPE, whole=True)
    return clip.frames


def _make_rules(frames: NDArray[np.uint8], fps: float) -> StandingRules:
    usual = StandingRules()
    return replace(usual, start_s=min(usual.start_s, START_SHARE * len(frames) / fps))


def measure_left(data: Path) -> Iterator[LeftFigures]:
    """Put things into each camera's footage; they stay for twice the dwell time."""
    footage: dict[str, tuple[NDArray[np.uint8], float]] = {}
    for path, fps in CAMERAS:
        every = max(1, round(fps / 10.0))
        footage[Path(path).stem] = _read_frames(data / path)[::every], fps / every
    pieces = [frames[0] for frames, _ in footage.values()]
    for name, (frames, fps) in footage.items():
        random = np.random.default_rng(0)
        start_s = _make_rules(frames, fps).start_s
        dwell_s = min(10.0, (len(frames) / fps - start_s - 4.0) / 2.5)
        for side in SIDES:
            outcomes = [
                _leave_thing(frames, fps, dwell_s, _make_thing(frames, pieces, side, random))
                for _ in range(TRIES)
            ]
            found = [each for each in outcomes if each is not None]
            yield LeftFigures(
                name,
                side,
                TRIES,
                sum(delay_s <= 2.0 for delay_s, _ in found),
                sum(delay_s > 2.0 for delay_s, _ in found),
                sum(forgotten for _, forgotten in found),
            )


Thing = tuple[int, int, NDArray[np.float32], NDArray[np.float32]]
"""Top, left, reflectance relative to the picture's mean, and opacity."""


def _make_thing(
    frames: NDArray[np.uint8], pieces: Sequence[Frame], side: int, random: np.random.Generator
) -> Thing:
    """Cut a rounded piece out of some picture, and choose its place."""
    mean = float(frames[0].mean())
    while True:
        piece = pieces[int(random.integers(len(pieces)))]
        top, left, row, column = random.integers(0, 256 - side, 4)
        cut = piece[row : row + side, column : column + side].astype(np.float32)
        cut /= float(piece.mean())
        hidden = frames[0][top : top + side, left : left + side].astype(np.float32) / mean
        if abs(np.log((cut.mean() + 0.1) / (hidden.mean() + 0.1))) < LEAST_DIFFERENCE:
            continue
        y, x = np.mgrid[-1.0 : 1.0 : side * 1j, -1.0 : 1.0 : side * 1j]
        opacity = np.clip(4.0 * (1.0 - np.hypot(x, y) ** 4), 0.0, 1.0).astype(np.float32)
        return int(top), int(left), cut, opacity


def _leave_thing(
    frames: NDArray[np.uint8], fps: float, dwell_s: float, thing: Thing
) -> tuple[float, bool] | None:
    """Returns the seconds from the dwell time to the report, and whether it is forgotten."""
    rules = _make_rules(frames, fps)
    camera = StandingCamera(rules, fps)
    put = round((rules.start_s + 2.0) * fps)
    # A cloud stops the count: things stay for longer where the footage does.
    taken = min(put + round(3.0 * dwell_s * fps), len(frames) - round(2.0 * fps))
    reported_at: int | None = None
    for number, frame in enumerate(frames[: taken + round(2.0 * fps)]):
        shown = _paste(frame, thing) if put <= number < taken else frame
        covers = camera.observe(shown, [dwell_s])[0] and _is_at(camera, dwell_s, thing)
        if covers and number < taken and reported_at is None:
            reported_at = number
        is_last = number == taken + round(2.0 * fps) - 1
        if is_last and reported_at is not None:
            return (reported_at - put) / fps - dwell_s, not covers
    return None


def _paste(frame: Frame, thing: Thing) -> Frame:
    top, left, cut, opacity = thing
    side = len(cut)
    shown = frame.copy()
    place = shown[top : top + side, left : left + side]
    lit = np.clip(cut * float(frame.mean()), 0.0, 255.0)
    place[:] = cv2.addWeighted(
        place.astype(np.float32) * (1.0 - opacity), 1.0, lit * opacity, 1.0, 0.0
    )
    return shown


def _is_at(camera: StandingCamera, dwell_s: float, thing: Thing) -> bool:
    """Returns whether what is reported lies where the thing is."""
    top, left, cut, _ = thing
    found = camera.memory.find(dwell_s)
    if found is None:
        return False
    x, y = (left + len(cut) / 2.0) / 256.0, (top + len(cut) / 2.0) / 256.0
    left_, top_, right, bottom = found.box
    return left_ - 0.03 <= x <= right + 0.03 and top_ - 0.03 <= y <= bottom + 0.03


if __name__ == "__main__":
    main()
