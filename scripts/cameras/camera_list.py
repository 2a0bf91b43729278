"""The list of cameras that are compared, and the result of each: both are JSON files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.bundles.composition import Composition


class CameraListError(ValueError):
    """A list of cameras that can't be read; says what is wrong with it."""


class CameraEntry(BaseModel):
    """One camera."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    normal: str
    """Normal footage: what the bundle was, or will be, trained on."""
    labelled: str | None = None
    """A data set's folder; without one, synthetic anomalies are put into held-out footage."""
    bundle: str | None = None
    """A bundle's folder or name; one is trained unless it is given."""
    train: tuple[str, ...] = ()
    """Options of `normwatch train`."""
    fps: float | None = None
    """Frames a second to take of normal footage; the bundle's unless given."""
    max_frames: int | None = None
    """Frames of the normal footage to take."""
    every: Annotated[int, Field(ge=1)] = 1
    """Take every n-th frame of labelled footage, which then has the bundle's frame rate."""
    scenes_a_kind: Annotated[int, Field(ge=1)] = 6
    """Scenes with each kind of synthetic anomaly, where nothing is labelled."""


class CameraList(BaseModel):
    """All cameras, and footage of others whose moving things are strangers to them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cameras: tuple[CameraEntry, ...]
    strangers: tuple[str, ...] = ()


class AucFigure(BaseModel):
    """An AUC in percent, with its 95 % interval over clips; for synthetic ones, over scenes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    auc: float
    low: float
    high: float


class ScoreResult(BaseModel):
    """The figures of one score on one camera."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    causal: AucFigure | None
    offline: AucFigure | None
    labelled: int | None = None
    """Labelled events; None where there is no threshold."""
    found: int | None = None
    false: int | None = None
    rbdc: float | None = None
    """Of the bundle's own map, for all its scores; None without masks."""


class CameraResult(BaseModel):
    """All that was measured of one camera."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: CameraEntry
    bundle: str
    synthetic: bool
    clips: int
    frames: int
    abnormal: int
    fps: float
    composition: Composition | None
    """The choice of the judgement's weight; None where the network doesn't judge."""
    scores: dict[str, ScoreResult]
    """By name; `chosen` is what the rule chose."""


def read_list(path: Path) -> CameraList:
    """Read a list of cameras. Raises: CameraListError: it can't be read, or isn't one."""
    try:
        listed = CameraList.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CameraListError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CameraListError(f"{path}: {where}: {first['msg']}") from None
    names = [camera.name for camera in listed.cameras]
    if len(set(names)) != len(names):
        raise CameraListError(f"{path}: two cameras have one name: {', '.join(names)}")
    return listed


def read_result(path: Path, entry: CameraEntry) -> CameraResult | None:
    """Read a result that was kept; None if there is none of this very entry."""
    try:
        result = CameraResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return result if result.entry == entry else None


def write_result(path: Path, result: CameraResult) -> None:
    """Write it, whole or not at all."""
    written = path.with_name(f".{path.name}.new")
    written.write_text(result.model_dump_json(indent=2) + "\n")
    written.replace(path)


def sort_results(results: Sequence[CameraResult]) -> list[CameraResult]:
    """Sort by the causal AUC of the chosen score, the lowest first; labelled cameras first."""
    return sorted(results, key=lambda each: (each.synthetic, _get_auc(each)))


def _get_auc(result: CameraResult) -> float:
    causal = result.scores["chosen"].causal
    return causal.auc if causal is not None else 100.0
