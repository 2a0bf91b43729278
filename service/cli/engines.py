"""Finds the engine that a command was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.errors import BadInput

if TYPE_CHECKING:
    from model.bundles.bundle import Bundle
    from model.engines.names import EngineName


def require_engine(option: str, text: str, bundle: Bundle, device: str = "cpu") -> EngineName:
    """Return the engine of that name, exact or not.

    Raises: BadInput: there is none of that name, or it can't run this bundle here.
    """
    from model.engines.choice import require_engine
    from model.engines.engine import EngineError
    from model.engines.names import EngineName

    if text not in tuple(EngineName):
        raise BadInput(option, text, f"must be one of {', '.join(EngineName)}")
    name = EngineName(text)
    try:
        require_engine(name, bundle, device)
    except EngineError as error:
        raise BadInput(option, text, str(error)) from None
    return name
