"""Weights under the reference implementation's names: what is read, and that all figures agree."""

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

from model.config import Calibration, ErrorForm, Task
from model.detector import Detector
from model.observation import CameraOptions
from model.reference import (
    HOW_TO_SAVE,
    Reading,
    WeightsError,
    convert,
    read_items,
    read_weights,
    reference_score,
)
from model.rules import UPDATE_RULES
from tests.model.reference_network import ReferenceCamera, Shape, random_weights

NARROW = Shape(width=4)
SMALL = Reading(height=64, width=64)
AGREE = 1e-4


def _items(channels: int, count: int = 10, seed: int = 5) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, channels, generator=draw), dim=1)


def _frames(shape: Shape, count: int, size: int = 64) -> list[NDArray[np.uint8]]:
    """Gradients that move, a bright square, a jump, noise: RGB (H, W, 3), or grey."""
    random = np.random.default_rng(2)
    rows, columns = np.mgrid[0:size, 0:size]
    frames = []
    for step in range(count):
        shift = 3 * step + (40 if step == count - 2 else 0)
        colours = [128 + 100 * np.sin((rows * (c + 1) + columns + shift) / 9) for c in range(3)]
        picture = np.stack(colours, axis=2) + random.normal(0, 4, (size, size, 3))
        picture[10:20, (5 + 2 * step) % 50 : (17 + 2 * step) % 62] = (250, 40, 90)
        frame = picture.clip(0, 255).astype(np.uint8)
        frames.append(frame if shape.channels == 3 else np.ascontiguousarray(frame[:, :, 1]))
    return frames


def _as_read(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """As the reference reads it: (channels, H, W), BGR, in [0, 1]."""
    planes = frame[None] if frame.ndim == 2 else frame[:, :, ::-1].transpose(2, 0, 1)
    return planes / 255.0


@pytest.mark.parametrize(
    ("shape", "rule"),
    [
        (NARROW, "reference"),
        (NARROW, "paper"),
        (Shape(width=5, channels=1), "reference"),
        (Shape(width=4, frames=1, skips=False), "reference"),
        (Shape(width=3, channels=1, frames=1, skips=False), "paper"),
        (Shape(width=64), "reference"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.width}-{value.channels}",
)
def test_every_figure_agrees_with_the_reference_frame_after_frame(shape: Shape, rule: str) -> None:
    weights, items = random_weights(shape), _items(8 * shape.width)
    bundle = convert("theirs", weights, items, SMALL)
    context = bundle.config.context
    frames = _frames(shape, context + (3 if shape.width == 64 else 6))
    gamma = _between(shape, weights, items, frames)
    bundle = replace(bundle, calibration=replace(bundle.calibration, gamma=gamma))
    score = reference_score(bundle.config.task)
    detector = Detector(bundle, scores=[score])
    camera = detector.start()
    theirs = ReferenceCamera(weights, items.double().numpy(), gamma=gamma)
    options = CameraOptions(update=UPDATE_RULES[rule])
    moved = []
    for index, frame in enumerate(frames):
        seen = detector.observe([camera], [frame], [options])[0]
        if index < context:
            continue
        past = frames[index - context : index] if context else [frame]
        psnr, distance, gate, moves = theirs.observe(
            [_as_read(each) for each in past], _as_read(frame), over_all=rule == "reference"
        )
        assert seen.measures is not None
        assert -seen.measures.errors[score.error.key] == pytest.approx(psnr, abs=AGREE)
        assert seen.measures.distance == pytest.approx(distance, abs=AGREE)
        assert seen.measures.gate_error == pytest.approx(gate, abs=AGREE)
        assert seen.memory_updated == moves
        assert np.abs(camera.items.numpy() - theirs.items).max() < AGREE
        moved.append(moves)
    assert set(moved) == {True, False}
    assert np.abs(theirs.items - items.numpy()).max() > 0.1


def _between(
    shape: Shape, weights: dict[str, Tensor], items: Tensor, frames: list[NDArray[np.uint8]]
) -> float:
    """A γ that some frames lie below and some above, and none is close to."""
    camera = ReferenceCamera(weights, items.double().numpy(), gamma=0.0)
    context = 0 if not shape.skips else shape.frames
    errors = sorted(
        camera.observe(
            [_as_read(each) for each in frames[index - context : index] or [frames[index]]],
            _as_read(frames[index]),
            over_all=True,
        )[2]
        for index in range(context, len(frames))
    )
    widest = max(range(1, len(errors)), key=lambda i: errors[i] - errors[i - 1])
    return (errors[widest - 1] + errors[widest]) / 2


@pytest.mark.parametrize("shape", [NARROW, Shape(width=4, frames=1, skips=False)])
def test_the_predicted_picture_agrees_and_its_channels_are_turned(shape: Shape) -> None:
    weights, items = random_weights(shape), _items(8 * shape.width)
    bundle = convert("theirs", weights, items, SMALL)
    pictures = [_as_read(frame) for frame in _frames(shape, shape.frames)]
    expected, _ = ReferenceCamera(weights, items.double().numpy(), gamma=0.0).predict(pictures)
    rgb = np.concatenate([picture[::-1] for picture in pictures])
    with torch.inference_mode():
        inputs = torch.from_numpy(rgb.copy()).float()[None] * 2.0 - 1.0
        found, _ = bundle.network(inputs, bundle.items)
    assert np.abs(found[0].numpy()[::-1] - expected).max() < AGREE
    assert np.abs(expected[0] - expected[2]).max() > 0.01


def test_of_rgb_weights_no_channel_is_turned() -> None:
    weights = random_weights(NARROW)
    bundle = convert("theirs", weights, _items(32), replace(SMALL, bgr=False))
    first = bundle.network.encoder.stages[0].get_parameter("0.weight")
    assert torch.equal(first, weights["encoder.moduleConv1.0.weight"])


def test_configuration_and_constants_follow_from_the_shapes() -> None:
    prediction = convert("a", random_weights(NARROW), _items(32, count=7), SMALL)
    assert prediction.config.task is Task.PREDICTION
    assert (prediction.config.base_width, prediction.config.history) == (4, 4)
    assert (prediction.config.channels, prediction.config.memory_items) == (3, 7)
    assert prediction.calibration == Calibration(0.01, ErrorForm.ELEMENT_SQUARE)
    rebuilt = convert("b", random_weights(Shape(4, 1, 1, skips=False)), _items(32), SMALL)
    assert rebuilt.config.task is Task.RECONSTRUCTION
    assert (rebuilt.config.channels, rebuilt.calibration.gamma) == (1, 0.015)
    assert reference_score(Task.PREDICTION).appearance_weight == 0.6
    assert reference_score(Task.RECONSTRUCTION).appearance_weight == 0.7


def test_weights_of_the_other_task_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"of a prediction network .* not of reconstruction"):
        convert("a", random_weights(NARROW), _items(32), replace(SMALL, task=Task.RECONSTRUCTION))


def test_files_of_both_kinds_and_of_several_gpus_are_read(tmp_path: Path) -> None:
    weights, items = random_weights(NARROW), _items(32)
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
    bundle = convert("a", weights, _items(32), SMALL)
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
        convert("a", weights, _items(32), SMALL)
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
        convert("a", weights, _items(32), SMALL)
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
        convert("a", weights, _items(32), SMALL)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (torch.ones(10, 32), "length 1"),
        (torch.full((10, 32), torch.nan), "length 1"),
        (_items(32)[0], r"\(M, C\)"),
        (_items(32)[:1], "M at least 2"),
        (_items(30), "32"),
    ],
)
def test_items_that_dont_fit_are_refused(items: Tensor, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        convert("a", random_weights(NARROW), items, SMALL)


def test_a_size_that_doesnt_fit_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"height must be a multiple of 8.*60"):
        convert("a", random_weights(NARROW), _items(32), Reading(height=60, width=64))
