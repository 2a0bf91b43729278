"""Bundles by name: the API never sees their paths."""

from __future__ import annotations

from model.bundles import catalog
from model.bundles.catalog import BundleInfo
from service.errors import BadInput
from service.settings import Settings


def list_bundles(settings: Settings) -> list[BundleInfo]:
    """Return the user's own bundles, then the shipped ones."""
    return catalog.list_bundles([settings.user_models])


def choose_model(name: str | None, settings: Settings) -> str:
    """Return an existing bundle's name; None takes the default, or the user's own if there is one.

    Raises: BadInput: there is no such bundle, or none to choose without a name.
    """
    found = list_bundles(settings)
    names = [info.name for info in found]
    chosen = name if name is not None else settings.default_model
    known = ", ".join(names) or "none"
    if chosen is None:
        # Shipped bundles are trained on other cameras: none is chosen without being named.
        own = [info.name for info in found if not info.shipped]
        if len(own) == 1:
            return own[0]
        raise BadInput("model", None, f"must be named; there are: {known}")
    if chosen not in names:
        raise BadInput("model", chosen, f"no such model; there are: {known}")
    return chosen
