"""A trained model on disk: `weights.safetensors`, with the items, and a readable `bundle.json`.

Loading executes nothing. All that can be wrong with the files becomes one BundleError.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from model.bundles.calibration_config import Calibration, Int8
from model.bundles.catalog import (
    DOCUMENT,
    WEIGHTS,
    BundleDocument,
    BundleError,
    Provenance,
    read_document,
)
from model.bundles.range_names import list_convolution_names
from model.frames import FrameShape
from model.network.network_config import NetConfig
from model.network.unet import MemoryNetwork, build_network
from model.scoring.score_config import LIVE, ScoreConfig

ITEMS = "memory.items"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A trained network in evaluation mode, its items, and what it knows of normal footage."""

    name: str
    config: NetConfig
    network: MemoryNetwork
    items: Tensor
    """(1, M, C), float32, unit length."""
    calibration: Calibration = field(default_factory=Calibration)
    score: ScoreConfig = LIVE
    provenance: Provenance = field(default_factory=Provenance)
    int8: Int8 | None = None
    """8-bit ranges, where they were measured."""

    @property
    def frame_shape(self) -> FrameShape:
        """The shape of the frames that the network takes."""
        return FrameShape(self.config.height, self.config.width, self.config.channels)


def save(bundle: Bundle, path: Path) -> None:
    """Write the folder; each file appears whole or not at all, the document last."""
    path.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in bundle.network.state_dict().items()}
    tensors[ITEMS] = bundle.items.detach().float().contiguous()
    weights = save_tensors(tensors)
    document = BundleDocument(
        name=bundle.name,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        net=bundle.config,
        score=bundle.score,
        calibration=bundle.calibration,
        provenance=bundle.provenance,
        int8=bundle.int8,
    )
    _write(path / WEIGHTS, weights)
    _write(path / DOCUMENT, document.model_dump_json(indent=2).encode() + b"\n")


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def load(path: Path) -> Bundle:
    """Read a bundle's folder.

    Raises: BundleError: it isn't there, is damaged, or isn't a bundle of this version.
    """
    document = read_document(path)
    try:
        weights = (path / WEIGHTS).read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot read {WEIGHTS}: {error.strerror}") from None
    if hashlib.sha256(weights).hexdigest() != document.weights_sha256:
        raise BundleError(
            f"{path}: {WEIGHTS} is damaged: it isn't the file that {DOCUMENT} was written for"
        )
    network, items = _load_network(path, document.net, weights)
    if document.int8 is not None:
        _check_ranges(path, network, document.int8)
    return Bundle(
        document.name,
        document.net,
        network,
        items,
        document.calibration,
        document.score,
        document.provenance,
        document.int8,
    )


def _load_network(path: Path, config: NetConfig, weights: bytes) -> tuple[MemoryNetwork, Tensor]:
    """Load network and items from the file. Raises: BundleError: they don't fit."""
    expected = (1, config.memory_items, config.memory_channels)
    try:
        tensors = load_tensors(weights)
        for name, tensor in tensors.items():
            dtype = torch.int64 if name.endswith("num_batches_tracked") else torch.float32
            if tensor.dtype is not dtype or not bool(tensor.isfinite().all()):
                raise ValueError(f"{name} must be {dtype} and finite")
        items = tensors.pop(ITEMS)
        if tuple(items.shape) != expected:
            raise ValueError(f"{ITEMS} must be of shape {expected}, got {tuple(items.shape)}")
        # On the meta device a damaged configuration can't ask for more memory than the file has.
        with torch.device("meta"):
            network = build_network(config)
        _check_tensors(tensors, network)
        network.load_state_dict(tensors, assign=True)
    except KeyError as missing:
        raise BundleError(f"{path}: {WEIGHTS} lacks {missing}") from None
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise BundleError(
            f"{path}: {WEIGHTS} doesn't fit the network that {DOCUMENT} describes: "
            f"{_first_line(error)}"
        ) from None
    network.eval().requires_grad_(False)
    return network, items


def _check_tensors(tensors: Mapping[str, Tensor], network: MemoryNetwork) -> None:
    """Compare with the network. Raises: ValueError: names the first tensor that doesn't fit."""
    expected = network.state_dict()
    for name, like in expected.items():
        expectation = f"{name} must be of shape {tuple(like.shape)}"
        if name not in tensors:
            raise ValueError(f"{expectation}, but is missing")
        if tensors[name].shape != like.shape:
            raise ValueError(f"{expectation}, got {tuple(tensors[name].shape)}")
    for name, tensor in tensors.items():
        if name not in expected:
            raise ValueError(f"{name}, of shape {tuple(tensor.shape)}, has no place in it")


def _check_ranges(path: Path, network: MemoryNetwork, int8: Int8) -> None:
    """Refuse ranges that don't fit. Raises: BundleError: names the first."""
    expected = list_convolution_names(network)
    for name in sorted(expected - int8.ranges.keys()):
        raise BundleError(f"{path}: {DOCUMENT}: int8.ranges lacks the convolution {name}")
    for name in sorted(int8.ranges.keys() - expected):
        raise BundleError(
            f"{path}: {DOCUMENT}: int8.ranges has {name!r}, which no convolution takes"
        )


def _first_line(error: Exception) -> str:
    return next(
        (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
    )
