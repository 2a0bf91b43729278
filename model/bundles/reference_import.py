"""Weights of MNAD's reference implementation, and of what people trained with it, as a bundle.

Nothing is executed: a file of tensors is read, and one that holds pickled modules is refused.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Calibration
from model.network.network_config import NetConfig, Task
from model.network.unet import MemoryNetwork, build_network
from model.scoring.score_config import PAPER, NormForm, PsnrPeak, ScoreConfig

PARTS = {
    "encoder.stages.0.": "encoder.moduleConv1.",
    "encoder.stages.1.": "encoder.moduleConv2.",
    "encoder.stages.2.": "encoder.moduleConv3.",
    "encoder.last.": "encoder.moduleConv4.",
    "decoder.stages.0.": "decoder.moduleConv.",
    "decoder.ups.0.": "decoder.moduleUpsample4.",
    "decoder.stages.1.": "decoder.moduleDeconv3.",
    "decoder.ups.1.": "decoder.moduleUpsample3.",
    "decoder.stages.2.": "decoder.moduleDeconv2.",
    "decoder.ups.2.": "decoder.moduleUpsample2.",
    "decoder.stages.3.": "decoder.moduleDeconv1.",
    "decoder.last.": "decoder.moduleDeconv1.6.",
}
"""The reference's names for parts of our network; within a part, the numbering is the same."""

_UNUSED = "encoder.moduleBatchNorm."
"""Declared by the reference's encoder, and never called."""

_PARALLEL = "module."
"""The prefix that DataParallel puts before each name."""

_COUNTER = "num_batches_tracked"

_FIRST = "encoder.moduleConv1.0.weight"
_QUERY = "encoder.moduleConv4.3.weight"
_UP = "decoder.moduleUpsample4.0.weight"
_LAST = "decoder.moduleDeconv1.6.weight"

_UNREADABLE = (
    SafetensorError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors that the two loaders have raised on damaged files."""

GAMMA = {Task.PREDICTION: 0.01, Task.RECONSTRUCTION: 0.015}
APPEARANCE_WEIGHT = {Task.PREDICTION: 0.6, Task.RECONSTRUCTION: 0.7}

HOW_TO_SAVE = (
    "in the environment that made it, write torch.save(model.state_dict(), 'weights.pt') "
    "and give that file"
)


class WeightsError(ValueError):
    """A file that doesn't hold a reference network's weights; names the file or the tensors."""


class ItemsError(WeightsError):
    """The items are wrong, not the network's weights."""


@dataclass(frozen=True, slots=True)
class ReferenceInfo:
    """Facts about a reference network that its tensors' shapes don't hold."""

    height: int = 256
    width: int = 256
    task: Task | None = None
    """None: it follows from the shapes. A task that they contradict is refused."""
    bgr: bool = True
    """True where it was trained on BGR frames: the reference takes them as OpenCV reads them."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict by the reference's names, without DataParallel's prefix.

    Raises: WeightsError: it can't be read, holds modules, or anything but named tensors.
    """
    content = _read(path)
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(
            f"{path}: must hold a state dict, got {_name_type(content)}: {HOW_TO_SAVE}"
        )
    tensors: dict[str, Tensor] = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path}: must hold names and tensors, got {name!r}: {_name_type(value)}; "
                f"{HOW_TO_SAVE}"
            )
        tensors[name] = value
    if all(name.startswith(_PARALLEL) for name in tensors):
        tensors = {name.removeprefix(_PARALLEL): value for name, value in tensors.items()}
    return tensors


def read_items(path: Path) -> Tensor:
    """Read the memory's items, (M, C), from a file that holds one tensor.

    Raises: WeightsError: it can't be read, or holds something else.
    """
    content = _read(path)
    if isinstance(content, Mapping) and len(content) == 1:
        content = next(iter(content.values()))
    if not isinstance(content, Tensor):
        raise WeightsError(f"{path}: must hold one tensor of items, got {_name_type(content)}")
    return content


def _read(path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():
            raise WeightsError(
                f"{path}: holds pickled Python objects (a whole model, perhaps), and loading them "
                f"would run code from the file; {HOW_TO_SAVE}"
            ) from None
        raise WeightsError(f"{path}: is damaged, or no file of tensors") from None
    except _UNREADABLE as error:
        raise WeightsError(
            f"{path}: is damaged, or no file of tensors ({type(error).__name__})"
        ) from None


def _name_type(value: object) -> str:
    return f"a {type(value).__name__}"


def convert(
    name: str, weights: Mapping[str, Tensor], items: Tensor, info: ReferenceInfo | None = None
) -> Bundle:
    """Make a bundle of these weights and items, with the reference's γ for its task and no range.

    Its errors are in the reference's form: mean squares, the gate's of each value by itself.

    Args:
        weights: by the reference's names, any floating type.
        items: (M, C), unit length.
    Raises: WeightsError: names every tensor that is missing, unknown, misshapen or not finite.
    """
    info = info or ReferenceInfo()
    named = {key: value for key, value in weights.items() if not key.startswith(_UNUSED)}
    _check_names(named)
    config = _derive_config(named, items, info)
    with torch.device("meta"):
        network = build_network(config)
    ours = {key: _find_tensor(key, value, named) for key, value in network.state_dict().items()}
    _check_shapes(ours, network)
    if config.channels == 3 and info.bgr:
        _reverse_channels(ours)
    if config.task is Task.PREDICTION:
        _move_skips_last(ours)
    network.load_state_dict(ours, assign=True)
    return Bundle(
        name=name,
        config=config,
        network=network.eval().requires_grad_(False),
        items=_convert_items(items)[None],
        calibration=Calibration(GAMMA[config.task], NormForm.ELEMENT_SQUARE),
    )


def make_reference_score(task: Task) -> ScoreConfig:
    """Make the paper's score as the reference computes it: P's peak is 1, λ the task's."""
    error = replace(PAPER.error, peak=PsnrPeak.UNIT)
    return replace(PAPER, name="reference", error=error, appearance_weight=APPEARANCE_WEIGHT[task])


def find_reference_name(name: str) -> str:
    """Find the reference implementation's name for a tensor of our network."""
    for ours, theirs in PARTS.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise WeightsError(f"no tensor of the network: {name!r}")


def _list_reference_names() -> list[str]:
    """List the reference's names that carry weights: the same ones at any width or task."""
    with torch.device("meta"):
        return [
            find_reference_name(name)
            for name in build_network(NetConfig(base_width=1)).state_dict()
        ]


def _check_names(weights: Mapping[str, Tensor]) -> None:
    expected = _list_reference_names()
    missing = [name for name in expected if name not in weights and not name.endswith(_COUNTER)]
    unknown = sorted(weights.keys() - set(expected))
    wrong = [f"{name} is missing" for name in missing]
    wrong += [f"{name} is unknown" for name in unknown]
    wrong += [
        f"{name} must be a dense floating-point tensor, got {weights[name].dtype}"
        for name in expected
        if name in weights and not name.endswith(_COUNTER) and not _is_dense_float(weights[name])
    ]
    if wrong:
        raise WeightsError("not the weights of MNAD's reference network: " + "; ".join(wrong))


def _is_dense_float(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and tensor.dtype.is_floating_point


def _derive_config(weights: Mapping[str, Tensor], items: Tensor, info: ReferenceInfo) -> NetConfig:
    """Derive the configuration from the shapes. Raises: WeightsError: they fit none."""
    wrong = [f"{name} must have 4 dimensions" for name in (_FIRST, _QUERY, _UP, _LAST)
             if weights[name].dim() != 4]  # fmt: skip
    if wrong:
        raise WeightsError("; ".join(wrong))
    base_width, channels_in = weights[_FIRST].shape[:2]
    channels = weights[_LAST].shape[0]
    ups = weights[_UP].shape  # (in, out, 3, 3)
    task = Task.RECONSTRUCTION if ups[1] == ups[0] else Task.PREDICTION
    if info.task is not None and info.task is not task:
        raise WeightsError(
            f"the weights are of a {task.value} network ({_UP} is of shape {tuple(ups)}), "
            f"not of {info.task.value}"
        )
    history = channels_in // channels if channels else 0
    frames = 1 if task is Task.RECONSTRUCTION else history
    if channels not in (1, 3) or channels_in != frames * channels or not frames:
        raise WeightsError(
            f"{_FIRST} takes {channels_in} channels and {_LAST} gives {channels}: "
            "frames have 1 or 3, and the input is whole frames"
        )
    features = weights[_QUERY].shape[0]
    fits = items.dim() == 2 and items.shape[0] >= 2 and items.shape[1] == features
    if not fits or not _is_dense_float(items):
        raise ItemsError(
            f"the items must be (M, C) floats, M at least 2, C {features} as the queries have it, "
            f"got {tuple(items.shape)} {items.dtype}"
        )
    try:
        return NetConfig(
            task=task,
            base_width=base_width,
            channels=channels,
            height=info.height,
            width=info.width,
            history=frames if task is Task.PREDICTION else 4,
            memory_items=items.shape[0],
            memory_channels=features,
        )
    except ValueError as error:
        raise WeightsError(f"the weights don't fit: {error}") from None


def _find_tensor(name: str, like: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Find the reference's tensor for one of ours; a counter may be missing."""
    theirs = find_reference_name(name)
    if name.endswith(_COUNTER):
        return torch.zeros(like.shape, dtype=like.dtype)
    return weights[theirs].detach()


def _check_shapes(ours: dict[str, Tensor], network: MemoryNetwork) -> None:
    """Make all float32, in memory of their own. Raises: WeightsError: a shape doesn't fit."""
    wrong: list[str] = []
    for name, like in network.state_dict().items():
        found = ours[name]
        if found.shape != like.shape:
            wrong.append(
                f"{find_reference_name(name)} must be of shape {tuple(like.shape)}, "
                f"got {tuple(found.shape)}"
            )
        elif not bool(found.isfinite().all()):
            wrong.append(f"{find_reference_name(name)} is not finite")
    if wrong:
        raise WeightsError("the weights don't fit the network: " + "; ".join(wrong))
    for name, like in network.state_dict().items():
        ours[name] = ours[name].to(like.dtype).clone(memory_format=torch.contiguous_format)


def _reverse_channels(ours: dict[str, Tensor]) -> None:
    """Adapt the network from BGR to RGB frames: first convolution's inputs, last one's outputs."""
    first = ours["encoder.stages.0.0.weight"]
    by_frame = first.reshape(len(first), -1, 3, 3, 3)  # (w, frames, channels, 3, 3)
    ours["encoder.stages.0.0.weight"] = by_frame.flip(2).reshape(first.shape)
    for name in ("decoder.last.weight", "decoder.last.bias"):
        ours[name] = ours[name].flip(0).contiguous()


def _move_skips_last(ours: dict[str, Tensor]) -> None:
    """Reorder the input channels of the decoder stages that take a skip connection.

    The reference concatenates the skip before the upsampled features, our decoder after them; each
    is half of the channels.
    """
    for stage in (1, 2, 3):
        name = f"decoder.stages.{stage}.0.weight"
        skip, upsampled = ours[name].chunk(2, dim=1)  # (out, in, 3, 3) each
        ours[name] = torch.cat((upsampled, skip), dim=1)


def _convert_items(items: Tensor) -> Tensor:
    """Convert the items to float32. Raises: ItemsError: one isn't finite or of unit length."""
    found = items.detach().float().clone(memory_format=torch.contiguous_format)
    lengths = torch.linalg.vector_norm(found, dim=1)
    if not bool(((lengths - 1.0).abs() < 1e-2).all()):
        raise ItemsError(
            "each item must be finite and of length 1, got lengths from "
            f"{lengths.min().item():.3g} to {lengths.max().item():.3g}"
        )
    return found
