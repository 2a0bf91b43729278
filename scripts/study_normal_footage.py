"""What a few events that somebody called normal change in the next training, on drawn footage.

    .venv/bin/python scripts/study_normal_footage.py WORK --json F [--kinds van cyclist]
        [--events 1 5] [--shares 0 0.1 0.25] [--epochs 1] [--threads 1]

A network is trained on people who walk. It watches footage with one kind of other thing; the clips
of the events that it raises are kept as the service keeps them, and called normal. Networks trained
with them, and the one without, then watch other footage with each kind. WORK keeps what was made.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model import bundle as bundles
from model.bundle import Bundle
from model.calibration import calibrate, causal_scores, measure, split
from model.detector import Detector
from model.evaluation.events import Alarm, alarms, match
from model.events import EventRules
from model.footage import Clip, Source, frame_store
from model.frames import Picture, fit
from model.observation import CameraOptions
from model.rules import LIVE_UPDATE
from model.score import Measures
from service.bus.footage import SentShot
from service.capture.pictures import preview_of
from service.demo.scene import FPS, Anomaly, AnomalyKind, frames, labels
from service.demo.video import write_video
from service.media.clip import write_clip
from service.media.normal import FOLDER, NormalFolder
from service.messages import Shot

ROOT = Path(__file__).resolve().parent.parent
TRAINING_SEEDS = range(100, 112)
TRAINING_S = 60.0
HOLD_OUT = 0.125
WATCHED_SEED = 700
"""Of the footage whose events are called normal."""
WATCHED_S = 24.0
TEST_SEEDS = range(900, 905)
TEST_S = 30.0
ONSETS_S = (6.0, 18.0)
QUIET_SEEDS = range(950, 952)
QUIET_S = 60.0
AROUND = 5 * FPS
"""Frames of a clip before its event, and after it."""
RULES = EventRules()


Rows = list[Measures | None]
"""A clip's, by frame."""


@dataclass(frozen=True)
class Case:
    """Which bundle watched what."""

    trained: str
    called: str
    """Kind and number of the events that were called normal before the training."""
    share: float | None
    calibrated_with_a_clip: bool
    shown: str
    """The kind that the footage holds; empty: none."""


@dataclass(frozen=True)
class Found:
    """What came of it."""

    case: Case
    threshold: float
    things: int
    found: int
    """Of them, those that raised an event."""
    mean_peak: float | None
    """Of the scores while each was there."""
    false_events: int
    normal_hours: float


@dataclass(frozen=True)
class Shown:
    """A clip to be watched."""

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
    _draw_training(work / "training")
    train = _Trainer(work, options.epochs, options.threads)
    base = train("without", None, 0.0)
    tests = _tests(base)
    results = _watched(work, base, "without", None, None, tests)
    for kind, events, share in product(options.kinds, options.events, options.shares):
        stream = f"{kind}-{events}"
        _keep_events(work, base, kind, events)
        name = f"{kind}-{events}-{share:g}"
        results += _watched(work, train(name, stream, share), name, stream, share, tests)
        options.json.write_text(json.dumps([asdict(each) for each in results], indent=1))
    for each in results:
        print(_line(each))


class _Trainer:
    def __init__(self, work: Path, epochs: int, threads: int) -> None:
        self._work = work
        self._options = ["--preset", "tiny", "--size", "96x128", "--colour", "grey"]
        self._options += ["--hold-out", str(HOLD_OUT), "--epochs", str(epochs)]
        self._options += ["--threads", str(threads)]

    def __call__(self, name: str, stream: str | None, share: float) -> Bundle:
        """`normwatch train`, as a user would run it; what was trained already stays."""
        out = self._work / "bundles" / name
        if not out.exists():
            command = [sys.executable, "-m", "service", "train", str(self._work / "training")]
            command += ["--out", str(out), *self._options]
            if stream is not None:
                command += ["--stream", stream, "--stream-share", str(share)]
            environment = {**os.environ, "NORMWATCH_DATA_DIR": str(self._work / "data")}
            subprocess.run(command, check=True, cwd=ROOT, env=environment)
        return bundles.load(out)


def _draw_training(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in TRAINING_SEEDS:
        if not (folder / f"{seed}.mp4").exists():
            write_video(folder / f"{seed}.mp4", frames(seed, TRAINING_S))


def _keep_events(work: Path, base: Bundle, kind: AnomalyKind, events: int) -> None:
    """Keep clips of the events that things of a kind raise, as a front end would; and a spare one,
    which isn't trained on."""
    folder = NormalFolder(work / "data" / FOLDER)
    stream = f"{kind}-{events}"
    folder.make(stream)
    for seed in count(WATCHED_SEED):
        if _spare(work, stream).exists() or seed >= WATCHED_SEED + 4 * events:
            break
        things = [Anomaly(kind, 8.0)]
        seen = list(frames(seed, WATCHED_S, things))
        shown = Shown(_clip(base, "watched", seen), labels(seed, WATCHED_S, things))
        (rows,) = _measured(base, [shown])
        for alarm in _raised(base, _scores(base, rows)):
            if shown.abnormal[alarm.first_frame : alarm.last_frame + 1].any():
                written = work / "clip.mp4"
                frames_of = (alarm.first_frame, alarm.last_frame)
                write_clip(written, _shots(seen, alarm), FPS, frames_of)
                if len(folder.clips(stream)) < events:
                    folder.put(stream, f"evt_{kind}_{seed}", written)
                    written.unlink()
                else:
                    written.replace(_spare(work, stream))


def _spare(work: Path, stream: str) -> Path:
    return work / f"spare-{stream}.mp4"


def _shots(seen: Sequence[Picture], alarm: Alarm) -> list[SentShot]:
    first, last = max(0, alarm.first_frame - AROUND), alarm.last_frame + AROUND
    return [
        SentShot(
            Shot(event_id="evt", frame=number, captured_at=1000.0 + number / FPS),
            preview_of(seen[number], 640),
        )
        for number in range(first, min(last + 1, len(seen)))
    ]


def _clip(bundle: Bundle, name: str, seen: Sequence[Picture]) -> Clip:
    return Clip(name, np.stack([fit(picture, bundle.frame_shape) for picture in seen]))


def _tests(bundle: Bundle) -> dict[str, list[Shown]]:
    """Footage of each kind of thing, and of none."""
    made: dict[str, list[Shown]] = {}
    for kind in AnomalyKind:
        things = [Anomaly(kind, at_s) for at_s in ONSETS_S]
        made[kind.value] = [
            Shown(
                _clip(bundle, f"{kind}-{seed}", list(frames(seed, TEST_S, things))),
                labels(seed, TEST_S, things),
            )
            for seed in TEST_SEEDS
        ]
    made[""] = [
        Shown(
            _clip(bundle, f"{seed}", list(frames(seed, QUIET_S))),
            np.zeros(round(QUIET_S * FPS), np.bool_),
        )
        for seed in QUIET_SEEDS
    ]
    return made


def _watched(
    work: Path,
    bundle: Bundle,
    name: str,
    stream: str | None,
    share: float | None,
    tests: dict[str, list[Shown]],
) -> list[Found]:
    """Each kind of footage, with the bundle as it is, and calibrated with the spare clip, too."""
    forms = [(bundle, False)]
    if stream is not None:
        forms.append((calibrate(bundle, _held_out(work, bundle, stream)), True))
    results: list[Found] = []
    for shown, clips in tests.items():
        measured = _measured(bundle, clips)
        results += [
            _found(form, clips, measured, Case(name, stream or "", share, with_clip, shown))
            for form, with_clip in forms
        ]
    return results


def _found(bundle: Bundle, clips: Sequence[Shown], measured: Sequence[Rows], case: Case) -> Found:
    scores = [_scores(bundle, rows) for rows in measured]
    raised = [_raised(bundle, row) for row in scores]
    known = [~np.isnan(row) for row in scores]
    outcome = match(raised, [each.abnormal for each in clips], FPS, scored=known)
    peaks = [
        float(np.nanmax(scores[event.clip][event.start : event.stop])) for event in outcome.events
    ]
    return Found(
        case=case,
        threshold=_threshold(bundle),
        things=outcome.labelled,
        found=outcome.found,
        mean_peak=float(np.mean(peaks)) if peaks else None,
        false_events=outcome.false_events,
        normal_hours=outcome.normal_hours,
    )


def _held_out(work: Path, bundle: Bundle, stream: str) -> list[Clip]:
    """As `normwatch train` keeps it back, and the spare clip."""
    with frame_store(bundle.frame_shape) as store:
        for seed in TRAINING_SEEDS:
            store.add(Source(f"{seed}.mp4", work / "training" / f"{seed}.mp4"))
        held_out = split(store.clips(), HOLD_OUT, bundle.config.context)[1]
    with frame_store(bundle.frame_shape) as store:
        store.add(Source("spare", _spare(work, stream)))
        return held_out + store.clips()


def _threshold(bundle: Bundle) -> float:
    return bundle.calibration.thresholds[bundle.score.name]


def _raised(bundle: Bundle, scores: NDArray[np.float64]) -> list[Alarm]:
    return alarms(scores, _threshold(bundle), RULES, FPS)


def _measured(bundle: Bundle, clips: Sequence[Shown]) -> list[Rows]:
    """As the service does; each clip is another camera's."""
    detector, options = Detector(bundle), CameraOptions(update=LIVE_UPDATE)
    return [measure(detector, [shown.clip], options)[0] for shown in clips]


def _scores(bundle: Bundle, rows: Rows) -> NDArray[np.float64]:
    """NaN where there is no score."""
    normal = bundle.calibration.normal
    if normal is None:
        raise ValueError(f"the bundle {bundle.name} isn't calibrated")
    (scores,) = causal_scores([rows], bundle.score, normal, _threshold(bundle))
    return np.array([np.nan if each is None else each for each in scores])


def _line(each: Found) -> str:
    case = each.case
    peak = "" if each.mean_peak is None else f", peaks {each.mean_peak:.2f} on the average"
    with_clip = "with a clip" if case.calibrated_with_a_clip else "without"
    return (
        f"{case.trained:16} calibrated {with_clip:11} threshold {each.threshold:.2f}: "
        f"{case.shown or 'nothing':8} {each.found}/{each.things} raise events{peak}, "
        f"{each.false_events} false in {60 * each.normal_hours:.1f} min"
    )


if __name__ == "__main__":
    main()
