"""Whatever is wrong with a bundle on disk is one clear error."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.bundles import bundle as bundles
from model.bundles.calibration_config import Calibration, InputRange, Int8
from model.bundles.catalog import DOCUMENT, WEIGHTS, BundleError, read_document
from model.bundles.range_names import list_convolution_names
from model.detect.detector import Detector
from model.scoring.normal_range import Interval, NormalRange
from model.scoring.score_config import JUDGED, ErrorKind, ErrorStep
from tests.support.bundles import SMALL, small_bundle


def _edit(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        document = json.loads((path / DOCUMENT).read_text())
        change(document)
        (path / DOCUMENT).write_text(json.dumps(document))

    return apply


def _set(*keys: str, value: object) -> Callable[[Path], None]:
    def change(document: dict[str, object]) -> None:
        place: dict[str, object] = document
        for key in keys[:-1]:
            inner = place[key]
            assert isinstance(inner, dict)
            place = inner
        place[keys[-1]] = value

    return _edit(change)


def _set_range(end: str, value: float) -> Callable[[Path], None]:
    return _set("calibration", "normal", "errors", "psnr.frame", end, value=value)


def _weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Other weights, with a digest that fits them: a foreign file, not a damaged one."""

    def apply(path: Path) -> None:
        tensors = load_file(path / WEIGHTS)
        change(tensors)
        save_file(tensors, path / WEIGHTS)
        _sign(path)

    return apply


def _sign(path: Path) -> None:
    digest = hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest()
    _set("weights_sha256", value=digest)(path)


def _replace_all(tensors: dict[str, torch.Tensor]) -> None:
    tensors.clear()
    tensors["x"] = torch.ones(1)


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def _pickle(path: Path) -> None:
    (path / WEIGHTS).write_bytes(pickle.dumps(Bomb(path / "bang")))
    _sign(path)


def _torch_pickle(path: Path) -> None:
    torch.save({"x": Bomb(path / "bang")}, path / WEIGHTS)
    _sign(path)


def _truncated(path: Path) -> None:
    data = (path / WEIGHTS).read_bytes()
    (path / WEIGHTS).write_bytes(data[: len(data) // 2])


def _truncated_and_signed(path: Path) -> None:
    _truncated(path)
    _sign(path)


def _fill(name: str, value: float) -> Callable[[Path], None]:
    return _weights(lambda tensors: tensors[name].fill_(value))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no document": (lambda p: (p / DOCUMENT).unlink(), "bundle.json"),
    "no weights": (lambda p: (p / WEIGHTS).unlink(), "weights.safetensors"),
    "empty document": (lambda p: (p / DOCUMENT).write_text(""), "damaged or foreign"),
    "broken JSON": (lambda p: (p / DOCUMENT).write_text('{"name": '), "damaged or foreign"),
    "not UTF-8": (lambda p: (p / DOCUMENT).write_bytes(b"\xff\xfe{}"), "damaged or foreign"),
    "foreign JSON": (lambda p: (p / DOCUMENT).write_text('{"a": 1}'), "damaged or foreign"),
    "a list": (lambda p: (p / DOCUMENT).write_text("[]"), "damaged or foreign"),
    "version 3": (_set("version", value=3), "version"),
    "version 1": (_set("version", value=1), "version"),
    "no range for the score": (
        _set("calibration", "normal", "errors", value={}), "lacks the range of absolute"
    ),
    "another format": (_set("format", value="onnx"), "format"),
    "an unknown part": (_set("extra", value=1), "extra"),
    "NaN γ": (_set("calibration", "gamma", value=float("nan")), "calibration"),
    "infinite range": (_set_range("high", float("inf")), "psnr"),
    "range out of order": (_set_range("low", 1e9), "psnr"),
    "NaN threshold": (_set("calibration", "thresholds", "live", value=float("nan")), "threshold"),
    "NaN result": (_set("provenance", "results", value={"a": float("nan")}), "provenance"),
    "NaN setting": (_set("provenance", "settings", value={"a": float("inf")}), "provenance"),
    "NaN frame rate": (_set("provenance", "frame_rate", value=float("nan")), "frame_rate"),
    "NaN smoothing": (_set("score", "smoothing", value=float("nan")), "smoothing"),
    "a cell larger than the picture": (_set("score", "error", "cell", value=65), "cell"),
    "a wrong size": (_set("net", "height", value=60), "height"),
    "a word for a number": (_set("net", "base_width", value="wide"), "base_width"),
    "another width": (_set("net", "base_width", value=5), "doesn't fit"),
    "a giant's width": (_set("net", "base_width", value=10**6), "doesn't fit"),
    "more items": (_set("net", "memory_items", value=11), "memory.items"),
    "another task": (_set("net", "task", value="reconstruction"), "doesn't fit"),
    "truncated weights": (_truncated, "damaged"),
    "truncated weights, signed": (_truncated_and_signed, "doesn't fit"),
    "a tensor missing": (_weights(lambda t: t.pop("decoder.last.bias")), "doesn't fit"),
    "no items": (_weights(lambda t: t.pop("memory.items")), "memory.items"),
    "a tensor too many": (_weights(lambda t: t.update(x=torch.ones(1))), "doesn't fit"),
    "foreign tensors": (
        _weights(_replace_all), "lacks 'memory.items'"
    ),
    "half precision": (
        _weights(lambda t: t.update({"memory.items": t["memory.items"].half()})), "float32"
    ),
    "NaN weights": (_fill("decoder.last.weight", float("nan")), "decoder.last.weight"),
    "infinite items": (_fill("memory.items", float("inf")), "memory.items"),
    "a pickle": (_pickle, "doesn't fit"),
    "a pickle of torch": (_torch_pickle, "doesn't fit"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_whatever_is_wrong_is_one_clear_error(what: str, saved: Path) -> None:
    damage, words = DAMAGE[what]
    damage(saved)
    with pytest.raises(BundleError) as caught:
        bundles.load(saved)
    text = str(caught.value)
    assert str(saved) in text
    assert words in text
    assert len(text) < 400
    assert not (saved / "bang").exists()


JUDGEMENT = asdict(ErrorStep(ErrorKind.JUDGED, blur_cells=0.0, top_cells=100))
PLAIN_RANGES = {"absolute.8.4.2.30": {"low": 0.0, "high": 1.0}}
UNFIT: dict[str, tuple[dict[str, dict[str, object]], str]] = {
    "a judgement that the network doesn't give": (
        {"net": {"judges": False}}, "score.judgement takes a judgement (judged.8.4.0.100)"
    ),
    "a judgement for an error": (
        {"net": {"judges": False}, "score": {"error": JUDGEMENT, "judgement": None,
        "judgement_weight": 0.0}}, "score.error takes a judgement",
    ),
    "a judgement's cell": (
        {"score": {"judgement": JUDGEMENT | {"cell": 999}}}, "score.judgement.cell must fit the "
        "picture, got 999",
    ),
    "an error's cell": (
        {"score": {"error": {"cell": 999}}}, "score.error.cell must fit the picture, got 999"
    ),
    "no threshold": (
        {"calibration": {"thresholds": {"live": 0.5}}},
        "calibration.thresholds lacks that of score 'judged'; there are: live",
    ),
    "no range of the judgement": (
        {"calibration": {"normal": {"distance": {"low": 0.0, "high": 1.0},
        "errors": PLAIN_RANGES}}}, "calibration.normal.errors lacks the range of judged.8.4.0.100",
    ),
    "no range at all": (
        {"calibration": {"normal": {"distance": {"low": 0.0, "high": 1.0}, "errors": {}}}},
        "lacks the range of absolute.8.4.2.30 and judged.8.4.0.100",
    ),
}  # fmt: skip


@pytest.fixture
def judging(tmp_path: Path) -> Path:
    """A bundle on disk whose network judges, and whose score takes that."""
    path = tmp_path / "judging"
    bundle = small_bundle(net=replace(SMALL, judges=True))
    normal = NormalRange(
        Interval(0.0, 0.1), {step.key: Interval(0.0, 0.5) for step in JUDGED.steps}
    )
    calibration = Calibration(1.0, normal=normal, thresholds={"judged": 0.5})
    bundles.save(replace(bundle, score=JUDGED, calibration=calibration), path)
    return path


@pytest.mark.parametrize("what", UNFIT)
def test_parts_that_do_not_fit_are_found_when_the_document_is_read(
    what: str, judging: Path
) -> None:
    changes, words = UNFIT[what]
    assert read_document(judging).score == JUDGED
    for part, values in changes.items():
        for name, value in values.items():
            _set(part, name, value=value)(judging)
    with pytest.raises(BundleError) as caught:
        read_document(judging)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("judges", True, "decoder.last.weight must be of shape (2, 4, 3, 3), got (1, 4, 3, 3)"),
        (
            "memory",
            "memae",
            "decoder.stages.0.0.weight must be of shape (32, 32, 3, 3), got (32, 64, 3, 3)",
        ),
    ],
)
def test_a_network_edited_by_hand_names_the_tensor_that_does_not_fit(
    field: str, value: object, words: str, saved: Path
) -> None:
    _set("net", field, value=value)(saved)
    with pytest.raises(BundleError) as caught:
        bundles.load(saved)
    assert str(caught.value).endswith(words)


def test_a_detector_refuses_a_score_that_takes_what_the_network_does_not_give() -> None:
    with pytest.raises(BundleError, match="score judged takes a judgement"):
        Detector(replace(small_bundle(), score=JUDGED))


def test_tensors_missing_and_unknown_are_named(saved: Path) -> None:
    _weights(lambda tensors: tensors.update(x=torch.ones(3)))(saved)
    with pytest.raises(BundleError, match=r"x, of shape \(3,\), has no place"):
        bundles.load(saved)
    _weights(lambda tensors: tensors.pop("decoder.last.bias"))(saved)
    with pytest.raises(BundleError, match=r"decoder.last.bias must be .* but is missing"):
        bundles.load(saved)


def test_a_file_or_nothing_in_a_bundles_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("file", "nothing"):
        with pytest.raises(BundleError, match="is no bundle"):
            bundles.load(tmp_path / name)


def _ranges(document: dict[str, object]) -> dict[str, object]:
    int8 = document["int8"]
    assert isinstance(int8, dict)
    ranges = int8["ranges"]
    assert isinstance(ranges, dict)
    return ranges


INT8: dict[str, tuple[Callable[[Path], object], str]] = {
    "a convolution without a range": (
        _edit(lambda d: _ranges(d).pop("trunk.ups.0.0")),
        "int8.ranges lacks the convolution trunk.ups.0.0",
    ),
    "a range without a convolution": (
        _edit(lambda d: _ranges(d).update(judge={"low": 0.0, "high": 1.0})),
        "int8.ranges has 'judge', which no convolution takes",
    ),
    "a range without 0": (
        _set("int8", "ranges", "picture", value={"low": 0.5, "high": 1.0}),
        "two finite numbers around 0",
    ),
    "an endless range": (
        _set("int8", "ranges", "picture", "high", value=float("inf")), "int8.ranges.picture",
    ),
    "agreement above 1": (
        _set("int8", "rank_correlation", value=1.1), "rank_correlation must be from -1 to 1",
    ),
    "agreement that is no number": (
        _set("int8", "rank_correlation", value=float("nan")), "rank_correlation",
    ),
    "frames below 0": (_set("int8", "frames", value=-1), "frames must be 0 or more, got -1"),
}  # fmt: skip


@pytest.mark.parametrize("what", INT8)
def test_damaged_8_bit_ranges_are_one_clear_error(what: str, tmp_path: Path) -> None:
    bundle = small_bundle()
    ranges = dict.fromkeys(list_convolution_names(bundle.network), InputRange(-1.0, 1.0))
    path = tmp_path / "camera"
    bundles.save(replace(bundle, int8=Int8(ranges, 0.995, 12)), path)
    damage, words = INT8[what]
    damage(path)
    with pytest.raises(BundleError) as caught:
        bundles.load(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
