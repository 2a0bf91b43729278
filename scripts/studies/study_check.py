"""Measures whether the check of a model predicts what labelled footage says of it.

    python -m scripts.studies.study_check list
    python -m scripts.studies.study_check train NAME --data SHARED --out FOLDER
    python -m scripts.studies.study_check measure NAME --data SHARED --out FOLDER
    python -m scripts.studies.study_check compare --out FOLDER

SHARED holds `ped2` and `coffee-room`. `measure` checks a model on held-out footage, then scores the
labelled test clips with it; `compare` ranks all models that were measured. No model is trained on
the clips that `measure` holds out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from model.bundles.bundle import Bundle, load, save
from model.bundles.calibration_config import Calibration
from model.bundles.catalog import DOCUMENT, Provenance, find_bundle
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
class Camera:
    """A labelled camera."""

    folder: str
    channels: int
    fps: float
    every: int
    """Of the test frames every so-manieth is taken."""
    test_step: int
    """Of the test clips every so-manieth is taken."""


CAMERAS = {
    "ped2": Camera("ped2", 1, 10.0, 1, 1),
    "coffee": Camera("coffee-room", 3, 25.0 / 3.0, 3, 2),
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


ALL = float("inf")
CANDIDATES = {
    "ped2-16s-short": Candidate("ped2", "fast", 16.0, 2),
    "coffee-16s-short": Candidate("coffee", "fast", 16.0, 2),
    "ped2-60s-short": Candidate("ped2", "fast", 60.0, 2),
    "coffee-60s-short": Candidate("coffee", "fast", 60.0, 2),
    "ped2-all-1": Candidate("ped2", "fast", ALL, 1),
    "coffee-all-1": Candidate("coffee", "fast", ALL, 1),
    "ped2-16s-long": Candidate("ped2", "fast", 16.0, 20),
    "coffee-16s-long": Candidate("coffee", "fast", 16.0, 20),
    "ped2-60s-tiny": Candidate("ped2", "tiny", 60.0, 4),
    "coffee-60s-tiny": Candidate("coffee", "tiny", 60.0, 4),
    "ped2-60s-long": Candidate("ped2", "fast", 60.0, 8),
    "coffee-60s-long": Candidate("coffee", "fast", 60.0, 8),
    "ped2-all-3": Candidate("ped2", "fast", ALL, 3),
    "coffee-all-3": Candidate("coffee", "fast", ALL, 3),
    "ped2-60s-seed1": Candidate("ped2", "fast", 60.0, 4, seed=1),
    "coffee-60s-seed1": Candidate("coffee", "fast", 60.0, 4, seed=1),
    "ped2-all-tiny": Candidate("ped2", "tiny", ALL, 1, seed=1),
    "coffee-all-tiny": Candidate("coffee", "tiny", ALL, 1, seed=1),
    "ped2-fast": Candidate("ped2", "fast", ALL, 40, shipped="ped2-fast"),
}
"""From the quickest to the longest training."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step of the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("step", choices=("list", "train", "measure", "compare"))
    parser.add_argument("name", nargs="?", choices=tuple(CANDIDATES))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/check"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.step == "list":
        print("\n".join(CANDIDATES))
    elif options.step == "train":
        train(options.name, options.data, options.out)


def read_training_footage(camera: Camera, data: Path) -> list[Clip]:
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


if __name__ == "__main__":
    main()
