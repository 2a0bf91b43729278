"""`normwatch bench` from the command line: what it measures, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.bundles.catalog import find_bundle
from model.stages import Stage
from service.cli.bench import DEFAULT_BUNDLE, DRAWN_BUNDLE
from service.tools.bench.load import LoadPlan
from service.tools.bench.service_bench import ServicePlan
from tests.support.commands import outcome, refusal
from tests.support.rtsp import require_gstreamer

PNG = b"\x89PNG"


def _in_order(spread: dict[str, float]) -> bool:
    return 0.0 < spread["q1"] <= spread["median"] <= spread["q3"]


def _check_row(row: dict[str, Any], cameras: int) -> None:
    assert row["cameras"] == cameras
    rates, age, alone = row["camera_fps"], row["age"], row["alone"]
    assert 0.0 < rates["least"] <= rates["median"] <= rates["most"]
    assert 0.0 < age["p50_s"] <= age["p95_s"] <= age["p99_s"] <= age["most_s"]
    assert row["frames"] == pytest.approx(row["fps"] * row["seconds"])
    assert alone["fps"] > 0.0
    assert sum(row["stages"].values()) == pytest.approx(sum(row["processes"].values()))
    assert list(row["stages"]) == list(Stage)
    for stage in (Stage.SCENE, Stage.SCORING, Stage.SENDING, Stage.LOOP, Stage.REDIS):
        assert row["stages"][stage] > 0.0, stage
    assert min(row["stages"].values()) >= 0.0
    assert row["stages"]["network"] > 0.0
    assert row["peak_memory_mb"] > 50.0
    assert row["fps_per_core"] > 0.0
    assert row["limit"]


@pytest.mark.timeout(240)
def test_the_network_is_measured_against_its_reference_form(
    models_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "network.json"
    bundle = str(models_dir / "small")
    arguments = ("--engine", "torch-fp32", "--seconds", "0.1", "--json", str(file))
    code, said = outcome(capsys, "bench", "network", bundle, *arguments)
    assert code == 0
    figures = json.loads(file.read_text())
    ratio = figures["ratio_per_core"]
    assert _in_order(ratio) and ratio["count"] >= 3
    assert ratio == figures["engines"]["torch-fp32"]["ratio_per_core"]
    # A width of 4 at 64x64 against one of 64 at 256x256: thousands of times less work.
    assert ratio["median"] > 10.0
    assert _in_order(figures["reference"]["frame_ms"])
    assert figures["reference"]["ratio_per_core"] is None
    assert figures["reference"]["gflop"] == pytest.approx(92.2, abs=1.0)
    assert list(figures["engines"]) == ["torch-fp32"] and "cuda-fp16" in figures["refused"]
    assert figures["peak_gflop_s"] > 0.0
    assert figures["machine"]["processor"]
    assert "times the reference's frames/s a core" in said
    assert max(len(line) for line in said.splitlines()) <= 100


@pytest.mark.timeout(240)
def test_the_worker_is_measured_with_cameras_out_of_memory(
    models_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, plot = tmp_path / "worker.json", tmp_path / "worker.png"
    arguments = ("--cameras", "3", "--seconds", "2", "--fps", "5", "--engine", "torch-fp32")
    files = ("--json", str(file), "--plot", str(plot))
    code, said = outcome(capsys, "bench", "worker", str(models_dir / "small"), *arguments, *files)
    assert code == 0
    figures = json.loads(file.read_text())
    (row,) = figures["rows"]
    _check_row(row, 3)
    assert row["offered_fps"] == 15.0
    assert row["alone"]["engine"] == "torch-fp32"
    assert set(row["processes"]) == {"worker", "redis"}
    assert set(row["foreign"]) == {"benchmark", "others"}
    assert plot.read_bytes().startswith(PNG)
    assert "3 cameras: " in said and "…" not in said
    assert max(len(line) for line in said.splitlines()) <= 100


@pytest.mark.timeout(240)
def test_the_service_is_measured_from_rtsp_to_its_api(
    models_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_gstreamer()
    file = tmp_path / "service.json"
    arguments = ("--cameras", "2", "--seconds", "4", "--fps", "5", "--engine", "torch-fp32")
    arguments += ("--quiet", "1")
    code, said = outcome(
        capsys, "bench", "service", str(models_dir / "small"), *arguments, "--json", str(file)
    )
    assert code == 0
    (row,) = json.loads(file.read_text())["rows"]
    _check_row(row, 2)
    parts = {"supervisor", "front end", "worker", "learner", "redis", "capture"}
    assert set(row["processes"]) == parts
    assert row["processes"]["capture"] > 0.0
    assert row["started_s"] > 0.0 and row["all_scored_s"] > 0.0
    assert row["engine_share"] > 0.0 and "of the engine alone" in said
    # What the front end, the worker and its pipes count themselves arrives here.
    for stage in (Stage.CAPTURE, Stage.READING, Stage.RECORDING, Stage.SERVING, Stage.CLIPS):
        assert row["stages"][stage] > 0.0, stage
    assert set(row["groups"]) == {"busy", "quiet"}
    assert all(group["fps"] > 0.0 for group in row["groups"].values())
    assert "1 camera still; small doesn't know this footage" in " ".join(said.split())
    assert all(0.0 < each["end_pss_mb"] <= each["end_mb"] for each in row["memory"])
    assert row["foreign"]["cameras"] >= 0.0
    grown = [each["part"] for each in row["memory"]]
    # One of them forks the others.
    assert set(grown) == parts and grown.count("capture") == 1 + 2
    assert "held (" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("network", "--engine", "abacus"), ("--engine", "abacus", "torch-fp32")),
        (("network", "--engine", "cuda-fp16"), ("--engine", "cuda-fp16", "GPU")),
        (("network", "--threads", "0"), ("--threads", "0")),
        (("network", "no-such-bundle"), ("no-such-bundle",)),
        (("network", "--preset", "huge"), ("--preset", "huge", "paper")),
        (("network", "demo", "--preset", "fast"), ("--preset", "fast", "demo")),
        (("network", "--json", "/no/such/folder/x"), ("--json", "/no/such/folder/x")),
        (("worker", "--cameras", "1,many"), ("--cameras", "1,many")),
        (("worker", "--cameras", "0"), ("--cameras", "'0'")),
        (("worker", "--engine", "abacus"), ("--engine", "abacus")),
        (("worker", "--engine", "openvino-int8"), ("--engine", "openvino-int8")),
        (("worker", "--plot", "/no/such/folder/x"), ("--plot", "/no/such/folder/x")),
        (("service", "--fps", "1000"), ("--fps", "1000")),
        (("service", "--quiet", "2"), ("--quiet", "2", "at most 1")),
        (
            ("service", "--quiet", "1", "--rtsp", "rtsp://192.0.2.1/a"),
            ("--quiet", "--rtsp"),
        ),
        (("service", "--video", "/no/such/video.mp4"), ("--video", "/no/such/video.mp4")),
        (
            ("service", "--rtsp", "rtsp://192.0.2.1/a", "--video", "/no/such/video.mp4"),
            ("--video", "--rtsp"),
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    models_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NORMWATCH_DEFAULT_MODEL", str(models_dir / "small"))
    line = refusal(capsys, "bench", *arguments)
    assert all(word in line for word in words)


def test_the_default_bundle_is_shipped() -> None:
    assert find_bundle(DEFAULT_BUNDLE, []).is_dir()


def test_a_model_that_was_not_trained_on_the_drawn_scene_is_named(tmp_path: Path) -> None:
    def source(model: Path, video: Path | None = None, quiet: int = 0) -> str:
        return ServicePlan(LoadPlan(str(model), [4], 1.0), 10.0, video, quiet=quiet).source

    assert source(find_bundle(DRAWN_BUNDLE)) == "a drawn scene, 360x240"
    assert source(find_bundle(DRAWN_BUNDLE), quiet=3) == "a drawn scene, 360x240, 3 cameras still"
    assert source(find_bundle(DEFAULT_BUNDLE)).endswith(
        f"; {DEFAULT_BUNDLE} doesn't know this footage"
    )
    # Another bundle of that name isn't the one that was trained on it.
    assert "doesn't know" in source(tmp_path / DRAWN_BUNDLE)
    assert source(find_bundle(DEFAULT_BUNDLE), Path("a.mp4")) == "a.mp4"
