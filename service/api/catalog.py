"""Bundles by name, as the API knows them: never by path."""

from __future__ import annotations

from model.catalog import BundleInfo, available
from service.errors import BadInput
from service.settings import Settings


def bundles(settings: Settings) -> list[BundleInfo]:
    """The user's own bundles, then the shipped ones."""
    return available([settings.user_models])


def chosen_model(name: str | None, settings: Settings) -> str:
    """The name of an existing bundle; None is the default one, or the user's own if there is one.

    Raises: BadInput: there is no such bundle, or none to choose without a name.
    """
    found = bundles(settings)
    names = [info.name for info in found]
    wanted = name if name is not None else settings.default_model
    known = ", ".join(names) or "none"
    if wanted is None:
        # The shipped ones know other cameras: none is taken unasked.
        own = [info.name for info in found if not info.shipped]
        if len(own) == 1:
            return own[0]
        raise BadInput("model", None, f"must be named; there are: {known}")
    if wanted not in names:
        raise BadInput("model", wanted, f"no such model; there are: {known}")
    return wanted
