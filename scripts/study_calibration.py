"""What a promise of so many false alarms a day is worth: on Ped2, simulated and drawn footage.

    .venv/bin/python scripts/study_calibration.py PED2 --work DIR [--draw HOURS]

PED2 holds training/ and testing/ with labels. DIR keeps what was measured and drawn, so that the
study goes on where it was stopped; `--draw HOURS` draws and scores hours of scenes there first.
Figures are printed, and written to DIR/figures.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from simulated_scores import FPS, Model, Watched, modelled

from model import bundle as bundles
from model.bundle import Bundle
from model.calibration import causal_scores
from model.catalog import find
from model.datasets import load
from model.detector import Detector
from model.engines.names import EngineName
from model.evaluation import passes
from model.evaluation.accuracy import Labels
from model.evaluation.events import false_rate, outcome
from model.events import EventRules
from model.footage import Clip, discover, frame_store
from model.frames import fit
from model.observation import CameraOptions
from model.peaks import magnitude
from model.rules import LIVE_UPDATE
from model.score import Measures
from model.tails import Found, Stretch, find_threshold
from service.calibrate.footage import Collected, Collector, Scored, Span, Standing
from service.demo.scene import frames as drawn_frames

PROMISES = (0.1, 1.0, 10.0, 100.0)
"""False alarms a day."""
RULES = EventRules()
LADDER = (0.35, 0.4, 0.45, 0.475, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
"""Thresholds that are tried on Ped2, too."""
SCENE_S = 600.0
FIRST_SEED = 7000
HOURS = {1 / 6: 10, 1.0: 10, 6.0: 10, 24.0: 3}
"""Of footage, and how many simulated cameras have so much."""
LONG_DAYS = 10
"""In which the true rate of a simulated camera is counted."""
Row = list[Measures | None]


def stretches(scores: Sequence[float | None], threshold: float | None = None) -> list[Stretch]:
    """Footage as the service collects it, of a stream without events."""
    collector = Collector(RULES, Collected(threshold), Standing())
    taken = (Scored(i, i / FPS, score, threshold) for i, score in enumerate(scores))
    collector.take(taken, ())
    collector.finish()
    return [stretch_of(each) for each in collector.stretches]


def stretch_of(each: Collected) -> Stretch:
    limit = float("inf") if each.limit is None else magnitude(each.limit)
    return Stretch(each.seconds, tuple(each.peaks), each.low, limit)


def measured(folder: Path, bundle: Bundle, engine: str, cache: Path) -> tuple[list[Row], list[Row]]:
    """Ped2's training and test clips, as one camera sees them one after the other."""
    sources = discover([str(folder / "training" / "frames")])
    tests = [clip.source for clip in load(folder)]
    if not cache.exists():
        with frame_store(bundle.frame_shape) as store:
            for source in (*sources, *tests):
                store.add(source)
            clips = [Clip(clip.name, np.array(clip.frames)) for clip in store.clips()]
        detector = Detector(bundle, engine=EngineName(engine))
        found = passes.run(detector, clips, CameraOptions(update=LIVE_UPDATE)).rows
        rows = [[None if row is None else asdict(row) for row in clip] for clip in found]
        cache.write_text(json.dumps(rows))
    told = json.loads(cache.read_text())
    rows = [[None if row is None else Measures(**row) for row in clip] for clip in told]
    return rows[: len(sources)], rows[len(sources) :]


def joined(clips: Sequence[Sequence[float | None]]) -> list[float | None]:
    """One run of scores; a clip begins with frames that have none, so nothing runs across."""
    return [score for clip in clips for score in clip]


def ped2(bundle: Bundle, training: list[Row], tests: list[Row], labels: list[Labels]) -> object:
    """Thresholds from the training clips, and what they find in the test clips."""
    normal = bundle.calibration.normal
    if normal is None:
        raise ValueError(f"{bundle.name} has no ranges")
    own = bundle.calibration.thresholds[bundle.score.name]
    scores = causal_scores(training, bundle.score, normal, own)
    lines = []
    settings: list[tuple[str, float, Found | None]] = [("the model's own", own, None)]
    settings += [("by hand", threshold, None) for threshold in LADDER]
    for promise in PROMISES:
        found = find_threshold(stretches(joined(scores)), promise)
        settings.append((f"{promise:g} a day", found.threshold, found))
    for name, threshold, found in settings:
        both = causal_scores([*training, *tests], bundle.score, normal, threshold)
        arrays = [np.array([np.nan if s is None else s for s in clip]) for clip in both]
        seen = outcome(arrays[len(training) :], labels, threshold, RULES, FPS)
        rate = seen.false_rate
        line = {
            "setting": name, "threshold": threshold,
            "interval": [found.low, found.high] if found else None,
            "footage_s": found.seconds if found else None,
            "peaks": found.tail.peaks if found else None,
            "found": seen.found, "labelled": seen.labelled, "false_events": seen.false_events,
            "normal_s": 3600.0 * seen.normal_hours,
            "false_per_hour": [rate.per_hour, rate.low, rate.high] if rate else None,
            "median_delay_s": seen.median_delay_s,
            "training_events": sum(
                Watched.of(np.nan_to_num(clip), RULES).count(threshold)
                for clip in arrays[: len(training)]
            ),
        }  # fmt: skip
        lines.append(line)
        print(line)
    return {"all": lines, "folds": folds(scores)}


def folds(scores: list[list[float | None]]) -> list[object]:
    """Thresholds from three quarters of the training clips, and the events in the others."""
    lines: list[object] = []
    for promise in (*PROMISES, 1000.0):
        events, seconds = 0, 0.0
        for fold in range(4):
            used = [clip for i, clip in enumerate(scores) if i % 4 != fold]
            found = find_threshold(stretches(joined(used)), promise)
            for clip in scores[fold::4]:
                known = np.array([0.0 if score is None else score for score in clip])
                events += Watched.of(known, RULES).count(found.threshold)
                seconds += np.count_nonzero(known) / FPS
        rate = false_rate(events, seconds / 86400.0)
        line = {
            "promised": promise, "events": events, "seconds": seconds,
            "per_day": [rate.per_hour, rate.low, rate.high],
        }  # fmt: skip
        lines.append(line)
        print("folds", line)
    return lines


def simulated(model: Model, name: str) -> list[object]:
    """Thresholds from much and little simulated footage, and the events that they really make."""
    days = [watched_day(model, seed) for seed in range(LONG_DAYS)]
    truth = {promise: true_threshold(days, promise) for promise in PROMISES}
    lines: list[object] = []
    for hours, count in HOURS.items():
        frames = round(hours * 3600 * FPS)
        cameras = [
            stretches(model.scores(frames, random_of(1000 + i)).tolist()) for i in range(count)
        ]
        for promise in PROMISES:
            made = [find_threshold(camera, promise) for camera in cameras]
            rates = [sum(d.count(each.threshold) for d in days) / LONG_DAYS for each in made]
            line = {
                "scores": name, "hours": hours, "promised": promise,
                "mean_rate": float(np.mean(rates)), "median_rate": float(np.median(rates)),
                "most": max(rates), "true_threshold": truth[promise],
                "median_threshold": float(np.median([each.threshold for each in made])),
                "covered": sum(each.low <= truth[promise] <= each.high for each in made),
                "kept": sum(rate <= promise for rate in rates), "cameras": count,
            }  # fmt: skip
            lines.append(line)
            print(line, flush=True)
    return lines


def random_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def watched_day(model: Model, seed: int) -> Watched:
    return Watched.of(model.scores(round(86400 * FPS), random_of(seed)), RULES)


def true_threshold(days: Sequence[Watched], promise: float) -> float:
    """At which there are as many events as were promised."""
    low = float(np.quantile(days[0].levels, 0.999))
    high = max(float(day.levels.max()) for day in days)
    for _ in range(14):
        middle = 0.5 * (low + high)
        events = sum(day.count(middle) for day in days)
        low, high = (middle, high) if events > promise * len(days) else (low, middle)
    return high


def closed_loop(model: Model, start: float, days: int) -> object:
    """A simulated camera as the service has it: nobody labels, and what reaches the threshold is
    left out of the footage that the next threshold is made of."""
    threshold, kept, lines = start, list[Stretch](), []
    for day in range(days):
        scores = watched_day(model, 500 + day).scores
        events = 0
        for part in np.split(scores, 4):
            found = Watched.of(part, RULES).events(threshold)
            events += len(found)
            collector = Collector(RULES, Collected(threshold), Standing())
            collector.take(
                (Scored(i, i / FPS, s, threshold) for i, s in enumerate(part.tolist())),
                [Span(each.first_frame, each.last_frame) for each in found],
            )
            kept += [stretch_of(each) for each in collector.stretches if each.seconds]
            threshold = find_threshold(kept, 1.0).threshold
        lines.append({"day": day, "events": events, "threshold": threshold})
    print("closed loop from", start, lines, flush=True)
    return {"start": start, "days": lines}


def draw(work: Path, hours: float) -> None:
    """Draw scenes and score them; each is a file."""
    bundle = bundles.load(find("demo"))
    detector = Detector(bundle, engine=EngineName.OPENVINO_FP32)
    threshold = bundle.calibration.thresholds[bundle.score.name]
    camera, options = detector.start(), [CameraOptions(threshold=threshold, update=LIVE_UPDATE)]
    for scene in range(round(hours * 3600.0 / SCENE_S)):
        path = work / f"drawn-{FIRST_SEED + scene}.npy"
        if path.exists():
            continue
        camera.cut()
        scores = []
        for picture in drawn_frames(FIRST_SEED + scene, SCENE_S):
            frame = fit(picture, bundle.frame_shape)
            seen = detector.observe([camera], [frame], options)[0]
            scores.append(np.nan if seen.score is None else seen.score)
        np.save(path, np.array(scores))
        print(path.name, float(np.nanmax(scores)), flush=True)


def drawn(work: Path) -> list[object]:
    """Thresholds from the first half of the drawn hours, and the events in the second."""
    files = sorted(work.glob("drawn-*.npy"))
    scenes = [[None if np.isnan(s) else float(s) for s in np.load(file)] for file in files]
    half = len(scenes) // 2
    lines: list[object] = []
    for promise in (*PROMISES, 1000.0) if half else ():
        found = find_threshold(stretches(joined(scenes[:half])), promise)
        rest = [np.array([0.0 if s is None else s for s in scene]) for scene in scenes[half:]]
        events = sum(Watched.of(scene, RULES).count(found.threshold) for scene in rest)
        seconds = sum(map(len, rest)) / FPS
        rate = false_rate(events, seconds / 86400.0)
        line = {
            "promised": promise, "threshold": found.threshold,
            "interval": [found.low, found.high], "calibrated_s": found.seconds,
            "highest": found.highest, "tail": asdict(found.tail), "events": events,
            "watched_s": seconds, "per_day": [rate.per_hour, rate.low, rate.high],
        }  # fmt: skip
        lines.append(line)
        print("drawn", line)
    return lines


def main() -> None:
    """Measure, calibrate, count, write."""
    parser = argparse.ArgumentParser(description="What a promised rate of false alarms is worth.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="ped2-fast")
    parser.add_argument("--engine", default="openvino-int8")
    parser.add_argument("--draw", type=float, default=0.0, metavar="HOURS")
    parser.add_argument("--only-draw", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    if arguments.draw:
        draw(work, arguments.draw)
    if arguments.only_draw:
        return
    bundle = bundles.load(find(arguments.model))
    cache = work / f"ped2-{arguments.model}-{arguments.engine}.json"
    training, tests = measured(arguments.folder, bundle, arguments.engine, cache)
    labels = [clip.abnormal for clip in load(arguments.folder)]
    figures: dict[str, object] = {"ped2": ped2(bundle, training, tests, labels)}
    figures["drawn"] = drawn(work)
    normal, own = bundle.calibration.normal, bundle.calibration.thresholds[bundle.score.name]
    if normal is not None:
        scores = causal_scores(training, bundle.score, normal, own)
        own_tail = modelled(scores)
        figures["loop"] = [closed_loop(own_tail, start, 3) for start in (own, 0.25)]
        figures["simulated"] = [
            *simulated(own_tail, "as fitted"),
            *simulated(modelled(scores, shape=0.1), "heavier tail"),
            *simulated(modelled(scores, slow=0.3), "slow swings"),
        ]
    (work / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
