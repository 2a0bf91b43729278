"""train, evaluate, score and models on clips that the test draws: a square that walks by."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.bundles import bundle as bundles
from model.bundles.bundle import load
from model.bundles.catalog import DOCUMENT, SHIPPED, read_document
from model.bundles.composition import Composition, CompositionCandidate
from model.network.network_config import MemoryKind
from model.scoring.score_config import JUDGED, LIVE, SCORES
from tests.support.bundles import save_small_bundle, small_bundle
from tests.support.commands import refusal, run
from tests.support.footage import draw_clip, drawn_picture, write_video
from tests.support.servers import wait_for

TINY = {
    "--preset": "tiny",
    "--width": "4",
    "--size": "64x64",
    "--epochs": "2",
    "--seed": "3",
    "--threads": "1",
}
pytestmark = pytest.mark.usefixtures("environment")
LENGTH = 24
ONSET = 14


def _tiny(*options: str) -> list[str]:
    """The options of a tiny training, those that are given in place of its own."""
    merged = TINY | dict(zip(options[::2], options[1::2], strict=False))
    return [word for pair in merged.items() for word in pair] + list(options[len(options) & ~1 :])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`training/` with two clips, `testing/` with two labelled ones."""
    root = tmp_path_factory.mktemp("data")
    for number in range(2):
        draw_clip(root / "training" / f"{number}", 5 * number, LENGTH)
        draw_clip(
            root / "testing" / "frames" / f"{number}",
            3 + number,
            LENGTH,
            ONSET if number == 1 else None,
        )
    with (root / "testing" / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("clip", "frame", "abnormal"))
        for number in range(2):
            for step in range(LENGTH):
                rows.writerow((number, step, int(number == 1 and step >= ONSET)))
    return root


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle as the command trains it."""
    out = tmp_path_factory.mktemp("models") / "square"
    run("train", str(data / "training"), "--out", str(out), *_tiny("--fps", "10"))
    return out


def test_train_writes_a_calibrated_bundle_with_its_provenance(trained: Path, data: Path) -> None:
    bundle = load(trained)
    assert (bundle.config.base_width, bundle.config.height, bundle.config.width) == (4, 64, 64)
    assert bundle.config.channels == 1
    calibration, origin = bundle.calibration, bundle.provenance
    assert calibration.normal is not None
    assert bundle.config.judges
    assert bundle.score == JUDGED
    assert set(calibration.thresholds) == {*SCORES, "judgement", "judged"}
    assert (origin.sources, origin.frame_rate, origin.seed) == (("0", "1"), 10.0, 3)
    assert origin.frames + origin.held_out_frames == 2 * LENGTH
    assert (origin.epochs, origin.steps) == (2, 2 * -(-2 * (LENGTH - 6 - 4) // 8))
    assert origin.training_s > 0.0
    assert not trained.with_name("square.checkpoint").exists()


def test_train_repeats_itself_with_one_seed_and_tells_how_it_goes(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "again"
    run("train", str(data / "training"), "--out", str(out), *_tiny("--fps", "10"))
    one, other = load(trained), load(out)
    assert one.calibration == other.calibration
    assert np.array_equal(one.items.numpy(), other.items.numpy())
    output = " ".join(capsys.readouterr().out.split())
    assert "36 frames to train on, 12 held out, 8 steps" in output
    assert "too short to compare scores: the judgement has its usual weight, 0.5" in output
    for words in ("loss", "frame", "compact", "separate", "/10 items used", "s left", "γ"):
        assert words in output


def test_train_without_pseudo_anomalies_gives_a_network_that_judges_nothing(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "plain"
    options = _tiny("--fps", "10", "--crop", "0")
    run("train", str(data / "training"), "--out", str(out), "--no-pseudo-anomalies", *options)
    bundle = load(out)
    assert not bundle.config.judges
    assert bundle.score == LIVE
    assert set(bundle.calibration.thresholds) == set(SCORES)
    assert bundle.provenance.settings["pseudo_anomalies"] is False


def test_train_and_evaluate_take_memaes_memory(data: Path, tmp_path: Path) -> None:
    out, figures = tmp_path / "memae", tmp_path / "figures.json"
    options = _tiny("--memory", "memae", "--items", "50", "--shrinkage", "2", "--fps", "10")
    run("train", str(data / "training"), "--out", str(out), *options)
    bundle = load(out)
    assert (bundle.config.memory, bundle.config.memory_shrinkage) == (MemoryKind.MEMAE, 2.0)
    assert bundle.items.shape == (1, 50, 32)
    where = ("--json", str(figures), "--plot", str(tmp_path / "picture.png"))
    run("evaluate", str(out), str(data), "--score", "live", *where)
    assert json.loads(figures.read_text())["auc"]["causal"]["micro"] > 50.0


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_score_writes_a_row_a_frame(trained: Path, data: Path, tmp_path: Path, form: str) -> None:
    out, picture = tmp_path / "scores", tmp_path / "plot.png"
    clip = data / "testing" / "frames" / "1"
    options = ("--format", form, "--out", str(out), "--plot", str(picture))
    run("score", str(trained), str(clip), *options)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file)) if form == "csv" else list(map(json.loads, file))
    assert [int(row["frame"]) for row in rows] == list(range(LENGTH))
    assert [row["state"] for row in rows] == ["warming"] * 4 + ["live"] * (LENGTH - 4)
    assert all(row["score"] in ("", None) for row in rows[:4])
    scores = [float(row["score"]) for row in rows[4:]]
    assert max(scores[: ONSET - 4]) < max(scores[ONSET - 4 :])
    assert float(rows[-1]["threshold"]) == load(trained).calibration.thresholds["judged"]
    assert cv2.imread(str(picture)) is not None


def test_score_prints_to_standard_output(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("score", str(trained), str(data / "training" / "0"))
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].startswith("clip,frame,time_s,psnr,distance,gate_error,score,threshold")
    assert len(lines) == 1 + LENGTH


@pytest.mark.parametrize(
    ("options", "rows"), [((), 10), (("--fps", "30"), 30), (("--fps", "5"), 5)]
)
def test_score_takes_a_video_at_the_rate_of_the_bundle(
    trained: Path, tmp_path: Path, options: tuple[str, ...], rows: int
) -> None:
    video = write_video(tmp_path / "v.mp4", map(drawn_picture, range(30)), fps=30)
    out = tmp_path / "scores.csv"
    run("score", str(trained), str(video), "--out", str(out), *options)
    assert len(out.read_text().splitlines()) == 1 + rows


def test_bundles_go_by_name_and_are_listed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_small_bundle(Path(os.environ["NORMWATCH_DATA_DIR"]) / "models", "hall")
    run("score", "hall", str(data / "training" / "0"))
    capsys.readouterr()
    run("models")
    assert "hall" in capsys.readouterr().out


def test_a_bundle_says_how_its_score_was_composed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {"stranger": 90.0, "smoke": 70.0}
    candidates = tuple(
        CompositionCandidate("live" if weight == 0.0 else "judged", weight, auc, lead, kinds)
        for weight, auc, lead in ((0.0, 80.0, 2.5), (0.5, 75.5, 0.0))
    )
    made = small_bundle("yard")
    origin = replace(made.provenance, composition=Composition(0.0, 0.5, 14, 800, candidates))
    bundles.save(replace(made, provenance=origin), tmp_path / "yard")
    run("models", "show", str(tmp_path / "yard"))
    text = capsys.readouterr().out
    assert "The judgement is left out of the score: in 14 scenes" in text
    assert "80.0 so, and 75.5 with the usual weight of 0.5" in text
    assert "stranger" in text
    run("models", "show", "ped2-fast")
    text = capsys.readouterr().out
    assert "score judged, judgement's weight 0.5, threshold 0.347" in text
    assert "scenes" not in text


@pytest.mark.parametrize("columns", [80, 200])
def test_a_model_s_own_figures_are_listed_within_a_terminal_s_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    run("models")
    text = capsys.readouterr().out
    results = read_document(SHIPPED / "ped2-fast").provenance.results
    for protocol in ("causal", "offline"):
        assert f"{results[f'ped2.auc.{protocol}.micro.judged']:g}" in text
    assert max(map(len, text.splitlines())) <= columns


def test_train_does_not_replace_a_bundle(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "bundle.json").read_bytes()
    line = refusal(capsys, "train", str(data / "training"), "--out", str(trained), *_tiny())
    assert "--out" in line
    assert str(trained) in line
    assert (trained / "bundle.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--size", "60x64"), ("--size", "60x64", "multiple of 8")),
        (("--size", "large"), ("--size", "large")),
        (("--hold-out", "0.9"), ("--hold-out", "0.9")),
        (("--hold-out", "nan"), ("--hold-out", "nan")),
        (("--learning-rate", "nan"), ("--learning-rate", "nan")),
        (("--epochs", "0"), ("--epochs", "0")),
        (("--seed", "-1"), ("--seed", "-1")),
        (("--fps", "nan"), ("fps", "nan")),
        (("--preset", "huge"), ("--preset", "huge")),
        (("--crop", "20"), ("--crop", "20", "multiple of 8")),
        (("--crop", "128"), ("--crop", "128", "64x64")),
        (("--seed", str(2**70)), ("--seed", str(2**70), str(2**63 - 1))),
        (("--memory-channels", "1000000000"), ("--memory-channels", "1000000000", "65536")),
        (("--items", "1000000000"), ("--items", "1000000000", "65536")),
        (("--resume",), ("--resume", "no such checkpoint")),
        (("--out", "/proc/normwatch/x"), ("--out", "/proc/normwatch/x")),
    ],
)
def test_train_refuses_bad_arguments_in_one_line(
    options: tuple[str, ...],
    words: tuple[str, ...],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = str(tmp_path / "x")
    line = refusal(capsys, "train", str(data / "training"), "--out", out, *_tiny(*options))
    for word in words:
        assert word in line


def test_train_refuses_footage_it_cannot_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "x"), *_tiny())
    url = "rtsp://root:hunter2@127.0.0.1:1/live"
    line = refusal(capsys, "train", url, *out)
    assert "--max-frames" in line and "127.0.0.1" in line and "hunter2" not in line
    line = refusal(capsys, "train", url, "--max-frames", "5", *out)
    assert "127.0.0.1" in line and "hunter2" not in line
    (tmp_path / "text.mp4").write_text("no video")
    assert "text.mp4" in refusal(capsys, "train", str(tmp_path / "text.mp4"), *out)
    (tmp_path / "short").mkdir()
    cv2.imwrite(str(tmp_path / "short" / "1.png"), np.zeros((64, 64, 3), np.uint8))
    assert "too short" in refusal(capsys, "train", str(tmp_path / "short"), *out)


def test_score_refuses_bad_arguments_in_one_line(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(trained)
    assert "/no/such" in refusal(capsys, "score", bundle, "/no/such")
    assert "--format" in refusal(capsys, "score", bundle, str(data), "--format", "xml")
    for option in ("--out", "--plot"):
        for place in (str(tmp_path / "no" / "x.png"), str(tmp_path), "/proc/normwatch.png"):
            line = refusal(capsys, "score", "no-such-bundle", str(data), option, place)
            assert line.startswith(f"normwatch: {option}: ") and place in line
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / DOCUMENT).write_text("{}")
    assert "damaged or foreign" in refusal(capsys, "score", str(tmp_path / "broken"), str(data))


def _interrupted(command: list[str], log: Path) -> tuple[int, str]:
    """Run until it says that it trains, then press Ctrl-C; the exit status and all it said."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, "COLUMNS": "200"}
        )
        try:
            wait_for(lambda: "loss" in log.read_text(), "the first step", 60)
            process.send_signal(signal.SIGINT)
            code = process.wait(60)
        finally:
            process.kill()
            process.wait()
    return code, log.read_text()


def test_an_interrupted_run_can_be_resumed_and_is_not_overwritten(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [str(data / "training"), "--out", str(tmp_path / "x")]
    options = [*run, *_tiny("--epochs", "9999")]
    command = [sys.executable, "-P", "-m", "service", "train", *options]
    steps = []
    for extra in ([], ["--resume"]):
        code, said = _interrupted([*command, *extra], tmp_path / "log")
        assert code == 130, said
        stopped = re.search(r"stopped at step (\d+) of \d+; go on with --resume", said)
        assert stopped is not None, said
        steps.append(int(stopped.group(1)))
    assert 0 < steps[0] < steps[1]
    line = refusal(capsys, "train", *options)
    assert "--out" in line and "x.checkpoint" in line and "--resume" in line
    line = refusal(capsys, "train", *run, *_tiny("--epochs", "9999", "--seed", "4", "--resume"))
    assert "other settings" in line
    assert not (tmp_path / "x").exists()


def test_score_keeps_an_earlier_file_where_nothing_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "kept.csv"
    out.write_text("earlier")
    assert "no such file" in refusal(capsys, "score", "demo", "typo.mp4", "--out", str(out))
    assert out.read_text() == "earlier"
