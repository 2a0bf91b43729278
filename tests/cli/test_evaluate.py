"""`normwatch evaluate` on clips that the test draws: a square that walks by, and then fills up."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.bundles import bundle as bundles
from model.bundles.calibration_config import Calibration
from model.footage.clips import read_clips
from model.footage.footage_search import find_footage
from model.network.update_rules import UPDATE_RULES
from model.scoring.score_config import SCORES
from model.training.bundle_calibration import calibrate
from service.cli.main import main
from tests.support.bundles import small_bundle
from tests.support.commands import refusal, run
from tests.support.footage import draw_clip, drawn_picture

pytestmark = pytest.mark.usefixtures("environment")
LENGTH = 40
ONSET = 20


def _label(file: Path, clips: dict[str, bool]) -> None:
    with file.open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(("clip", "frame", "abnormal"))
        for name, abnormal in clips.items():
            for step in range(LENGTH):
                rows.writerow((name, step, int(abnormal and step >= ONSET)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`training/` with two clips, `testing/` with two labelled ones and their masks."""
    root = tmp_path_factory.mktemp("data")
    for name in ("0", "1"):
        draw_clip(root / "training" / name, 5 * int(name), LENGTH)
        draw_clip(
            root / "testing" / "frames" / name,
            3 + int(name),
            LENGTH,
            ONSET if name == "1" else None,
        )
    _label(root / "testing" / "labels.csv", {"0": False, "1": True})
    masks = root / "testing" / "masks" / "1"
    masks.mkdir(parents=True)
    for step in range(LENGTH):
        mask = np.zeros((96, 96), np.uint8)
        if step >= ONSET:
            mask[10:90, (11 * step) % 60 :] = 255
        cv2.imwrite(str(masks / f"{step:03}.png"), mask)
    return root


@pytest.fixture(scope="module")
def bundle(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained bundle, calibrated on the training clips."""
    fresh = replace(small_bundle("square"), calibration=Calibration())
    sources = find_footage([str(data / "training")]).sources
    calibrated = calibrate(fresh, read_clips(sources, fresh.frame_shape))
    path = tmp_path_factory.mktemp("models") / "square"
    bundles.save(calibrated, path)
    return str(path)


def _evaluate(bundle: str, data: Path, folder: Path, *options: str) -> dict[str, object]:
    figures = folder / "figures.json"
    where = ("--json", str(figures), "--plot", str(folder / "curves.png"))
    run("evaluate", bundle, str(data), *where, *options)
    found: dict[str, object] = json.loads(figures.read_text())
    return found


def _at(found: object, *path: str | int) -> object:
    for key in path:
        assert isinstance(found, dict | list)
        found = found[key]
    return found


def _number(found: object, *path: str | int) -> float:
    value = _at(found, *path)
    assert isinstance(value, int | float)
    return float(value)


def test_clips_too_short_to_be_scored_are_refused(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "frames" / "0").mkdir(parents=True)
    for step in range(4):
        cv2.imwrite(str(tmp_path / "frames" / "0" / f"{step}.png"), drawn_picture(step))
    (tmp_path / "labels.csv").write_text("clip,frame,abnormal\n0,0,0\n0,1,0\n0,2,1\n0,3,1\n")
    plot = tmp_path / "curves.png"
    with pytest.raises(SystemExit) as left:
        main(["evaluate", bundle, str(tmp_path), "--plot", str(plot)])
    assert left.value.code == 2
    assert "no clip there has more than the 4 frames that come first" in capsys.readouterr().err
    assert not plot.exists()


def test_where_nothing_moves_there_are_figures_but_no_kinds(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, masks = tmp_path / "frames" / "0", tmp_path / "masks" / "0"
    for folder in (frames, masks):
        folder.mkdir(parents=True)
    for step in range(12):
        mask = np.zeros((96, 96), np.uint8)
        mask[20:60, 20:60] = 255 * (step >= 8)
        cv2.imwrite(str(masks / f"{step:02}.png"), mask)
        cv2.imwrite(str(frames / f"{step:02}.png"), np.maximum(drawn_picture(0), mask[..., None]))
    rows = [f"0,{step},{int(step >= 8)}" for step in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join(("clip,frame,abnormal", *rows)))
    found = _evaluate(bundle, tmp_path, tmp_path, "--scores", "live", "--no-baselines")
    assert _number(found, "auc", "causal", "micro") >= 0.0
    assert found["auc_by_kind"] == {}
    assert "No AUC by kind: nothing moves outside the masks" in capsys.readouterr().out


def test_figures_by_name_tables_and_curves(
    bundle: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _evaluate(bundle, data, tmp_path, "--normal", str(data / "training"))
    for protocol in ("offline", "causal"):
        assert 50.0 < _number(found, "auc", protocol, "micro") <= 100.0
        assert _at(found, "auc", protocol) == _at(found, "scores", "live", "auc", protocol)
        for name in SCORES:
            assert _at(found, "scores", name, "auc", protocol, "micro") is not None
            for baseline in ("frame difference", "MOG2"):
                path = ("baselines", baseline, "scores", name, "auc", protocol, "micro")
                assert _at(found, *path) is not None
    assert found["frames"] == {
        "all": 2 * LENGTH,
        "scored": 2 * (LENGTH - 4),
        "abnormal": LENGTH - ONSET,
    }
    assert _at(found, "events", "at_threshold", "labelled") == 1
    assert _number(found, "regions", "rbdc") > 0.0
    assert _number(found, "memory", "updated_share") > 0.0
    drawn = cv2.imread(str(tmp_path / "curves.png"))
    assert drawn is not None and drawn.std() > 1.0
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 100
    for word in ("offline", "causal", "frame difference", "MOG2", "RBDC", "at event recall 0.95"):
        assert word in output
    assert "--normal gives both" not in output


def test_without_normal_footage_it_says_where_ranges_come_from(
    bundle: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _evaluate(bundle, data, tmp_path, "--scores", "live")
    start = _at(found, "baselines", "MOG2", "ranges_from")
    assert start == {"normal_footage": False, "frames": (LENGTH - 4) * 2 // 4}
    assert _at(found, "baselines", "MOG2", "scores", "live", "events", "at_threshold") is None
    assert "the first 18 test frames" in " ".join(capsys.readouterr().out.split())


def test_another_score_gate_rate_and_frozen_memory(bundle: str, data: Path, tmp_path: Path) -> None:
    options = ("--score", "paper", "--gamma", "0.5", "--memory", "frozen", "--fps", "20")
    found = _evaluate(bundle, data, tmp_path, *options, "--no-baselines")
    assert found["auc"] == _at(found, "scores", "paper", "auc")
    assert found["memory"] == {"gamma": 0.5, "updated_share": 0.0, "drift_deg": 0.0}
    assert found["baselines"] == {}
    normal_frames = LENGTH - 4  # of clip 0; in clip 1 all lie within a second of the event
    hours = _number(found, "events", "at_threshold", "normal_hours")
    assert hours == pytest.approx(normal_frames / 20 / 3600)


def test_memory_rules_stand_side_by_side(
    bundle: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--memory", "paper", "--memory", "off", "--gamma", "9", "--scores", "live")
    found = _evaluate(bundle, data, tmp_path, *options, "--no-baselines")
    assert _number(found, "memory_rules", "paper", "memory", "updated_share") == 1.0
    assert _number(found, "memory_rules", "paper", "memory", "drift_deg") > 0.0
    assert _number(found, "memory_rules", "off", "memory", "updated_share") == 0.0
    scores = _at(found, "scores")
    assert isinstance(scores, dict) and list(scores) == ["live"]
    assert "Memory rules, score live" in capsys.readouterr().out


def test_all_memory_rules_are_those_that_have_names(bundle: str, tmp_path: Path) -> None:
    draw_clip(tmp_path / "testing" / "0", 3, LENGTH)
    _label(tmp_path / "testing" / "labels.csv", {"0": False})
    options = ("--memory", "all", "--scores", "live", "--no-baselines")
    rules = _at(_evaluate(bundle, tmp_path, tmp_path, *options), "memory_rules")
    assert isinstance(rules, dict) and list(rules) == list(UPDATE_RULES)


@pytest.mark.parametrize(
    ("chosen", "start"), [((), "frame "), (("--figure-frame", "7"), "frame 7")]
)
def test_a_figure_shows_a_frame_of_a_clip(
    bundle: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    chosen: tuple[str, ...],
    start: str,
) -> None:
    picture = tmp_path / "moment.png"
    figure = ("--figure", "1", "--figure-out", str(picture), "--no-baselines")
    _evaluate(bundle, data, tmp_path, "--scores", "live", *figure, *chosen)
    drawn = cv2.imread(str(picture))
    assert drawn is not None and drawn.std() > 1.0
    line = next(line for line in capsys.readouterr().out.splitlines() if "of clip 1" in line)
    assert line.startswith(start)
    number = int(line.split()[1])
    assert number == 7 if chosen else number >= ONSET


def test_normal_footage_alone_has_no_figures_but_is_no_error(bundle: str, tmp_path: Path) -> None:
    draw_clip(tmp_path / "testing" / "0", 3, LENGTH)
    _label(tmp_path / "testing" / "labels.csv", {"0": False})
    found = _evaluate(bundle, tmp_path / "testing", tmp_path)
    assert _at(found, "auc", "causal") == {"micro": None, "macro": None}
    assert _at(found, "events", "at_recall") == []
    assert _at(found, "events", "at_threshold", "labelled") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--score", "best"), ("--score", "best", "live, paper")),
        (("--scores", "best"), ("--scores", "best", "live, paper")),
        (("--scores", "live", "--score", "paper"), ("--score", "paper", "--scores live")),
        (("--memory", "big"), ("--memory", "big", "frozen")),
        (("--gamma", "nan"), ("gamma", "nan")),
        (("--fps", "nan"), ("--fps", "nan")),
        (("--fps", "-3"), ("--fps", "-3")),
        (("--layout", "street"), ("--layout", "street", "ped2")),
        (("--normal", "/no/such"), ("--normal", "/no/such")),
        (("--normal", "/tmp", "--no-baselines"), ("--normal", "/tmp", "--baselines")),
        (("--json", "/no/such/f.json"), ("--json", "/no/such/f.json")),
        (("--plot", "/tmp"), ("--plot", "/tmp")),
        (("--figure", "9"), ("--figure", "9", "0, 1")),
        (("--figure", "1", "--figure-frame", "3"), ("--figure-frame", "3", "from 4 to 39")),
        (("--figure", "1", "--figure-frame", "40"), ("--figure-frame", "40", "from 4 to 39")),
        (("--figure-frame", "7"), ("--figure-frame", "7", "--figure CLIP")),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    options: tuple[str, ...],
    words: tuple[str, ...],
    bundle: str,
    data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refusal(capsys, "evaluate", bundle, str(data), *options)
    for word in words:
        assert word in line


def test_bad_bundles_data_and_labels_are_refused_in_one_line(
    bundle: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no-such" in refusal(capsys, "evaluate", "no-such", str(data))
    assert "labels.csv" in refusal(capsys, "evaluate", bundle, str(tmp_path))
    assert "/no/such" in refusal(capsys, "evaluate", bundle, "/no/such")
    draw_clip(tmp_path / "0", 3, LENGTH)
    (tmp_path / "labels.csv").write_text("clip,frame,abnormal\n0,0,1\n")
    line = refusal(capsys, "evaluate", bundle, str(tmp_path))
    assert f"clip 0 has {LENGTH} frames but 1 labels" in line
