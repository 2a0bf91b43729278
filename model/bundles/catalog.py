"""Finds bundles and reads their documents without torch, so that the front end can list models
without loading it. `model.bundles.bundle` loads the bundles themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from model.bundles.calibration_config import Calibration, Int8
from model.bundles.composition import Composition
from model.network.network_config import NetConfig
from model.scoring.score_config import ErrorKind, ScoreConfig

DOCUMENT = "bundle.json"
WEIGHTS = "weights.safetensors"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names that bundles may get in a folder of models."""
DEFAULT_FPS = 10.0
"""Frames a second where neither the user, the camera, nor the bundle names a rate."""
SHIPPED = Path(__file__).parent / "shipped"
"""Bundles that come with the program; each folder's name is the bundle's."""


class BundleError(ValueError):
    """A bundle that isn't there, is damaged, or was made by something else."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a bundle, for people; the program uses only `frame_rate`."""

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
    """Figures measured of it, by name, such as `ped2.auc.causal.micro`."""
    notes: str = ""
    composition: Composition | None = None
    """The choice of the judgement's weight; None where nothing was chosen."""


class BundleDocument(BaseModel):
    """The content of `bundle.json`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: Literal["normwatch-bundle"] = "normwatch-bundle"
    version: Literal[2] = 2
    name: str
    weights_sha256: str
    net: NetConfig
    score: ScoreConfig
    calibration: Calibration
    provenance: Provenance
    int8: Int8 | None = None

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        size = min(self.net.height, self.net.width)
        for name, step in (("error", self.score.error), ("judgement", self.score.judgement)):
            if step is None:
                continue
            if step.cell > size:
                raise ValueError(f"score.{name}.cell must fit the picture, got {step.cell}")
            if step.kind is ErrorKind.JUDGED and not self.net.judges:
                raise ValueError(
                    f"score.{name} takes a judgement ({step.key}), which a network with "
                    "net.judges false doesn't give"
                )
        self._check_calibration()
        return self

    def _check_calibration(self) -> None:
        """Refuse ranges without all that a score needs. Raises: ValueError."""
        normal, own = self.calibration.normal, self.score
        if normal is None:
            return
        missing = [step.key for step in own.steps if step.key not in normal.errors]
        if missing:
            raise ValueError(
                f"calibration.normal.errors lacks the range of {' and '.join(missing)}"
            )
        if own.name not in self.calibration.thresholds:
            names = ", ".join(self.calibration.thresholds) or "none"
            raise ValueError(
                f"calibration.thresholds lacks that of score {own.name!r}; there are: {names}"
            )


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """A bundle in a list, read without its weights."""

    name: str
    path: Path
    shipped: bool
    config: NetConfig
    score: str
    """Name of its own score."""
    provenance: Provenance


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


def list_bundles(folders: Sequence[Path] = ()) -> list[BundleInfo]:
    """List the bundles in the folders, then the shipped ones; of two with one name, the first."""
    found: dict[str, BundleInfo] = {}
    for folder in (*folders, SHIPPED):
        if not folder.is_dir():
            continue
        for path in sorted(entry.parent for entry in folder.glob(f"*/{DOCUMENT}")):
            try:
                document = read_document(path)
            except BundleError:
                continue
            info = BundleInfo(
                path.name,
                path,
                folder == SHIPPED,
                document.net,
                document.score.name,
                document.provenance,
            )
            found.setdefault(info.name, info)
    return list(found.values())


def find_bundle(name_or_path: str, folders: Sequence[Path] = ()) -> Path:
    """Find a bundle's folder by its path, or by its name in the folders or among the shipped ones.

    Raises: BundleError: there is none; the text lists what there is.
    """
    direct = Path(name_or_path)
    candidates = [direct]
    if len(direct.parts) == 1:  # a damaged one is found, too: reading it says what is wrong
        candidates += [folder / direct for folder in (*folders, SHIPPED)]
    for path in candidates:
        if (path / DOCUMENT).is_file():
            return path
    if direct.exists():
        raise BundleError(f"{name_or_path} is no bundle: it holds no {DOCUMENT}")
    names = [info.name for info in list_bundles(folders)]
    raise BundleError(f"no bundle {name_or_path!r}; there are: {', '.join(names) or 'none'}")
