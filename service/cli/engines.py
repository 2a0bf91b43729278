"""How a command finds the engine that it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.errors import BadInput

if TYPE_CHECKING:
    from model.bundle import Bundle
    from model.engines.names import EngineName


def runnable(option: str, text: str, bundle: Bundle, device: str = "cpu") -> EngineName:
    """An engine by its name, exact or not.

    Raises: BadInput: there is none of that name, or it can't be had here for this bundle.
    """
    from model.engines.choice import require
    from model.engines.engine import EngineError
    from model.engines.names import EngineName

    if text not in tuple(EngineName):
        raise BadInput(option, text, f"must be one of {', '.join(EngineName)}")
    name = EngineName(text)
    try:
        require(name, bundle, device)
    except EngineError as error:
        raise BadInput(option, text, str(error)) from None
    return name
