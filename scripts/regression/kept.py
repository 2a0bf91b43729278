"""docs/figures.json: the last kept value of each figure, and where and when it was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scripts.regression.definitions import DEFINITIONS, Better

ABOUT = "Written by `scripts/figures --keep`; see docs/performance.md."


class KeptFileError(ValueError):
    """A docs/figures.json that can't be read; says what is wrong with it."""


class KeptFigure(BaseModel):
    """One figure. It is compared by its value, unit and machine; the rest is for readers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    value: Annotated[float, Field(allow_inf_nan=False)]
    unit: str
    noise: str
    why_so_much_noise: str
    better: Better
    date: str
    machine: str
    commit: str


class KeptFile(BaseModel):
    """All kept figures."""

    model_config = ConfigDict(extra="forbid")

    about: str = ABOUT
    figures: dict[str, KeptFigure]


class Origin(BaseModel):
    """When, where and of which code something was measured."""

    date: str
    machine: str
    commit: str


def read_kept(path: Path) -> dict[str, KeptFigure]:
    """Read the kept figures by name; none if there is no file.

    Raises: KeptFileError: the file can't be read, or isn't such a file.
    """
    try:
        return KeptFile.model_validate_json(path.read_bytes()).figures
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KeptFileError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise KeptFileError(f"{path}: {where}: {first['msg']}; correct it or delete it") from None


def make_kept_figure(name: str, value: float, origin: Origin) -> KeptFigure:
    """Make the kept form of a value that was measured now."""
    definition = DEFINITIONS[name]
    return KeptFigure(
        title=definition.title,
        value=round(value, definition.digits),
        unit=definition.unit,
        noise=definition.noise.describe(definition.unit),
        why_so_much_noise=definition.noise.reason,
        better=definition.better,
        **origin.model_dump(),
    )


def write_kept(path: Path, figures: Mapping[str, KeptFigure]) -> None:
    """Write them in the order of the definitions; a figure that has none any more is left out."""
    ordered = {name: figures[name] for name in DEFINITIONS if name in figures}
    text = json.dumps(KeptFile(figures=ordered).model_dump(mode="json"), indent=2)
    written = path.with_name(f".{path.name}.new")
    written.write_text(text + "\n")
    written.replace(path)
