"""Finds the engine that a command was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.engines.names import EngineName
from service.errors import BadInput
from service.settings import AUTO

if TYPE_CHECKING:
    from model.bundles.bundle import Bundle


def parse_engine(option: str, text: str) -> EngineName | None:
    """Return the engine of that name; None for `auto`. Raises: BadInput: there is none."""
    if text == AUTO:
        return None
    if text not in tuple(EngineName):
        raise BadInput(option, text, f"must be one of {', '.join((AUTO, *EngineName))}")
    return EngineName(text)


def require_engine(option: str, name: EngineName, bundle: Bundle, device: str = "cpu") -> None:
    """Refuse an engine, exact or not, that can't run this bundle here. Raises: BadInput."""
    from model.engines import choice
    from model.engines.engine import EngineError

    try:
        choice.require_engine(name, bundle, device)
    except EngineError as error:
        raise BadInput(option, name.value, str(error)) from None
