"""A trained model on disk: `weights.safetensors` (weights and items) beside a readable `bundle.json`.

Loading executes nothing. Whatever is wrong with the files becomes one BundleError.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from model.config import LIVE, Calibration, NetConfig, ScoreConfig
from model.frames import FrameShape
from model.network import MemoryNetwork, build

DOCUMENT = "bundle.json"
WEIGHTS = "weights.safetensors"
ITEMS = "memory.items"
SHIPPED = Path(__file__).parent / "shipped"
"""Bundles that come with the program; each folder's name is the bundle's."""


class BundleError(ValueError):
    """A bundle that isn't there, is damaged, or was made by something else."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a bundle comes from, for people; only `frame_rate` is used by the program."""

    created_at: str = ""
    """ISO 8601."""
    sources: tuple[str, ...] = ()
    """Names of the footage, without credentials."""
    frames: int = 0
    held_out_frames: int = 0
    frame_rate: float | None = None
    """Frames a second of the footage; a camera is analysed at this rate by default."""
    epochs: int = 0
    steps: int = 0
    seed: int = 0
    training_s: float = 0.0
    settings: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    results: dict[str, float] = field(default_factory=dict)
    """What was measured of it, by name, such as `ped2.auc.causal.micro`."""
    notes: str = ""


class BundleDocument(BaseModel):
    """What `bundle.json` holds."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: Literal["normwatch-bundle"] = "normwatch-bundle"
    version: Literal[1] = 1
    name: str
    weights_sha256: str
    net: NetConfig
    score: ScoreConfig
    calibration: Calibration
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Bundle:
    """A trained network in evaluation mode, its items as trained, and what it knows of normal footage."""

    name: str
    config: NetConfig
    network: MemoryNetwork
    items: Tensor
    """(1, M, C), float32, unit length."""
    calibration: Calibration = field(default_factory=Calibration)
    score: ScoreConfig = LIVE
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def frame_shape(self) -> FrameShape:
        """The frames that the network takes."""
        return FrameShape(self.config.height, self.config.width, self.config.channels)


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """A line about a bundle, read without its weights."""

    name: str
    path: Path
    shipped: bool
    config: NetConfig
    provenance: Provenance


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
    try:
        tensors = load_tensors(weights)
        items = tensors.pop(ITEMS)
        network = build(document.net)
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise BundleError(
            f"{path}: {WEIGHTS} doesn't fit the network: {_first_line(error)}"
        ) from None
    expected = (1, document.net.memory_items, document.net.memory_channels)
    if tuple(items.shape) != expected or not bool(torch.isfinite(items).all()):
        raise BundleError(
            f"{path}: items must be finite and of shape {expected}, got {tuple(items.shape)}"
        )
    network.eval().requires_grad_(False)
    return Bundle(
        document.name,
        document.net,
        network,
        items,
        document.calibration,
        document.score,
        document.provenance,
    )


def read_document(path: Path) -> BundleDocument:
    """Read and check `bundle.json` alone. Raises: BundleError."""
    try:
        text = (path / DOCUMENT).read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} is no bundle: cannot read {DOCUMENT}: {error.strerror}"
        ) from None
    try:
        return BundleDocument.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(
            f"{path}: {DOCUMENT} is damaged or foreign: {where}: {first['msg']}"
        ) from None


def _first_line(error: Exception) -> str:
    return next(
        (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
    )


def available(folders: Sequence[Path] = ()) -> list[BundleInfo]:
    """Bundles in the folders, then the shipped ones; of two with one name, the first."""
    found: dict[str, BundleInfo] = {}
    for folder in (*folders, SHIPPED):
        if not folder.is_dir():
            continue
        for path in sorted(entry.parent for entry in folder.glob(f"*/{DOCUMENT}")):
            try:
                document = read_document(path)
            except BundleError:
                continue
            info = BundleInfo(path.name, path, folder == SHIPPED, document.net, document.provenance)
            found.setdefault(info.name, info)
    return list(found.values())


def find(name_or_path: str, folders: Sequence[Path] = ()) -> Path:
    """The folder of a bundle: a path as it is, or a name in the folders or among the shipped ones.

    Raises: BundleError: there is none; the text lists what there is.
    """
    direct = Path(name_or_path)
    if (direct / DOCUMENT).is_file():
        return direct
    names = []
    for info in available(folders):
        if info.name == name_or_path:
            return info.path
        names.append(info.name)
    if direct.exists():
        raise BundleError(f"{name_or_path} is no bundle: it holds no {DOCUMENT}")
    raise BundleError(f"no bundle {name_or_path!r}; there are: {', '.join(names) or 'none'}")
