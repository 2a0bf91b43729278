"""train --start: a run begins with the weights of a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.bundles.catalog import read_document
from model.training.warm_start import AUTO
from service.cli.train import AUTO_START
from tests.support.commands import outcome, refusal
from tests.support.footage import draw_clip

TINY = (
    *("--preset", "tiny", "--width", "4", "--size", "64x64", "--epochs", "1"),
    *("--seed", "3", "--threads", "1", "--fps", "10"),
)
pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of a square that walks by."""
    root = tmp_path_factory.mktemp("footage")
    for number in range(2):
        draw_clip(root / f"{number}", 5 * number, 20)
    return root


def test_a_training_starts_from_another_bundle_and_its_provenance_says_so(
    footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    starts = []
    # Nothing that is included has such a network: `auto` begins with random weights.
    for name, options in (
        ("grey", ("--colour", "grey")),
        ("rgb", ("--colour", "rgb", "--start", str(tmp_path / "grey"))),
    ):
        out = str(tmp_path / name)
        code, said = outcome(capsys, "train", str(footage), "--out", out, *TINY, *options)
        assert code == 0, said
        starts.append(" ".join(said.split()))
        assert read_document(tmp_path / name).net.channels == (1 if name == "grey" else 3)
    assert "steps from random weights" in starts[0]
    assert "steps from grey weights" in starts[1]
    settings = [read_document(tmp_path / name).provenance.settings for name in ("grey", "rgb")]
    assert [each["start"] for each in settings] == [None, "grey"]


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("ped2-fast", ("--start", "ped2-fast has another architecture")),
        ("nowhere", ("no bundle 'nowhere'", "ped2-fast")),
    ],
)
def test_a_start_that_does_not_fit_is_refused_in_one_line(
    start: str,
    words: tuple[str, ...],
    footage: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "x"
    line = refusal(capsys, "train", str(footage), "--out", str(out), *TINY, "--start", start)
    for word in words:
        assert word in line
    assert not out.exists()


def test_the_default_is_that_of_the_model() -> None:
    assert AUTO_START == AUTO
