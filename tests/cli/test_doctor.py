"""normwatch doctor: the machine, and each bundle's engines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from model.bundles import bundle as bundles
from model.bundles.bundle import load
from model.bundles.calibration_config import InputRange, Int8
from model.bundles.catalog import SHIPPED, WEIGHTS
from model.bundles.range_names import list_convolution_names
from model.engines.names import EngineName
from service.cli import doctor
from service.cli.doctor_findings import examine_machine
from service.infer.device import usable_cores
from service.settings import Settings
from tests.support.bundles import save_small_bundle, small_bundle
from tests.support.commands import outcome, refusal

pytestmark = pytest.mark.usefixtures("environment")
UNFIT = 0.5
"""A rank correlation that keeps 8 bits from being chosen."""


@pytest.fixture(autouse=True)
def by_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users have it; other tests run in fp32."""
    monkeypatch.delenv("NORMWATCH_ENGINE")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A bundle of 10 frames a second, whose 8 bits aren't exact enough."""
    bundle = small_bundle()
    ranges = dict.fromkeys(list_convolution_names(bundle.network), InputRange(-1.0, 1.0))
    bundles.save(replace(bundle, int8=Int8(ranges, UNFIT, 50)), tmp_path / "small")
    return tmp_path / "small"


def test_it_tells_machine_engines_and_choice(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "doctor.json"
    code, output = outcome(capsys, "doctor", str(small), "--json", str(figures))
    assert code == 0
    assert max(len(line) for line in output.splitlines()) <= doctor.WIDTH
    for word in ("processor", "usable", "memory", "GPU", "PyTorch", "OpenVINO", "allocator"):
        assert word in output
    found = json.loads(figures.read_text())
    machine, (bundle,) = found["machine"], found["bundles"]
    assert machine["usable_cores"] == usable_cores()
    assert 0.0 < machine["free_memory_gib"] <= machine["memory_gib"]
    assert (bundle["name"], bundle["camera_fps"], bundle["error"]) == ("small", 10.0, "")
    engines = {each["engine"]: each for each in bundle["engines"]}
    assert set(engines) == set(EngineName)
    timed = {name: each for name, each in engines.items() if not each["refused"]}
    assert {"torch-fp32", "openvino-fp32"} <= set(timed)
    fastest = min(timed, key=lambda name: timed[name]["frame_ms"])
    assert bundle["chosen"] == fastest
    assert [name for name, each in engines.items() if each["chosen"]] == [fastest]
    for each in timed.values():
        assert each["fps_per_core"] == pytest.approx(1e3 / each["frame_ms"])
        assert each["cameras"] == int(each["fps_per_core"] * usable_cores() / 10.0)
        assert f"{each['frame_ms']:.1f}" in output
    assert "0.5000 only" in engines["openvino-int8"]["refused"]
    assert engines["openvino-int8"]["frame_ms"] is None
    assert "no GPU" in engines["cuda-fp16"]["refused"]


def test_an_engine_by_name_is_shown_as_it_would_work(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "doctor.json"
    name = EngineName.OPENVINO_INT8  # not exact enough: a user may take it all the same
    code, _ = outcome(capsys, "doctor", str(small), "--engine", name, "--json", str(figures))
    assert code == 0
    (bundle,) = json.loads(figures.read_text())["bundles"]
    chosen = next(each for each in bundle["engines"] if each["chosen"])
    assert (chosen["engine"], chosen["refused"], bundle["chosen"]) == (name, "", name)
    assert chosen["frame_ms"] > 0.0


def test_the_setting_counts_as_the_option_does(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NORMWATCH_ENGINE", "cuda-fp16")
    code, output = outcome(capsys, "doctor", str(small))
    assert code == 1
    assert "can't be run: engine cuda-fp16 needs a GPU, and the device is cpu" in output
    code, output = outcome(capsys, "doctor", str(small), "--engine", "torch-fp32")
    assert code == 0
    line = next(line for line in output.splitlines() if "torch-fp32" in line)
    assert "chosen" in line


def test_without_names_it_looks_at_the_users_and_the_shipped_bundles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_small_bundle(tmp_path, "mine")
    monkeypatch.setenv("NORMWATCH_MODELS_DIR", str(tmp_path))
    shipped = {path.parent.name for path in SHIPPED.glob("*/bundle.json")}
    assert {path.name for path in doctor._list_bundle_folders(Settings())} == {"mine", *shipped}


def test_a_damaged_bundle_fails_and_the_others_are_shown(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = save_small_bundle(tmp_path, "damaged")
    (damaged / WEIGHTS).write_bytes(b"x")
    code, output = outcome(capsys, "doctor", str(damaged), str(small), "--engine", "torch-fp32")
    assert code == 1
    assert "can't be run" in output
    assert "weights.safetensors is damaged" in output
    assert "torch-fp32" in output


def test_wrong_words_are_named(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "doctor", str(small), "--engine", "abacus")
    assert "--engine" in line
    assert "'abacus'" in line
    assert "openvino-int8" in line
    assert "no-such-bundle" in refusal(capsys, "doctor", "no-such-bundle")
    assert "--json" in refusal(capsys, "doctor", str(small), "--json", "/no/such/folder/file")


def test_it_says_when_the_machine_was_busy() -> None:
    seen = examine_machine()
    idle, busy = (replace(seen, all_cores=4, load=load) for load in (2.0, 2.1))
    assert (idle.busy, busy.busy) == (False, True)
    assert not [line for line in doctor.make_notes(idle, []) if "busy" in line]
    assert [line for line in doctor.make_notes(busy, []) if "busy at the start (load 2.10" in line]


def test_limits_of_the_machine_are_told() -> None:
    seen = replace(examine_machine(), usable_cores=2, all_cores=8, cores=4, container_cores=1.5)
    output = dict(doctor.describe_machine(seen))
    assert output["cores"] == (
        "2 usable of 8; the container's limit is 1.5; this process may run on 4"
    )
    assert (
        "GLIBC_TUNABLES isn't set"
        in dict(doctor.describe_machine(replace(seen, glibc_tunables=None)))["allocator"]
    )
    assert (
        dict(doctor.describe_machine(replace(seen, openvino=None)))["OpenVINO"] == "not installed"
    )


def test_an_assumed_frame_rate_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = small_bundle()
    silent = replace(bundle, provenance=replace(bundle.provenance, frame_rate=None))
    bundles.save(silent, tmp_path / "silent")
    assert load(tmp_path / "silent").provenance.frame_rate is None
    output = outcome(capsys, "doctor", str(tmp_path / "silent"), "--engine", "torch-fp32")[1]
    assert "10 frames/s a camera, assumed" in output
