"""What lies in the folder of a learned model: its check, and the pictures of its report."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

from model.bundles.catalog import DOCUMENT, BundleError, read_document
from service.learning_messages import CheckSummary

CHECK = "check.json"
REPORT = "report"
PICTURE = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,99}\.(jpg|png)")
PICTURE_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
MAX_CHECK_BYTES = 1 << 20


def has_bundle(models: Path, name: str) -> bool:
    """Return whether there is a model of that name."""
    return (models / name / DOCUMENT).is_file()


def is_usable(models: Path, name: str) -> bool:
    """Return whether there is a model of that name whose document can be read."""
    try:
        read_document(models / name)
    except BundleError:
        return False
    return True


def list_pictures(bundle: Path) -> list[str]:
    """List the names of the report's pictures."""
    try:
        entries = list((bundle / REPORT).iterdir())
    except OSError:
        return []
    return sorted(
        entry.name
        for entry in entries
        if PICTURE.fullmatch(entry.name) and entry.is_file() and not entry.is_symlink()
    )


def find_picture(bundle: Path, name: str) -> Path | None:
    """Return the path of a picture of the report; None: there is none of that name."""
    return bundle / REPORT / name if name in list_pictures(bundle) else None


def read_check(bundle: Path) -> CheckSummary | None:
    """Return how a model was checked; None: it wasn't, or that can't be read."""
    try:
        with (bundle / CHECK).open("rb") as file:
            return CheckSummary.model_validate_json(file.read(MAX_CHECK_BYTES))
    except (OSError, ValidationError):
        return None
