"""Checks that a command can write its files before it does the work that takes time."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from model.bundles.catalog import DOCUMENT
from service.errors import BadInput


def check_bundle_folder(option: str, folder: Path) -> None:
    """Make the folder's parents, and refuse a folder that can't be written or holds a bundle.

    Raises: BadInput.
    """
    if (folder / DOCUMENT).exists():
        raise BadInput(option, str(folder), "holds a bundle already: delete it, or name another")
    if folder.exists() and not folder.is_dir():
        raise BadInput(option, str(folder), "is a file: name a folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _try_to_write(folder if folder.is_dir() else folder.parent)
    except OSError as error:
        raise BadInput(option, str(folder), f"cannot be written: {error.strerror}") from None


def check_file(option: str, path: Path | None) -> None:
    """Refuse a file that can't be written; None is fine. Raises: BadInput."""
    if path is None:
        return
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise BadInput(option, str(path), "must be a file in a folder that is there")
    if path.exists():  # it may be a device, whose folder can't be written
        if not os.access(path, os.W_OK):
            raise BadInput(option, str(path), "cannot be written: Permission denied")
        return
    try:
        _try_to_write(path.resolve().parent)
    except OSError as error:
        raise BadInput(option, str(path), f"cannot be written: {error.strerror}") from None


def write_figures(path: Path | None, figures: Mapping[str, object], console: Console) -> None:
    """Write figures as JSON, and print where; None writes nothing."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n")
        console.print(f"figures: {path}")


def _try_to_write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass
