"""Declares the arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleName = Annotated[
    str, typer.Argument(help="A bundle's folder, or a name from `normwatch models`.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="File for all figures, as JSON.")]
