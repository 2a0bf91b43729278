"""Bundles by name, as the API knows them: never by path."""

from __future__ import annotations

from model.catalog import BundleInfo, available
from service.errors import BadInput
from service.settings import Settings


def bundles(settings: Settings) -> list[BundleInfo]:
    """The user's own bundles, then the shipped ones."""
    return available([settings.user_models])


def chosen_model(name: str | None, settings: Settings) -> str:
    """The name of an existing bundle; None is the default one, or the only one there is.

    Raises: BadInput: there is no such bundle, or none to choose without a name.
    """
    names = [info.name for info in bundles(settings)]
    wanted = name if name is not None else settings.default_model
    known = ", ".join(names) or "none"
    if wanted is None:
        if len(names) == 1:
            return names[0]
        raise BadInput("model", None, f"must be named; there are: {known}")
    if wanted not in names:
        raise BadInput("model", wanted, f"no such model; there are: {known}")
    return wanted
