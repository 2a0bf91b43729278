"""Weights under the reference implementation's names: what is read, converted and refused.

`test_reference_outputs.py` compares an imported network with outputs of the reference itself.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import conv2d

from model.bundles.calibration_config import Calibration
from model.bundles.reference_import import (
    HOW_TO_SAVE,
    ReferenceInfo,
    WeightsError,
    convert,
    make_reference_score,
    read_items,
    read_weights,
)
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.network.network_config import Task
from model.network.update_rules import UPDATE_RULES
from model.scoring.score_config import NormForm
from tests.model.reference_weights import Shape, random_items, random_weights

NARROW = Shape(width=4)
SMALL = ReferenceInfo(height=64, width=64)


OTHER_SHAPES = [NARROW, Shape(width=5, frames=2), Shape(width=4, frames=1, skips=False)]


@pytest.mark.parametrize("shape", OTHER_SHAPES)
def test_bgr_weights_do_with_rgb_frames_what_they_did_with_bgr(shape: Shape) -> None:
    # The reference's own outputs don't show this: their frames are grey.
    weights, items = random_weights(shape), random_items(8 * shape.width)
    turned = convert("theirs", weights, items, SMALL)
    as_trained = convert("theirs", weights, items, replace(SMALL, bgr=False))
    bgr = torch.rand(1, shape.frames, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.inference_mode():
        expected, queries = as_trained.network(bgr.flatten(1, 2), items[None])
        predicted, same_queries = turned.network(bgr.flip(2).flatten(1, 2), items[None])
    torch.testing.assert_close(predicted.flip(1), expected)
    torch.testing.assert_close(same_queries, queries)
    assert (expected[:, 0] - expected[:, 2]).abs().max() > 0.01


@pytest.mark.parametrize("shape", [NARROW, Shape(width=5, channels=1, frames=2)])
def test_skips_lie_first_in_their_decoder_and_last_in_ours(shape: Shape) -> None:
    weights = random_weights(shape)
    decoder = convert("theirs", weights, random_items(8 * shape.width), SMALL).network.decoder
    for stage, module in enumerate(("Deconv3", "Deconv2", "Deconv1"), start=1):
        theirs = weights[f"decoder.module{module}.0.weight"]
        ours = decoder.stages[stage].get_parameter("0.weight")
        skip, upsampled = torch.rand(2, 1, theirs.shape[1] // 2, 8, 8)
        expected = conv2d(torch.cat((skip, upsampled), dim=1), theirs)
        torch.testing.assert_close(conv2d(torch.cat((upsampled, skip), dim=1), ours), expected)


def test_without_skips_no_input_of_the_decoder_moves() -> None:
    weights = random_weights(Shape(width=4, frames=1, skips=False))
    decoder = convert("theirs", weights, random_items(32), SMALL).network.decoder
    for stage, module in enumerate(("Conv", "Deconv3", "Deconv2", "Deconv1")):
        ours = decoder.stages[stage].get_parameter("0.weight")
        assert torch.equal(ours, weights[f"decoder.module{module}.0.weight"])


@pytest.mark.parametrize("skips", [True, False])
def test_grey_weights_measure_what_the_same_weights_in_colour_do(*, skips: bool) -> None:
    frames = 2 if skips else 1
    grey = random_weights(Shape(width=4, channels=1, frames=frames, skips=skips))
    colour = dict(grey)
    first, last = "encoder.moduleConv1.0.weight", "decoder.moduleDeconv1.6"
    colour[first] = grey[first].repeat_interleave(3, dim=1) / 3
    for name in (f"{last}.weight", f"{last}.bias"):
        colour[name] = grey[name].repeat_interleave(3, dim=0)
    picture = np.random.default_rng(2).integers(0, 256, (4, 64, 64), np.uint8)
    found = [
        _measure(grey, list(picture)),
        _measure(colour, [np.repeat(frame[:, :, None], 3, axis=2) for frame in picture]),
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def _measure(weights: dict[str, Tensor], frames: list[NDArray[np.uint8]]) -> list[float]:
    """P, D and E_t of the last frame; each frame before it updated the memory."""
    detector = Detector(convert("theirs", weights, random_items(32), SMALL))
    camera = detector.start()
    always = CameraOptions(gamma=1e9, watch_scene=False, update=UPDATE_RULES["reference"])
    for frame in frames:
        (seen,) = detector.observe([camera], [frame], [always])
    assert seen.measures is not None
    return [seen.measures.psnr, seen.measures.distance, seen.measures.gate_error]


def test_of_rgb_weights_no_channel_is_turned() -> None:
    weights = random_weights(NARROW)
    bundle = convert("theirs", weights, random_items(32), replace(SMALL, bgr=False))
    first = bundle.network.encoder.stages[0].get_parameter("0.weight")
    assert torch.equal(first, weights["encoder.moduleConv1.0.weight"])


def test_configuration_and_constants_follow_from_the_shapes() -> None:
    prediction = convert("a", random_weights(NARROW), random_items(32, count=7), SMALL)
    assert prediction.config.task is Task.PREDICTION
    assert (prediction.config.base_width, prediction.config.history) == (4, 4)
    assert (prediction.config.channels, prediction.config.memory_items) == (3, 7)
    assert prediction.calibration == Calibration(0.01, NormForm.ELEMENT_SQUARE)
    rebuilt = convert("b", random_weights(Shape(4, 1, 1, skips=False)), random_items(32), SMALL)
    assert rebuilt.config.task is Task.RECONSTRUCTION
    assert (rebuilt.config.channels, rebuilt.calibration.gamma) == (1, 0.015)
    assert make_reference_score(Task.PREDICTION).appearance_weight == 0.6
    assert make_reference_score(Task.RECONSTRUCTION).appearance_weight == 0.7


def test_weights_of_the_other_task_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"of a prediction network .* not of reconstruction"):
        convert(
            "a", random_weights(NARROW), random_items(32), replace(SMALL, task=Task.RECONSTRUCTION)
        )


def test_files_of_both_kinds_and_of_several_gpus_are_read(tmp_path: Path) -> None:
    weights, items = random_weights(NARROW), random_items(32)
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "a.pth")
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(items.requires_grad_(), tmp_path / "keys.pt")
    for file in ("a.pth", "a.safetensors"):
        found = read_weights(tmp_path / file)
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[name], value) for name, value in weights.items())
    assert torch.equal(read_items(tmp_path / "keys.pt"), items)


def test_counters_and_the_unused_norm_may_be_missing_and_halves_are_taken() -> None:
    weights = {
        name: value.half()
        for name, value in random_weights(NARROW).items()
        if "moduleBatchNorm" not in name and "num_batches" not in name
    }
    bundle = convert("a", weights, random_items(32), SMALL)
    found = bundle.network.state_dict()
    assert found["decoder.last.bias"].dtype is torch.float32
    assert torch.equal(found["encoder.last.1.bias"], weights["encoder.moduleConv4.1.bias"].float())


class _Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    trap, mark = tmp_path / "trap.pth", tmp_path / "executed"
    torch.save({"encoder.moduleConv1.0.weight": _Trap(mark)}, trap)
    old = tmp_path / "old.pth"
    old.write_bytes(pickle.dumps(_Trap(mark)))
    for file in (trap, old):
        with pytest.raises(WeightsError):
            read_weights(file)
    assert not mark.exists()
    pickle.loads(old.read_bytes())
    assert mark.exists(), "the trap doesn't work"


def test_a_whole_model_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3)), tmp_path / "model.pth")
    with pytest.raises(WeightsError) as caught:
        read_weights(tmp_path / "model.pth")
    assert "model.pth" in str(caught.value)
    assert HOW_TO_SAVE in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"PK\3\4 no", b"\x80\x02}q\0.", b"hello"])
def test_damaged_files_are_refused_by_name(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"weights{suffix}"):
        read_weights(path)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(tmp_path / f"absent{suffix}")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(random_weights(NARROW), path)
    whole = path.read_bytes()
    for share in (0.3, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(WeightsError, match=r"weights\.pth"):
            read_weights(path)


@pytest.mark.parametrize("content", [{"epoch": 3}, {3: torch.zeros(1)}, [torch.zeros(1)], {}])
def test_what_isnt_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"state dict|names and tensors"):
        read_weights(tmp_path / "x.pt")


def test_each_missing_unknown_or_misshapen_tensor_is_named() -> None:
    weights = random_weights(NARROW)
    del weights["decoder.moduleDeconv1.6.weight"], weights["encoder.moduleConv2.4.running_var"]
    weights["memory.key"] = torch.zeros(3)
    weights["encoder.moduleConv3.0.bias"] = torch.zeros(16, dtype=torch.int64)
    with pytest.raises(WeightsError) as caught:
        convert("a", weights, random_items(32), SMALL)
    for words in (
        "decoder.moduleDeconv1.6.weight is missing",
        "encoder.moduleConv2.4.running_var is missing",
        "memory.key is unknown",
        "encoder.moduleConv3.0.bias must be a dense floating-point tensor, got torch.int64",
    ):
        assert words in str(caught.value)
    weights = random_weights(NARROW)
    weights["decoder.moduleConv.3.weight"] = torch.zeros(32, 31, 3, 3)
    weights["encoder.moduleConv1.1.bias"] = torch.full((4,), torch.nan)
    with pytest.raises(WeightsError) as caught:
        convert("a", weights, random_items(32), SMALL)
    for words in (
        "decoder.moduleConv.3.weight must be of shape (32, 32, 3, 3), got (32, 31, 3, 3)",
        "encoder.moduleConv1.1.bias is not finite",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("encoder.moduleConv1.0.weight", (4, 11, 3, 3), "takes 11 channels"),
        ("encoder.moduleConv1.0.weight", (4, 12), "must have 4 dimensions"),
        ("decoder.moduleDeconv1.6.weight", (2, 4, 3, 3), "gives 2"),
        ("decoder.moduleDeconv1.6.weight", (0, 4, 3, 3), "gives 0"),
    ],
)
def test_shapes_that_no_network_has_are_refused(
    name: str, shape: tuple[int, ...], words: str
) -> None:
    weights = random_weights(NARROW) | {name: torch.zeros(shape)}
    with pytest.raises(WeightsError, match=words):
        convert("a", weights, random_items(32), SMALL)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (torch.ones(10, 32), "length 1"),
        (torch.full((10, 32), torch.nan), "length 1"),
        (random_items(32)[0], r"\(M, C\)"),
        (random_items(32)[:1], "M at least 2"),
        (random_items(30), "32"),
    ],
)
def test_items_that_dont_fit_are_refused(items: Tensor, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        convert("a", random_weights(NARROW), items, SMALL)


def test_a_size_that_doesnt_fit_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"height must be a multiple of 8.*60"):
        convert("a", random_weights(NARROW), random_items(32), ReferenceInfo(height=60, width=64))
