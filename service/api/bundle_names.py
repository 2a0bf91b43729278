"""Bundles by name: the API never sees their paths."""

from __future__ import annotations

from model.bundles import catalog
from model.bundles.catalog import BundleInfo
from service.errors import BadInput
from service.settings import Settings


def list_bundles(settings: Settings) -> list[BundleInfo]:
    """Return the user's own bundles, then the shipped ones."""
    return catalog.list_bundles([settings.user_models])


def choose_model(name: str | None, settings: Settings) -> str | None:
    """Return an existing bundle's name.

    None takes the operator's default, or no model: every bundle was trained on another camera.

    Raises: BadInput: there is no such bundle.
    """
    chosen = name if name is not None else settings.default_model
    if chosen is None:
        return None
    names = [info.name for info in list_bundles(settings)]
    if chosen not in names:
        known = ", ".join(names) or "none"
        raise BadInput("model", chosen, f"no such model; there are: {known}")
    return chosen


def check_start(start: str, settings: Settings) -> None:
    """Refuse a learning's start that is neither a word for one nor a bundle.

    Raises: BadInput: there is no such bundle.
    """
    names = [info.name for info in list_bundles(settings)]
    if start not in ("auto", "none", *names):
        known = ", ".join(names)
        raise BadInput("start", start, f"must be auto, none or one of the models: {known}")
