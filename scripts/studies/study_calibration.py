"""Tests the promised rate of false alarms a day on Ped2, simulated and drawn footage.

    python -m scripts.studies.study_calibration PED2 --work DIR [--draw HOURS]

PED2 holds training/ and testing/ with labels. DIR keeps what was measured and drawn, so that the
study continues where it was stopped; `--draw HOURS` draws and scores hours of scenes there first.
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
from pydantic import TypeAdapter

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.catalog import find_bundle
from model.data.datasets import load_test_clips
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.engines.names import EngineName
from model.evaluation import camera_pass
from model.evaluation.accuracy import Labels, to_array
from model.evaluation.event_figures import estimate_false_rate, find_alarms, measure_events
from model.events.event_detection import EventRules
from model.events.peaks import to_magnitude
from model.events.tails import FoundThreshold, Stretch, find_threshold
from model.footage.clips import Clip, read_clips
from model.footage.footage_search import find_footage
from model.frames import fit
from model.network.update_rules import LIVE_UPDATE
from model.scoring.measures import Measures
from model.training.bundle_calibration import score_causally
from scripts.studies.simulated_scores import FPS, ScoredRun, ScoreModel, fit_model
from service.calibrate.score_collector import (
    CollectorState,
    EventFrames,
    FootageStretch,
    ScoreCollector,
    TimedScore,
)
from service.tools.demo.walkway import draw_frames as drawn_frames

PROMISES = (0.1, 1.0, 10.0, 100.0)
"""False alarms a day."""
RULES = EventRules()
LADDER = (0.35, 0.4, 0.45, 0.475, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
"""These thresholds are also tried on Ped2."""
SCENE_S = 600.0
FIRST_SEED = 7000
HOURS = {1 / 6: 10, 1.0: 10, 6.0: 10, 24.0: 3}
"""Hours of footage, with the number of simulated cameras that have as much."""
LONG_DAYS = 10
"""The true rate of a simulated camera is counted over this many days."""
Row = list[Measures | None]
ROWS = TypeAdapter(list[Row])


def collect_stretches(
    scores: Sequence[float | None], threshold: float | None = None
) -> list[Stretch]:
    """Collect footage as the service does, for a stream without events."""
    collector = ScoreCollector(RULES, FootageStretch(threshold), CollectorState())
    taken = (TimedScore(i, i / FPS, score, threshold) for i, score in enumerate(scores))
    collector.collect(taken, ())
    collector.finish()
    return [to_stretch(each) for each in collector.stretches]


def to_stretch(each: FootageStretch) -> Stretch:
    limit = float("inf") if each.limit is None else to_magnitude(each.limit)
    return Stretch(each.seconds, tuple(each.peaks), each.low, limit)


def measure_ped2(
    folder: Path, bundle: Bundle, engine: str, cache: Path
) -> tuple[list[Row], list[Row]]:
    """Measure Ped2's training and test clips, one after the other, as one camera."""
    sources = find_footage([str(folder / "training" / "frames")]).sources
    tests = [clip.source for clip in load_test_clips(folder)]
    if not cache.exists():
        read = read_clips((*sources, *tests), bundle.frame_shape, whole=True)
        clips = [Clip(clip.name, np.array(clip.frames)) for clip in read]
        detector = Detector(bundle, engine=EngineName(engine))
        found = camera_pass.run_pass(detector, clips, CameraOptions(update=LIVE_UPDATE)).rows
        cache.write_bytes(ROWS.dump_json(found))
    rows = ROWS.validate_json(cache.read_bytes())
    return rows[: len(sources)], rows[len(sources) :]


def join(clips: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Join clips to one run; a clip begins with frames without a score, so events don't cross."""
    return [score for clip in clips for score in clip]


def study_ped2(
    bundle: Bundle, training: list[Row], tests: list[Row], labels: list[Labels]
) -> object:
    """Find thresholds from the training clips, and count their events in the test clips."""
    normal = bundle.calibration.normal
    if normal is None:
        raise ValueError(f"{bundle.name} has no ranges")
    own = bundle.calibration.thresholds[bundle.score.name]
    scores = score_causally(training, bundle.score, normal, own)
    lines = []
    settings: list[tuple[str, float, FoundThreshold | None]] = [("the model's own", own, None)]
    settings += [("by hand", threshold, None) for threshold in LADDER]
    for promise in PROMISES:
        chosen = find_threshold(collect_stretches(join(scores)), promise)
        settings.append((f"{promise:g} a day", chosen.threshold, chosen))
    for name, threshold, found in settings:
        both = score_causally([*training, *tests], bundle.score, normal, threshold)
        arrays = [to_array(clip) for clip in both]
        seen = measure_events(arrays[len(training) :], labels, threshold, RULES, FPS)
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
                ScoredRun.from_scores(np.nan_to_num(clip), RULES).count(threshold)
                for clip in arrays[: len(training)]
            ),
        }  # fmt: skip
        lines.append(line)
        print(line)
    return {"all": lines, "folds": study_folds(scores)}


def study_folds(scores: list[list[float | None]]) -> list[object]:
    """Find thresholds from three quarters of the training clips, and count events in the rest."""
    lines: list[object] = []
    for promise in (*PROMISES, 1000.0):
        events, seconds = 0, 0.0
        for fold in range(4):
            used = [clip for i, clip in enumerate(scores) if i % 4 != fold]
            found = find_threshold(collect_stretches(join(used)), promise)
            for clip in scores[fold::4]:
                known = np.array([0.0 if score is None else score for score in clip])
                events += ScoredRun.from_scores(known, RULES).count(found.threshold)
                seconds += np.count_nonzero(known) / FPS
        rate = estimate_false_rate(events, seconds / 86400.0)
        line = {
            "promised": promise, "events": events, "seconds": seconds,
            "per_day": [rate.per_hour, rate.low, rate.high],
        }  # fmt: skip
        lines.append(line)
        print("folds", line)
    return lines


def study_simulation(model: ScoreModel, name: str) -> list[object]:
    """Find thresholds from much and little simulated footage, and count their true events."""
    days = [simulate_day(model, seed) for seed in range(LONG_DAYS)]
    truth = {promise: find_true_threshold(days, promise) for promise in PROMISES}
    lines: list[object] = []
    for hours, count in HOURS.items():
        frames = round(hours * 3600 * FPS)
        cameras = [
            collect_stretches(model.simulate(frames, np.random.default_rng(1000 + i)).tolist())
            for i in range(count)
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


def simulate_day(model: ScoreModel, seed: int) -> ScoredRun:
    return ScoredRun.from_scores(
        model.simulate(round(86400 * FPS), np.random.default_rng(seed)), RULES
    )


def find_true_threshold(days: Sequence[ScoredRun], promise: float) -> float:
    """Find the threshold with as many events as promised."""
    low = float(np.quantile(days[0].levels, 0.999))
    high = max(float(day.levels.max()) for day in days)
    for _ in range(14):
        middle = 0.5 * (low + high)
        events = sum(day.count(middle) for day in days)
        low, high = (middle, high) if events > promise * len(days) else (low, middle)
    return high


def run_closed_loop(model: ScoreModel, start: float, days: int) -> object:
    """Simulate a camera in the service. Nobody labels; what reaches the threshold is left out of
    the footage for the next threshold."""
    threshold, kept, lines = start, list[Stretch](), []
    for day in range(days):
        scores = simulate_day(model, 500 + day).scores
        events = 0
        for part in np.split(scores, 4):
            found = find_alarms(part, threshold, RULES, FPS)
            events += len(found)
            collector = ScoreCollector(RULES, FootageStretch(threshold), CollectorState())
            collector.collect(
                (TimedScore(i, i / FPS, s, threshold) for i, s in enumerate(part.tolist())),
                [
                    EventFrames(each.first_frame, each.last_frame, each.first_frame / FPS)
                    for each in found
                ],
            )
            kept += [to_stretch(each) for each in collector.stretches if each.seconds]
            threshold = find_threshold(kept, 1.0).threshold
        lines.append({"day": day, "events": events, "threshold": threshold})
    print("closed loop from", start, lines, flush=True)
    return {"start": start, "days": lines}


def draw(work: Path, hours: float) -> None:
    """Draw scenes and score them; each becomes a file."""
    bundle = bundles.load(find_bundle("demo"))
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


def study_drawn(work: Path) -> list[object]:
    """Find thresholds from the first half of the drawn hours, and count events in the second."""
    files = sorted(work.glob("drawn-*.npy"))
    scenes = [[None if np.isnan(s) else float(s) for s in np.load(file)] for file in files]
    half = len(scenes) // 2
    lines: list[object] = []
    for promise in (*PROMISES, 1000.0) if half else ():
        found = find_threshold(collect_stretches(join(scenes[:half])), promise)
        rest = [np.array([0.0 if s is None else s for s in scene]) for scene in scenes[half:]]
        events = sum(ScoredRun.from_scores(scene, RULES).count(found.threshold) for scene in rest)
        seconds = sum(map(len, rest)) / FPS
        rate = estimate_false_rate(events, seconds / 86400.0)
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
    parser = argparse.ArgumentParser(description="Test the promised rate of false alarms.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="ped2-fast")
    parser.add_argument("--engine", default="openvino-int8")
    parser.add_argument("--draw", type=float, default=0.0, metavar="HOURS")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    if arguments.draw:
        draw(work, arguments.draw)
    bundle = bundles.load(find_bundle(arguments.model))
    cache = work / f"ped2-{arguments.model}-{arguments.engine}.json"
    training, tests = measure_ped2(arguments.folder, bundle, arguments.engine, cache)
    labels = [clip.abnormal for clip in load_test_clips(arguments.folder)]
    figures: dict[str, object] = {"ped2": study_ped2(bundle, training, tests, labels)}
    figures["drawn"] = study_drawn(work)
    normal, own = bundle.calibration.normal, bundle.calibration.thresholds[bundle.score.name]
    if normal is not None:
        scores = score_causally(training, bundle.score, normal, own)
        own_tail = fit_model(scores)
        figures["loop"] = [run_closed_loop(own_tail, start, 3) for start in (own, 0.25)]
        figures["simulated"] = [
            *study_simulation(own_tail, "as fitted"),
            *study_simulation(fit_model(scores, shape=0.1), "heavier tail"),
            *study_simulation(fit_model(scores, slow=0.3), "slow swings"),
        ]
    (work / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
