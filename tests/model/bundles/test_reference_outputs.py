"""An imported network gives what the reference implementation itself gave, frame after frame.

`../shared/data/reference` holds outputs of the authors' code. Their frames are read as BGR and
resized with OpenCV's default interpolation; the same pixels are fed here, in RGB order, so that the
comparison is one of the network, the measures and the memory, not of how pictures are shrunk.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.bundles.bundle import Bundle, load
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.engines.choice import open_engine
from model.engines.names import EngineName
from model.engines.required_measures import find_required_measures
from model.frames import Frame
from model.network.network_config import Task
from model.network.update_rules import UPDATE_RULES
from tests.model.reference_weights import Shape, random_items, random_weights, tensor_shapes
from tests.support.commands import run

pytestmark = pytest.mark.shared

SHAPES = {Task.PREDICTION: Shape(), Task.RECONSTRUCTION: Shape(frames=1, skips=False)}
TOLERANCES = {
    "mean_square": 1e-7,
    "psnr_db": 4e-6,
    "distance": 1e-9,
    "gate_error": 3e-7,
    "predicted": 2.0**-12 + 1e-5,
    "predicted_past_rounding": 1e-5,
    "items": 1e-6,
}
"""A few times what was measured, which is the rounding of float32: another processor may add sums
up in another order. No query is so near to two items that this decides which one is nearest: the
least difference in similarity is 1e-5.

The predicted frames are stored in float16. From 0.5 to 1 its values lie 2^-11 apart, so a pixel is
stored up to 2^-12 = 2.4e-4 off. `predicted_past_rounding` leaves that out: it is how much a pixel
differs beyond half the distance of float16's values at its size.
"""
EVERY_FRAME = CameraOptions(gamma=1e9, watch_scene=False, update=UPDATE_RULES["reference"])
"""Each frame updates the memory, as it did when the outputs were made."""


@dataclass(frozen=True)
class Outputs:
    """Results for consecutive frames. `rows` has a column for each measure."""

    rows: NDArray[np.float64]
    """(frames, 4): mean squared error, P in dB, D, E_t."""
    predicted: NDArray[np.float64]
    """(2, 3, 256, 256): the first two, BGR, in [0, 1]."""
    items: NDArray[np.float64]
    """(frames, M, C): after each frame."""


@pytest.fixture(scope="module")
def reference(shared: Path) -> Path:
    return shared / "data" / "reference"


@pytest.fixture(scope="module")
def frames(ped2: Path) -> list[Frame]:
    """The first ten of Ped2's test clip 01, RGB."""
    paths = sorted((ped2 / "testing" / "frames" / "01").glob("*.jpg"))[:10]
    resized = [cv2.resize(cv2.imread(str(path)), (256, 256)) for path in paths]
    return [np.ascontiguousarray(frame[:, :, ::-1], np.uint8) for frame in resized]


@pytest.mark.parametrize("task", Task)
def test_names_and_shapes_are_the_references(reference: Path, task: Task) -> None:
    theirs = json.loads((reference / f"{task}.shapes.json").read_text())
    assert {name: tuple(size) for name, size in theirs.items()} == tensor_shapes(SHAPES[task])


@pytest.mark.parametrize("task", Task)
def test_every_figure_agrees_with_the_references_own(
    reference: Path, frames: list[Frame], task: Task, tmp_path: Path
) -> None:
    bundle = _import(task, tmp_path)
    theirs = _read_outputs(reference / f"{task}.npz", bundle, len(frames))
    found = _greatest_differences(_compute_outputs(bundle, frames), theirs)
    print(f"\n{task}:", ", ".join(f"{name} {value:.1e}" for name, value in found.items()))
    assert {name: value for name, value in found.items() if value > TOLERANCES[name]} == {}


def _greatest_differences(ours: Outputs, theirs: Outputs) -> dict[str, float]:
    """Over all frames, by the names of `TOLERANCES`."""
    rows = np.abs(ours.rows - theirs.rows).max(axis=0)
    predicted = np.abs(ours.predicted - theirs.predicted)
    rounding = np.spacing(theirs.predicted.astype(np.float16)).astype(float) / 2
    values = (*rows, predicted.max(), (predicted - rounding).max())
    items = np.abs(ours.items - theirs.items).max()
    return dict(zip(TOLERANCES, map(float, (*values, items)), strict=True))


def _import(task: Task, folder: Path) -> Bundle:
    """The bundle that `normwatch import` writes for the reference's weights."""
    torch.save(random_weights(SHAPES[task]), folder / "weights.pth")
    torch.save(random_items(512), folder / "keys.pt")
    out = folder / "imported"
    run("import", str(folder / "weights.pth"), "--out", str(out), "--score", "reference")
    return load(out)


def _read_outputs(path: Path, bundle: Bundle, count: int) -> Outputs:
    with np.load(path) as saved:
        rows, predicted, items = saved["rows"], saved["predicted"], saved["items"]
    assert rows[:, 0].tolist() == list(range(bundle.config.context, count))
    return Outputs(rows[:, 1:].astype(float), predicted.astype(float), items.astype(float))


def _compute_outputs(bundle: Bundle, frames: Sequence[Frame]) -> Outputs:
    """The frames' outputs in the way that live cameras are scored."""
    detector = Detector(bundle)
    engine = open_engine(EngineName.TORCH_FP32, bundle, find_required_measures(bundle), "cpu", 1)
    camera = detector.start()
    context = bundle.config.context
    rows, predicted, items = [], [], []
    for index, frame in enumerate(frames):
        if index >= context and len(predicted) < 2:
            stack = np.stack(frames[index - context : index + 1]).transpose(0, 3, 1, 2)
            stack = np.ascontiguousarray(stack).reshape(1, -1, *stack.shape[2:])
            rgb = engine.predict(stack, camera.items[None], np.array([True]))
            predicted.append(rgb[0].numpy()[::-1])
        (seen,) = detector.observe([camera], [frame], [EVERY_FRAME])
        if index < context:
            continue
        assert seen.memory_updated
        assert seen.psnr is not None
        mean_square = 10 ** (-seen.psnr / 10)  # P's peak is 1
        rows.append((mean_square, seen.psnr, seen.distance, seen.gate_error))
        items.append(camera.items.numpy())
    return Outputs(np.array(rows), np.array(predicted), np.array(items))
