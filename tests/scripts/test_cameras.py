"""`python -m scripts.cameras` on drawn footage: labelled, synthetic, resumed, and worst first."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.bundles import bundle as bundles
from model.bundles.calibration_config import Calibration
from model.footage.clips import read_clips
from model.footage.footage_search import find_footage
from model.network.network_config import NetConfig
from model.scoring.score_config import JUDGED
from model.training.bundle_calibration import calibrate, split_clips
from scripts.cameras.__main__ import main
from scripts.cameras.camera_list import CameraEntry, CameraListError, read_list, read_result
from tests.model.evaluation.test_synthetic_anomalies import SIZE, draw_walkers
from tests.support.bundles import small_bundle

FRAMES, ONSET = 50, 25


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight normal clips, and two labelled ones: in the second a bright block appears."""
    root = tmp_path_factory.mktemp("data")
    for number in range(8):
        _write(root / "training" / str(number), draw_walkers("n", FRAMES, number).frames)
    rows = ["clip,frame,abnormal"]
    for name in ("0", "1"):
        frames = draw_walkers("t", FRAMES, 5 + int(name)).frames
        if name == "1":
            frames[ONSET:, 10:80, 30:60] = 250
        _write(root / "testing" / "frames" / name, frames)
        rows += [f"{name},{i},{int(name == '1' and i >= ONSET)}" for i in range(FRAMES)]
    (root / "testing" / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def _write(folder: Path, frames: NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{index:03}.png"), frame)


@pytest.fixture(scope="module")
def bundle(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained bundle whose network judges."""
    net = NetConfig(base_width=2, height=SIZE, width=SIZE, memory_items=3, judges=True)
    fresh = replace(small_bundle("walk", net=net), calibration=Calibration(), score=JUDGED)
    clips = read_clips(find_footage([str(data / "training")]).sources, fresh.frame_shape)
    path = tmp_path_factory.mktemp("models") / "walk"
    bundles.save(calibrate(fresh, split_clips(clips, 0.125, 4)[1]), path)
    return path


@pytest.fixture
def listed(data: Path, bundle: Path, tmp_path: Path) -> Path:
    normal = str(data / "training")
    labelled = {"name": "walk", "normal": normal, "labelled": str(data), "bundle": str(bundle)}
    synthetic = {"name": "pasted", "normal": normal, "bundle": str(bundle), "scenes_a_kind": 1}
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"cameras": [synthetic, labelled]}))
    return path


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["scripts.cameras", *arguments, "--usual-priority"])
    return main()


def test_all_cameras_are_measured_once_and_the_labelled_come_first(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert _run(monkeypatch, str(listed), "--out", str(out)) == 0
    documents = {
        each["entry"]["name"]: each for each in json.loads((out / "cameras.json").read_text())
    }
    walk = documents["walk"]["scores"]
    assert {
        "paper",
        "live",
        "chosen",
        "frame difference",
        "MOG2",
        "judged",
        "judgement",
    } <= walk.keys()
    assert walk["chosen"]["labelled"] == 1
    for score in ("live", "frame difference"):
        causal = walk[score]["causal"]
        assert causal["low"] <= causal["auc"] <= causal["high"]
    assert not documents["walk"]["synthetic"]
    assert documents["pasted"]["synthetic"]
    assert documents["pasted"]["scores"]["chosen"]["rbdc"] is not None
    table = (out / "cameras.md").read_text().splitlines()
    assert table[2].startswith("| walk |")
    assert table[3].startswith("| pasted, synthetic |")
    written = (out / "walk.json").stat().st_mtime_ns
    assert _run(monkeypatch, str(listed), "--out", str(out), "--only", "walk") == 0
    assert (out / "walk.json").stat().st_mtime_ns == written


def test_a_result_of_another_entry_is_measured_again(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert read_result(tmp_path / "a.json", CameraEntry(name="a", normal="x")) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Invalid JSON"),
        ('{"cameras": [{"name": "a"}]}', "cameras.0.normal"),
        ('{"cameras": [{"name": "a", "normal": "x"}, {"name": "a", "normal": "y"}]}', "one name"),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_its_fault(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(CameraListError, match=words):
        read_list(path)


def test_a_camera_that_cannot_be_measured_does_not_stop_the_others(
    listed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = json.loads(listed.read_text())
    document["cameras"][0]["bundle"] = "nowhere"
    listed.write_text(json.dumps(document))
    out = tmp_path / "out"
    assert _run(monkeypatch, str(listed), "--out", str(out)) == 1
    assert "pasted: no bundle 'nowhere'" in capsys.readouterr().err
    assert (out / "walk.json").exists()
