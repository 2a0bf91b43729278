"""`normwatch import`: reference weights on disk become a bundle that scores footage."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import pytest
import torch

from model.bundles.bundle import load
from model.network.network_config import Task
from model.scoring.score_config import SCORES, NormForm
from tests.model.reference_weights import Shape, random_items, random_weights
from tests.support.commands import outcome
from tests.support.footage import drawn_picture, write_video

SIZE = ("--height", "64", "--width", "64")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Narrow weights, with the items next to them under the reference's name."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    torch.save(random_weights(Shape(width=4)), folder / "weights.pth")
    torch.save(random_items(32), folder / "keys.pt")
    return folder / "weights.pth"


def test_without_footage_it_says_that_cameras_stay_warming(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NORMWATCH_MODELS_DIR", str(tmp_path))
    out = tmp_path / "ours"
    code, said = outcome(capsys, "import", str(weights), "--out", str(out), *SIZE)
    assert code == 0, said
    assert "prediction network of width 4 for 64x64 RGB frames" in said
    assert "γ 0.01" in said
    assert "warming" in said
    assert "--normal" in said
    bundle = load(out)
    assert bundle.calibration.normal is None
    assert bundle.calibration.error_form is NormForm.ELEMENT_SQUARE
    settings = bundle.provenance.settings
    assert settings["imported_weights"] == "weights.pth"
    checksum = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert settings["imported_weights_sha256"] == checksum
    assert settings["imported_items"] == "keys.pt"
    assert "weights.pth" in bundle.provenance.notes
    code, said = outcome(capsys, "models")
    assert code == 0
    assert "Imported" in said


def test_normal_footage_gives_ranges_and_thresholds_and_the_bundle_scores(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    footage = write_video(tmp_path / "normal.mp4", map(drawn_picture, range(12)), fps=10)
    out = tmp_path / "ours"
    options = ("--normal", str(footage), "--score", "reference", *SIZE)
    code, said = outcome(capsys, "import", str(weights), "--out", str(out), *options)
    assert code == 0, said
    assert "threshold" in said
    bundle = load(out)
    assert set(bundle.calibration.thresholds) == {*SCORES, "reference"}
    assert (bundle.score.name, bundle.score.appearance_weight) == ("reference", 0.6)
    origin = bundle.provenance
    assert (origin.sources, origin.held_out_frames) == (("normal.mp4",), 12)
    assert origin.frame_rate == 10.0
    code, said = outcome(capsys, "score", str(out), str(footage))
    assert code == 0
    assert said.count(",live") == 12 - 4


def test_a_reconstruction_network_and_items_elsewhere(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "rebuilding.pth"
    torch.save(random_weights(Shape(4, 1, 1, skips=False)), other)
    command: tuple[str, ...] = ("import", str(other), "--out", str(tmp_path / "ours"), *SIZE)
    code, said = outcome(capsys, *command)
    assert (code, "--items" in said) == (2, True)
    command += ("--items", str(weights.parent / "keys.pt"))
    code, said = outcome(capsys, *command, "--task", "prediction")
    assert code == 2
    assert "reconstruction network" in said
    code, said = outcome(capsys, *command, "--task", "reconstruction")
    assert code == 0, said
    assert load(tmp_path / "ours").config.task is Task.RECONSTRUCTION
    code, said = outcome(capsys, *command)
    assert code == 2
    assert "--out" in said


def test_wrong_files_are_one_line_that_names_them(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), drawn_picture(0))
    out = ("--out", str(tmp_path / "ours"))
    for file in (tmp_path / "picture.png", tmp_path / "absent.pth"):
        items = ("--items", str(weights.parent / "keys.pt"))
        code, said = outcome(capsys, "import", str(file), *out, *items)
        assert code == 2
        assert file.name in said
        assert len(said.strip().splitlines()) == 1
    code, said = outcome(
        capsys, "import", str(weights), *out, "--normal", "rtsp://u:pw@127.0.0.1:1/1", *SIZE
    )
    assert code == 2
    assert "rtsp://***@127.0.0.1:1/1: the connection is refused" in said
    assert "pw" not in said
    assert not (tmp_path / "ours").exists()


def test_wrong_values_name_their_option_or_file(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    short = write_video(tmp_path / "short.mp4", map(drawn_picture, range(3)), fps=10)
    long, few, narrow = (tmp_path / f"{name}.pt" for name in ("long", "few", "narrow"))
    torch.save(3.0 * torch.nn.functional.normalize(torch.rand(10, 32), dim=1), long)
    torch.save(torch.nn.functional.normalize(torch.rand(1, 32), dim=1), few)
    torch.save(torch.nn.functional.normalize(torch.rand(10, 31), dim=1), narrow)
    wrong = [
        ("--height", "100", "multiple of 8"),
        ("--width", "8", "at least 16"),
        ("--items", str(long), "of length 1"),
        ("--items", str(few), "M at least 2"),
        ("--items", str(narrow), "(M, C)"),
        ("--normal", str(tmp_path / "empty"), "no videos"),
        ("--normal", str(short), "too short"),
        ("--out", "/proc/x", "cannot be written"),
        ("--out", str(short), "is a file"),
    ]
    for option, value, words in wrong:
        options = {"--out": str(tmp_path / "ours"), "--height": "64", "--width": "64"}
        options[option] = value
        code, said = outcome(
            capsys, "import", str(weights), *(word for pair in options.items() for word in pair)
        )
        assert code == 2, said
        line = said.strip().splitlines()[-1]
        assert line.startswith(f"normwatch: {option}: ")
        assert words in line and value in line
    assert not (tmp_path / "ours").exists()
    other = tmp_path / "other.pth"
    torch.save({"x": torch.ones(1)}, other)
    items = ("--items", str(weights.parent / "keys.pt"))
    code, said = outcome(capsys, "import", str(other), "--out", str(tmp_path / "ours"), *items)
    assert code == 2
    assert str(other) in said
