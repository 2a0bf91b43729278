"""`service` imports `model`, never the other way; some names stay; some modules need no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import model

ROOT = Path(model.__file__).parent
TORCHLESS = (
    "bundles.catalog",
    "bundles.calibration_config",
    "network.network_config",
    "scoring.score_config",
    "engines.required_measures",
    "network.cost",
    "engines.crops",
    "data.datasets",
    "engines.names",
    "events.event_detection",
    "footage.clips",
    "frames",
    "scene.exposure",
    "scene.features",
    "data.labels",
    "scene.light",
    "scene.scene_phases",
    "data.masks",
    "events.peaks",
    "scene.relighting",
    "network.update_rules",
    "scene.scene",
    "scene.scene_rules",
    "stages",
    "scene.stillness",
    "scoring.zones",
    "events.tails",
    "training.footage_review",
)

PUBLIC = {
    "bundles.bundle": ("Bundle", "load", "save"),
    "training.footage_review": ("FootageReview", "review_footage"),
    "evaluation.model_check": ("ModelCheck", "check_model"),
    "evaluation.check_report": ("save_report",),
    "training.bundle_calibration": ("calibrate", "split_clips", "measure_clips", "score_causally"),
    "bundles.calibration_config": ("Calibration",),
    "detect.camera_state": ("CameraState",),
    "bundles.catalog": (
        "BundleError",
        "BundleInfo",
        "find_bundle",
        "list_bundles",
        "read_document",
    ),
    "detect.detector": ("Detector",),
    "engines.choice": ("choose_engine", "open_engine"),
    "engines.engine": ("EngineError",),
    "training.bundle_quantisation": ("quantise_bundle",),
    "engines.names": ("EngineName",),
    "scene.features": ("Features", "extract"),
    "footage.clips": ("Clip", "read_clips"),
    "footage.footage_error": ("FootageError",),
    "footage.footage_reader": ("FootageReader",),
    "frames": ("Frame", "FrameShape", "fit"),
    "network.network_config": ("NetConfig",),
    "detect.observation": ("CameraOptions", "Observation", "Withheld"),
    "bundles.reference_import": ("convert", "read_items", "read_weights"),
    "network.update_rules": ("LIVE_UPDATE", "UPDATE_RULES", "UpdateRule"),
    "scoring.score_config": ("JUDGED", "LIVE", "PAPER", "ScoreConfig"),
    "events.tails": ("find_threshold",),
    "training.trainer": ("TrainConfig", "Training"),
    "scoring.zones": ("build_zone_mask",),
}
"""The names that code outside of `model` may build on."""

ORDER = (
    "validation", "frames", "stages", "footage", "scoring", "network", "scene", "standing",
    "bundles", "engines", "detect", "events", "data", "training", "evaluation",
)  # fmt: skip
"""Folders and single modules of `model`: each imports only itself and those before it."""
MUTUAL = {"training", "evaluation"}
"""Calibration chooses a score by evaluation's figures, and evaluation calibrates its baselines."""


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_the_model_knows_nothing_of_the_service() -> None:
    files = sorted(ROOT.glob("**/*.py"))
    assert files
    for file in files:
        assert not _imported(file) & {"service", "tests", "fastapi", "redis", "sqlalchemy"}, file


def test_imports_lead_one_way() -> None:
    for file in sorted(ROOT.glob("*/**/*.py")):
        here = file.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(file.read_text())):
            names = (node.module or "").split(".") if isinstance(node, ast.ImportFrom) else []
            if names[:1] == ["model"]:
                other = names[1] if len(names) > 1 else node.names[0].name
                is_before = ORDER.index(other) <= ORDER.index(here)
                assert is_before or {here, other} == MUTUAL, f"{file} imports {'.'.join(names)}"


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_exist(module: str) -> None:
    found = vars(import_module(f"model.{module}"))
    assert not [name for name in PUBLIC[module] if name not in found]


def test_bundles_and_footage_are_read_without_torch() -> None:
    code = "import sys; " + "; ".join(f"import model.{name}" for name in TORCHLESS)
    code += "; from model.bundles.catalog import list_bundles; list_bundles()"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True, text=True, check=True, cwd=ROOT.parent,
    )  # fmt: skip
    assert done.stdout.strip() == "False"
