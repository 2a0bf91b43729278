"""Names for the models that are learned: from the stream's name, with a number that rises."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from model.bundles.catalog import SHIPPED
from service.settings import Settings
from service.store.tables import LearningRow

MOST_LETTERS = 40


def choose_bundle_name(session: Session, settings: Settings, stream_name: str) -> str:
    """Return a name that no model has, and no other learning gets."""
    slug = make_slug(stream_name)
    reserved = session.scalars(
        select(LearningRow.bundle).where(LearningRow.bundle.like(f"{slug}-%"))
    )
    existing = [
        entry.name
        for folder in (settings.user_models, SHIPPED)
        if folder.is_dir()
        for entry in folder.iterdir()
    ]
    return f"{slug}-{_find_last_number(slug, [*reserved, *existing]) + 1}"


def make_slug(name: str) -> str:
    """Return a name of small ASCII letters, digits and dashes that resembles a stream's name."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")
    return words[:MOST_LETTERS].strip("-") or "camera"


def _find_last_number(slug: str, names: Iterable[str]) -> int:
    # A folder's name may differ in case only, which some file systems don't distinguish.
    numbered = re.compile(rf"{re.escape(slug)}-(\d{{1,9}})", re.IGNORECASE)
    found = [match for name in names if (match := numbered.fullmatch(name)) is not None]
    return max((int(match[1]) for match in found), default=0)
