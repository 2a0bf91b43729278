"""Makes the bundle `demo` again: draws normal footage, trains, measures on drawn test clips.

    .venv/bin/python -m scripts.train_demo [--work FOLDER] [--out model/bundles/shipped/demo]

It takes about ten minutes on two cores. The clips stay in the work folder, test clips next to their
labels.csv, so that `normwatch evaluate demo FOLDER/testing` gives the same figures.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from model.bundles import bundle as bundles
from model.data.datasets import load_test_clips
from model.data.labels import LABELS
from model.evaluation.comparison import Plan, compare
from model.evaluation.protocol import Evaluation
from model.evaluation.truth import Truth
from model.footage.clips import read_clips
from service.tools.demo.video import write_video
from service.tools.demo.walkway import Anomaly, AnomalyKind, draw_frames, label_frames

ROOT = Path(__file__).resolve().parent.parent
TRAINING_SEEDS = range(100, 116)
TRAINING_CLIP_S = 60.0
TEST_SEEDS = range(900, 906)
TEST_CLIP_S = 40.0
ONSETS_S = (8.0, 19.0, 30.0)
SIZE = "120x160"
"""Half the scene's size each way."""
EPOCHS = 3
HOLD_OUT = 0.25
NOTES = (
    "Knows the scene that normwatch draws for its demo, and nothing else: not for real cameras. "
    "Made by scripts/train_demo.py."
)


def main() -> None:
    """Draw, train, measure, save."""
    parser = argparse.ArgumentParser(description="Make the bundle of the demo again.")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "demo")
    parser.add_argument("--out", type=Path, default=ROOT / "model" / "bundles" / "shipped" / "demo")
    arguments = parser.parse_args()
    training, testing = arguments.work / "training", arguments.work / "testing"
    draw_training_videos(training)
    draw_test_videos(testing)
    trained = arguments.work / "demo"
    train(training, trained)
    finish(trained, testing, arguments.out)


def draw_training_videos(folder: Path) -> None:
    """Draw normal clips."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in TRAINING_SEEDS:
        write_video(folder / f"{seed}.mp4", draw_frames(seed, TRAINING_CLIP_S))


def draw_test_videos(folder: Path) -> None:
    """Draw clips with each kind of anomaly, in changing order, and write their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = list(AnomalyKind)
    with (folder / LABELS).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("clip", "frame", "abnormal"))
        for seed in TEST_SEEDS:
            turn = seed % len(kinds)
            order = kinds[turn:] + kinds[:turn]
            anomalies = [Anomaly(k, at_s) for k, at_s in zip(order, ONSETS_S, strict=True)]
            write_video(folder / f"{seed}.mp4", draw_frames(seed, TEST_CLIP_S, anomalies))
            for number, abnormal in enumerate(label_frames(seed, TEST_CLIP_S, anomalies)):
                rows.writerow((str(seed), number, int(abnormal)))


def train(footage: Path, out: Path) -> None:
    """Run `normwatch train` as a user would."""
    command = [sys.executable, "-m", "service", "train", str(footage), "--out", str(out)]
    options = ["--preset", "tiny", "--size", SIZE, "--colour", "grey", "--epochs", str(EPOCHS)]
    options += ["--no-pseudo-anomalies", "--crop", "0", "--batch", "4"]
    subprocess.run([*command, *options, "--hold-out", str(HOLD_OUT)], check=True, cwd=ROOT)


def finish(trained: Path, testing: Path, out: Path) -> None:
    """Measure the bundle on the test clips, and save it with the figures."""
    bundle = bundles.load(trained)
    labelled = load_test_clips(testing)
    clips = read_clips((clip.source for clip in labelled), bundle.frame_shape, whole=True)
    own = bundle.score
    plan = Plan(scores={own.name: own}, baselines=False)
    known = Truth(tuple(clip.abnormal for clip in labelled))
    measured = compare(bundle, clips, known, plan).rules[plan.rules[0]]
    results = round_aucs(measured.figures_for(own.name).evaluation)
    provenance = replace(bundle.provenance, results=results, notes=NOTES)
    if out.exists():
        shutil.rmtree(out)
    bundles.save(replace(bundle, name="demo", provenance=provenance), out)
    print(f"{out}: {results}")


def round_aucs(evaluation: Evaluation) -> dict[str, float]:
    """Round the AUCs, in percent, by name."""
    protocols = {"offline": evaluation.offline, "causal": evaluation.causal}
    return {
        f"demo.auc.{name}.micro": round(accuracy.micro, 2)
        for name, accuracy in protocols.items()
        if accuracy.micro is not None
    }


if __name__ == "__main__":
    main()
