"""Measures whether the check of a model predicts what labelled footage says of it.

    python -m scripts.studies.study_check list
    python -m scripts.studies.study_check train NAME --data SHARED --out FOLDER
    python -m scripts.studies.study_check measure CAMERA --data SHARED --out FOLDER
    python -m scripts.studies.study_check compare --out FOLDER

SHARED holds `ped2` and `coffee-room`. `measure` checks a camera's models on held-out footage, then
scores the labelled test clips with them; `compare` ranks all models that were measured. No model is
trained on the clips that `measure` holds out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from model.bundles.bundle import Bundle, load, save
from model.bundles.calibration_config import Calibration
from model.bundles.catalog import DOCUMENT, Provenance, find_bundle
from model.data.datasets import load_test_clips
from model.engines.names import EngineName
from model.evaluation.accuracy import Labels, Scores
from model.evaluation.check_players import ModelPlayer
from model.evaluation.clip_bootstrap import estimate_auc
from model.evaluation.event_figures import measure_events
from model.evaluation.model_check import ModelCheck, prepare_check, run_check
from model.events.event_detection import EventRules
from model.footage.clips import Clip, read_clips
from model.footage.footage_search import find_footage
from model.frames import FrameShape
from model.network.network_config import NetConfig
from model.scoring.score_config import JUDGED
from model.training.bundle_calibration import calibrate, split_clips
from model.training.trainer import PRESETS, Training

SIDE = 256
HOLD_OUT = 0.125


@dataclass(frozen=True, slots=True)
class LabelledCamera:
    """A labelled camera."""

    folder: str
    channels: int
    fps: float
    every: int
    """Of the test frames every so-manieth is taken."""
    test_step: int
    """Of the test clips every so-manieth is taken."""


CAMERAS = {
    "ped2": LabelledCamera("ped2", 1, 10.0, 1, 1),
    "coffee": LabelledCamera("coffee-room", 3, 25.0 / 3.0, 3, 3),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model of the study."""

    camera: str
    preset: str
    seconds: float
    """Footage that it is trained on, from the beginning; infinite takes all."""
    epochs: int
    seed: int = 0
    shipped: str | None = None
    """A bundle that is there already."""


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What the check and the labels say of one model; AUCs are from 0 to 1."""

    camera: str
    check_auc: float
    check_low: float
    check_high: float
    difference_auc: float
    kinds: dict[str, float]
    check_recall: float
    check_delay_s: float | None
    is_passed: bool
    verdict: str
    checked_s: float
    """Processor time of the check."""
    true_auc: float
    true_low: float
    true_high: float
    true_recall: float
    true_delay_s: float | None
    true_false: int
    true_hours: float


ALL = float("inf")
CANDIDATES = {
    "ped2-16s-short": Candidate("ped2", "fast", 16.0, 2),
    "coffee-16s-short": Candidate("coffee", "fast", 16.0, 2),
    "ped2-60s-short": Candidate("ped2", "fast", 60.0, 2),
    "coffee-60s-short": Candidate("coffee", "fast", 60.0, 2),
    "ped2-all-1": Candidate("ped2", "fast", ALL, 1),
    "coffee-all-1": Candidate("coffee", "fast", ALL, 1),
    "ped2-16s-long": Candidate("ped2", "fast", 16.0, 10),
    "coffee-16s-long": Candidate("coffee", "fast", 16.0, 10),
    "ped2-60s-seed1": Candidate("ped2", "fast", 60.0, 4, seed=1),
    "coffee-60s-seed1": Candidate("coffee", "fast", 60.0, 4, seed=1),
    "ped2-60s-tiny": Candidate("ped2", "tiny", 60.0, 2),
    "coffee-60s-tiny": Candidate("coffee", "tiny", 60.0, 2),
    "ped2-16s-tiny": Candidate("ped2", "tiny", 16.0, 1, seed=1),
    "coffee-16s-tiny": Candidate("coffee", "tiny", 16.0, 1, seed=1),
    "ped2-all-3": Candidate("ped2", "fast", ALL, 3),
    "coffee-all-3": Candidate("coffee", "fast", ALL, 3),
    "ped2-fast": Candidate("ped2", "fast", ALL, 40, shipped="ped2-fast"),
    "ped2-judged": Candidate("ped2", "small", ALL, 16, shipped="ped2-judged"),
}
"""Models of different quality, in the order of their training."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step of the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("step", choices=("list", "train", "measure", "compare"))
    parser.add_argument("name", nargs="?", choices=(*CANDIDATES, *CAMERAS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/check"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.step == "list":
        print("\n".join(CANDIDATES))
    elif options.step == "train":
        train(options.name, options.data, options.out)
    elif options.step == "measure":
        measure(options.name, options.data, options.out)
    else:
        compare(options.out)


def read_training_footage(camera: LabelledCamera, data: Path) -> list[Clip]:
    """Read the camera's normal footage at the study's rate and size."""
    shape = FrameShape(SIDE, SIDE, camera.channels)
    folder = data / camera.folder / "training"
    return read_clips(find_footage([str(folder)]).sources, shape, camera.fps)


def take_first(clips: Sequence[Clip], frames: float) -> list[Clip]:
    """Take whole clips from the beginning, the last one cut, up to this many frames."""
    taken: list[Clip] = []
    for clip in clips:
        left = frames - sum(map(len, taken))
        if left < 1:
            break
        taken.append(Clip(clip.name, clip.frames[: int(min(left, len(clip)))]))
    return taken


def train(name: str, data: Path, out: Path) -> None:
    """Train, calibrate and save one model, unless it is there."""
    candidate = CANDIDATES[name]
    if candidate.shipped or (out / name / DOCUMENT).exists():
        return
    camera, preset = CAMERAS[candidate.camera], PRESETS[candidate.preset]
    usual, _ = split_clips(read_training_footage(camera, data), HOLD_OUT)
    footage = take_first(usual, candidate.seconds * camera.fps)
    net = NetConfig(
        base_width=preset.base_width,
        patch=preset.patch,
        height=SIDE,
        width=SIDE,
        channels=camera.channels,
        judges=True,
    )
    training, held_out = split_clips(footage, HOLD_OUT, net.context)
    config = replace(preset.train, epochs=candidate.epochs, seed=candidate.seed)
    began = time.process_time()
    run = Training(net, config, training)
    run.run()
    trained_s = time.process_time() - began
    origin = Provenance(
        frame_rate=camera.fps, frames=run.windows.frames, steps=run.step, seed=config.seed
    )
    trained = Bundle(
        name=name,
        config=net,
        network=run.network.eval().requires_grad_(False),
        items=run.items.detach(),
        calibration=Calibration(error_form=config.error_form),
        score=JUDGED,
        provenance=origin,
    )
    save(calibrate(trained, held_out), out / name)
    print(f"{name}: {run.step} steps, {trained_s:.0f} s of processor", flush=True)


def load_candidate(name: str, out: Path) -> Bundle:
    """Load a model of the study."""
    shipped = CANDIDATES[name].shipped
    return load(find_bundle(shipped) if shipped else out / name)


def measure(camera_name: str, data: Path, out: Path) -> None:
    """Check the models of one camera on the same held-out footage, and score the labelled test
    clips with them."""
    camera = CAMERAS[camera_name]
    usual, held_out = split_clips(read_training_footage(camera, data), HOLD_OUT)
    prepared = prepare_check(held_out, usual, camera.fps, 4)
    tests = load_test_clips(data / camera.folder)[:: camera.test_step]
    shape = FrameShape(SIDE, SIDE, camera.channels)
    clips = read_clips((each.source for each in tests), shape, whole=True)
    clips = [Clip(clip.name, clip.frames[:: camera.every]) for clip in clips]
    labels = [each.abnormal[:: camera.every] for each in tests]
    for name, candidate in CANDIDATES.items():
        file = out / f"{name}.json"
        is_trained = candidate.shipped or (out / name / DOCUMENT).exists()
        if candidate.camera != camera_name or file.exists() or not is_trained:
            continue
        bundle = load_candidate(name, out)
        began = time.process_time()
        check = run_check(bundle, prepared, engine=EngineName.OPENVINO_FP32)
        checked_s = time.process_time() - began
        player = ModelPlayer(bundle, EngineName.OPENVINO_FP32)
        scores = player.play_on(clips, lambda: None)
        figures = _make_figures(candidate, check, scores, labels, round(checked_s))
        file.write_text(json.dumps(asdict(figures), indent=2) + "\n")
        rows = {f"scores-{i}": each.scores for i, each in enumerate(check.checked)}
        rows |= {
            f"abnormal-{i}": each.scene.abnormal.astype(np.float64)
            for i, each in enumerate(check.checked)
        }
        rows |= {f"normal-{i}": each.scores for i, each in enumerate(check.normal)}
        kinds = np.array([each.scene.kind.value for each in check.checked])
        np.savez_compressed(out / f"{name}.npz", allow_pickle=False, kinds=kinds, **rows)
        print(f"{name}: check {check.auc:.3f}, true {figures.true_auc:.3f}", flush=True)


def _make_figures(
    candidate: Candidate,
    check: ModelCheck,
    scores: Sequence[Scores],
    labels: Sequence[Labels],
    checked_s: int,
) -> ModelFigures:
    fps = CAMERAS[candidate.camera].fps
    true = estimate_auc(labels, scores)
    if true is None:
        raise ValueError(f"{candidate.camera}: the test clips have labels of one kind only")
    outcome = measure_events(scores, labels, check.threshold, EventRules(), fps)
    return ModelFigures(
        camera=candidate.camera,
        check_auc=check.auc,
        check_low=check.auc_low,
        check_high=check.auc_high,
        difference_auc=check.frame_difference_auc,
        kinds={each.kind: each.auc for each in check.kinds},
        check_recall=check.found / check.scenes,
        check_delay_s=check.delay_s,
        is_passed=check.is_passed,
        verdict=check.verdict,
        checked_s=checked_s,
        true_auc=true.auc / 100.0,
        true_low=true.low / 100.0,
        true_high=true.high / 100.0,
        true_recall=outcome.found / outcome.labelled,
        true_delay_s=outcome.median_delay_s,
        true_false=outcome.false_events,
        true_hours=outcome.normal_hours,
    )


def compare(out: Path) -> None:
    """Print all models that were measured, and the rank correlations."""
    found = {
        name: ModelFigures(**json.loads((out / f"{name}.json").read_text()))
        for name in CANDIDATES
        if (out / f"{name}.json").exists()
    }
    print("| model | check's AUC | true AUC | check's recall | true recall | passed |")
    print("|---|---|---|---|---|---|")
    for name, each in sorted(found.items(), key=lambda item: item[1].true_auc):
        print(
            f"| {name} | {100 * each.check_auc:.1f} | {100 * each.true_auc:.1f} "
            f"| {100 * each.check_recall:.0f} | {100 * each.true_recall:.0f} "
            f"| {'yes' if each.is_passed else 'no'} |"
        )
    for camera in (None, *CAMERAS):
        chosen = [each for each in found.values() if camera in (None, each.camera)]
        if len(chosen) < 3:
            continue
        auc = spearmanr([m.check_auc for m in chosen], [m.true_auc for m in chosen]).statistic
        recall = spearmanr(
            [m.check_recall for m in chosen], [m.true_recall for m in chosen]
        ).statistic
        label = camera or "both cameras"
        print(f"{label}: {len(chosen)} models, rank correlation {auc:.2f}, of recall {recall:.2f}")


if __name__ == "__main__":
    main()
