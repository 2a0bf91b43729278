"""Bundles on disk: what comes back of them, and how they are found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.bundles import bundle as bundles
from model.bundles.calibration_config import Calibration, InputRange, Int8
from model.bundles.catalog import (
    DOCUMENT,
    WEIGHTS,
    BundleError,
    Provenance,
    find_bundle,
    list_bundles,
)
from model.bundles.range_names import list_convolution_names
from model.network.network_config import NetConfig
from model.scoring.normal_range import Interval, NormalRange
from model.scoring.score_config import PAPER, ErrorKind, ErrorStep, NormForm, ScoreConfig
from tests.support.bundles import SMALL, small_bundle


def test_a_bundle_comes_back_as_it_was(tmp_path: Path) -> None:
    normal = NormalRange(
        Interval(1, 2), {"squared.4.4.2.30": Interval(3, 4), "psnr.unit": Interval(-5, 6)}
    )
    bundle = replace(
        small_bundle(
            net=NetConfig(base_width=3, channels=3, height=32, width=48, memory_channels=7)
        ),
        score=replace(PAPER, name="mine", error=ErrorStep(ErrorKind.SQUARED, cell=4)),
        calibration=Calibration(0.02, NormForm.NORM, normal, {"mine": 0.7}),
        provenance=Provenance(
            sources=("a", "b"), frame_rate=12.5, settings={"flip": True}, results={"auc": 97.0}
        ),
    )
    bundles.save(bundle, tmp_path / "x")
    back = bundles.load(tmp_path / "x")
    for name in ("name", "config", "score", "calibration", "provenance"):
        assert getattr(back, name) == getattr(bundle, name)
    assert torch.equal(back.items, bundle.items)
    pictures = torch.rand(1, 12, 32, 48)
    one, other = (each.network(pictures, each.items)[0] for each in (bundle, back))
    assert torch.equal(one, other)
    assert not back.network.training
    assert not any(parameter.requires_grad for parameter in back.network.parameters())


def test_a_bundle_keeps_its_8_bit_ranges(tmp_path: Path) -> None:
    bundle = small_bundle()
    names = list_convolution_names(bundle.network)
    int8 = Int8({name: InputRange(-0.1, 0.2 + n) for n, name in enumerate(names)}, 0.995, 12)
    bundles.save(replace(bundle, int8=int8), tmp_path / "x")
    assert bundles.load(tmp_path / "x").int8 == int8


def test_saving_again_replaces_both_files_and_leaves_no_others(saved: Path) -> None:
    bundles.save(small_bundle("second", seed=4), saved)
    assert bundles.load(saved).name == "second"
    assert sorted(file.name for file in saved.iterdir()) == [DOCUMENT, WEIGHTS]


def test_a_bundles_document_has_these_names(saved: Path) -> None:
    """Shipped bundles have them: a change needs their documents rewritten."""
    document = json.loads((saved / DOCUMENT).read_text())
    assert set(document) == {
        "format", "version", "name", "weights_sha256", "net", "score", "calibration", "provenance",
        "int8",
    }  # fmt: skip
    assert (document["format"], document["version"]) == ("normwatch-bundle", 2)
    assert set(document["net"]) == {
        "task", "base_width", "channels", "height", "width", "history", "memory_items",
        "memory_channels", "memory", "memory_shrinkage", "judges", "patch",
    }  # fmt: skip
    assert set(document["score"]) == {
        "name", "error", "normalisation", "appearance_weight", "judgement", "judgement_weight",
        "smoothing",
    }  # fmt: skip
    assert set(document["score"]["error"]) == {
        "kind", "peak", "cell", "stride", "blur_cells", "top_cells",
    }  # fmt: skip
    assert set(document["score"]["normalisation"]) == {
        "kind", "headroom", "relax_frames", "window_frames", "tail", "abnormal_gain",
    }  # fmt: skip
    assert set(document["calibration"]) == {
        "gamma", "error_form", "normal", "thresholds", "skips_still",
    }  # fmt: skip
    assert set(document["calibration"]["normal"]) == {"distance", "errors"}
    assert set(document["calibration"]["normal"]["errors"]) == {
        "psnr.frame", "absolute.1.1.0.0", "absolute.8.4.2.30",
    }  # fmt: skip
    tensors = load_file(saved / WEIGHTS)
    assert tensors["memory.items"].shape == (1, 10, 32)
    assert {"encoder.stages.0.0.weight", "decoder.ups.2.0.weight", "decoder.last.bias"} <= set(
        tensors
    )


def test_bundles_are_found_by_path_and_by_name(saved: Path) -> None:
    folders = [saved.parent]
    assert find_bundle(str(saved)) == saved
    assert find_bundle("camera", folders) == saved
    assert [(b.name, b.shipped, b.config) for b in list_bundles(folders) if not b.shipped] == [
        ("camera", False, SMALL)
    ]
    with pytest.raises(BundleError, match=r"no bundle 'camcorder'; there are: .*camera"):
        find_bundle("camcorder", folders)
    with pytest.raises(BundleError, match="holds no bundle"):
        find_bundle(str(saved.parent))


def test_the_first_of_two_with_one_name_counts(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "more"
    bundles.save(small_bundle(net=replace(SMALL, base_width=5)), other / "camera")
    assert find_bundle("camera", [other, saved.parent]) == other / "camera"
    listed = {info.name: info.config.base_width for info in list_bundles([other, saved.parent])}
    assert listed["camera"] == 5


def test_a_damaged_bundle_is_left_out_of_the_list_but_named_when_asked_for(saved: Path) -> None:
    (saved / DOCUMENT).write_text("{")
    assert "camera" not in [info.name for info in list_bundles([saved.parent])]
    with pytest.raises(BundleError, match="damaged"):
        bundles.load(find_bundle("camera", [saved.parent]))


def test_every_shipped_bundle_loads() -> None:
    for info in list_bundles():
        assert info.shipped
        assert isinstance(bundles.load(info.path).score, ScoreConfig)
