"""Measures how a few events that were marked normal change the next training, on drawn footage.

    python scripts/studies/study_normal_footage.py WORK --json F [--kinds van cyclist]
        [--events 1 5] [--shares 0 0.1 0.25] [--epochs 1] [--threads 1]

A network is trained on people who walk. It then watches footage with another kind of thing; the
clips of its events are kept as in the service, and marked normal. Networks trained with and without
them then watch other footage with each kind. WORK keeps all intermediate files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count, product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.evaluation.accuracy import to_array
from model.evaluation.event_figures import Alarm, find_alarms, match_alarms
from model.events.event_detection import EventRules
from model.footage.clips import Clip, read_clips
from model.footage.footage_search import Source
from model.footage.source_pictures import encode_preview
from model.frames import Picture, fit
from model.network.update_rules import LIVE_UPDATE
from model.scoring.measures import Measures
from model.training.bundle_calibration import calibrate, measure_clips, score_causally, split_clips
from service.bus.picture_requests import SentShot
from service.media.clip import encode_clip
from service.media.normal_clips import FOLDER, NormalClipFolder
from service.messages import Shot
from service.tools.demo.video import write_video
from service.tools.demo.walkway import FPS, Anomaly, AnomalyKind, draw_frames, label_frames

ROOT = Path(__file__).resolve().parents[2]
TRAINING_SEEDS = range(100, 112)
TRAINING_S = 60.0
HOLD_OUT = 0.125
WATCHED_SEED = 700
"""The seed of the footage whose events are marked normal."""
WATCHED_S = 24.0
TEST_SEEDS = range(900, 905)
TEST_S = 30.0
ONSETS_S = (6.0, 18.0)
QUIET_SEEDS = range(950, 952)
QUIET_S = 60.0
AROUND = 5 * FPS
"""Frames of a clip before and after its event."""
RULES = EventRules()


Rows = list[Measures | None]
"""The measures of a clip's frames."""


@dataclass(frozen=True)
class Case:
    """A bundle, and the footage that it watched."""

    trained: str
    called: str
    """Kind and number of the events that were marked normal before the training."""
    share: float | None
    calibrated_with_a_clip: bool
    kind: str
    """The kind of thing in the footage; empty for none."""


@dataclass(frozen=True)
class WatchFigures:
    """The figures of one case."""

    case: Case
    threshold: float
    things: int
    found: int
    """The number of things that raised an event."""
    mean_peak: float | None
    """The mean of the highest scores while each was there."""
    false_events: int
    normal_hours: float


@dataclass(frozen=True)
class LabelledFootage:
    """A clip to be watched, with its labels."""

    clip: Clip
    abnormal: NDArray[np.bool_]


def main() -> None:
    """Draw, train, watch, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", type=AnomalyKind, default=[AnomalyKind.VAN])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.25])
    parser.add_argument("--events", nargs="+", type=int, default=[5])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    work: Path = options.work
    _draw_training_videos(work / "training")
    train = _Trainer(work, options.epochs, options.threads)
    base = train("without", None, 0.0)
    tests = _make_tests(base)
    results = _watch_tests(work, base, "without", None, None, tests)
    for kind, events, share in product(options.kinds, options.events, options.shares):
        stream = f"{kind}-{events}"
        _keep_events(work, base, kind, events)
        name = f"{kind}-{events}-{share:g}"
        results += _watch_tests(work, train(name, stream, share), name, stream, share, tests)
        options.json.write_text(json.dumps([asdict(each) for each in results], indent=1))
    for each in results:
        print(_format_line(each))


class _Trainer:
    def __init__(self, work: Path, epochs: int, threads: int) -> None:
        self._work = work
        self._options = ["--preset", "tiny", "--size", "96x128", "--colour", "grey"]
        self._options += ["--hold-out", str(HOLD_OUT), "--epochs", str(epochs)]
        self._options += ["--threads", str(threads)]

    def __call__(self, name: str, stream: str | None, share: float) -> Bundle:
        """Run `normwatch train` as a user would; an existing bundle is kept."""
        out = self._work / "bundles" / name
        if not out.exists():
            command = [sys.executable, "-m", "service", "train", str(self._work / "training")]
            command += ["--out", str(out), *self._options]
            if stream is not None:
                command += ["--stream", stream, "--stream-share", str(share)]
            environment = {**os.environ, "NORMWATCH_DATA_DIR": str(self._work / "data")}
            subprocess.run(command, check=True, cwd=ROOT, env=environment)
        return bundles.load(out)


def _draw_training_videos(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in TRAINING_SEEDS:
        if not (folder / f"{seed}.mp4").exists():
            write_video(folder / f"{seed}.mp4", draw_frames(seed, TRAINING_S))


def _keep_events(work: Path, base: Bundle, kind: AnomalyKind, events: int) -> None:
    """Keep clips of the events that one kind of thing raises, as a front end would, and a spare one
    that isn't used in training."""
    folder = NormalClipFolder(work / "data" / FOLDER)
    stream = f"{kind}-{events}"
    folder.make_folder(stream)
    for seed in count(WATCHED_SEED):
        if _spare_path(work, stream).exists() or seed >= WATCHED_SEED + 4 * events:
            break
        things = [Anomaly(kind, 8.0)]
        seen = list(draw_frames(seed, WATCHED_S, things))
        watched = LabelledFootage(
            _make_clip(base, "watched", seen), label_frames(seed, WATCHED_S, things)
        )
        (rows,) = _measure(base, [watched])
        for alarm in _raise_alarms(base, _compute_scores(base, rows)):
            if watched.abnormal[alarm.first_frame : alarm.last_frame + 1].any():
                written = work / "clip.mp4"
                frames_of = (alarm.first_frame, alarm.last_frame)
                written.write_bytes(encode_clip(_make_shots(seen, alarm), FPS, frames_of))
                if len(folder.clips(stream)) < events:
                    folder.put(stream, f"evt_{kind}_{seed}", written)
                    written.unlink()
                else:
                    written.replace(_spare_path(work, stream))


def _spare_path(work: Path, stream: str) -> Path:
    return work / f"spare-{stream}.mp4"


def _make_shots(seen: Sequence[Picture], alarm: Alarm) -> list[SentShot]:
    first, last = max(0, alarm.first_frame - AROUND), alarm.last_frame + AROUND
    return [
        SentShot(
            Shot(event_id="evt", frame=number, captured_at=1000.0 + number / FPS),
            encode_preview(seen[number], 640),
        )
        for number in range(first, min(last + 1, len(seen)))
    ]


def _make_clip(bundle: Bundle, name: str, seen: Sequence[Picture]) -> Clip:
    return Clip(name, np.stack([fit(picture, bundle.frame_shape) for picture in seen]))


def _make_tests(bundle: Bundle) -> dict[str, list[LabelledFootage]]:
    """Draw footage of each kind of thing, and of none."""
    made: dict[str, list[LabelledFootage]] = {}
    for kind in AnomalyKind:
        things = [Anomaly(kind, at_s) for at_s in ONSETS_S]
        made[kind.value] = [
            LabelledFootage(
                _make_clip(bundle, f"{kind}-{seed}", list(draw_frames(seed, TEST_S, things))),
                label_frames(seed, TEST_S, things),
            )
            for seed in TEST_SEEDS
        ]
    made[""] = [
        LabelledFootage(
            _make_clip(bundle, f"{seed}", list(draw_frames(seed, QUIET_S))),
            np.zeros(round(QUIET_S * FPS), np.bool_),
        )
        for seed in QUIET_SEEDS
    ]
    return made


def _watch_tests(
    work: Path,
    bundle: Bundle,
    name: str,
    stream: str | None,
    share: float | None,
    tests: dict[str, list[LabelledFootage]],
) -> list[WatchFigures]:
    """Watch all footage with the bundle as it is, and calibrated with the spare clip."""
    forms = [(bundle, False)]
    if stream is not None:
        forms.append((calibrate(bundle, _read_held_out(work, bundle, stream)), True))
    results: list[WatchFigures] = []
    for kind, clips in tests.items():
        measured = _measure(bundle, clips)
        results += [
            _compute_figures(
                form, clips, measured, Case(name, stream or "", share, with_clip, kind)
            )
            for form, with_clip in forms
        ]
    return results


def _compute_figures(
    bundle: Bundle, clips: Sequence[LabelledFootage], measured: Sequence[Rows], case: Case
) -> WatchFigures:
    scores = [_compute_scores(bundle, rows) for rows in measured]
    raised = [_raise_alarms(bundle, row) for row in scores]
    known = [~np.isnan(row) for row in scores]
    outcome = match_alarms(raised, [each.abnormal for each in clips], FPS, scored=known)
    peaks = [
        float(np.nanmax(scores[event.clip][event.start : event.stop])) for event in outcome.events
    ]
    return WatchFigures(
        case=case,
        threshold=_get_threshold(bundle),
        things=outcome.labelled,
        found=outcome.found,
        mean_peak=float(np.mean(peaks)) if peaks else None,
        false_events=outcome.false_events,
        normal_hours=outcome.normal_hours,
    )


def _read_held_out(work: Path, bundle: Bundle, stream: str) -> list[Clip]:
    """Read what `normwatch train` holds out, and the spare clip."""
    files = [work / "training" / f"{seed}.mp4" for seed in TRAINING_SEEDS]
    clips = read_clips([Source(file.name, file) for file in files], bundle.frame_shape)
    spare = read_clips([Source("spare", _spare_path(work, stream))], bundle.frame_shape)
    return split_clips(clips, HOLD_OUT, bundle.config.context)[1] + spare


def _get_threshold(bundle: Bundle) -> float:
    return bundle.calibration.thresholds[bundle.score.name]


def _raise_alarms(bundle: Bundle, scores: NDArray[np.float64]) -> list[Alarm]:
    return find_alarms(scores, _get_threshold(bundle), RULES, FPS)


def _measure(bundle: Bundle, clips: Sequence[LabelledFootage]) -> list[Rows]:
    """Measure as the service does; each clip is another camera's."""
    detector, options = Detector(bundle), CameraOptions(update=LIVE_UPDATE)
    return [measure_clips(detector, [each.clip], options)[0] for each in clips]


def _compute_scores(bundle: Bundle, rows: Rows) -> NDArray[np.float64]:
    """Compute scores; NaN where there is none."""
    normal = bundle.calibration.normal
    if normal is None:
        raise ValueError(f"the bundle {bundle.name} isn't calibrated")
    (scores,) = score_causally([rows], bundle.score, normal, _get_threshold(bundle))
    return to_array(scores)


def _format_line(each: WatchFigures) -> str:
    case = each.case
    peak = "" if each.mean_peak is None else f", peaks {each.mean_peak:.2f} on the average"
    with_clip = "with a clip" if case.calibrated_with_a_clip else "without"
    return (
        f"{case.trained:16} calibrated {with_clip:11} threshold {each.threshold:.2f}: "
        f"{case.kind or 'nothing':8} {each.found}/{each.things} raise events{peak}, "
        f"{each.false_events} false in {60 * each.normal_hours:.1f} min"
    )


if __name__ == "__main__":
    main()
