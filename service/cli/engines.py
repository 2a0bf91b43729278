"""How a command finds the engine that it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.errors import BadInput

if TYPE_CHECKING:
    from model.bundle import Bundle
    from model.engines.names import EngineName


def runnable(option: str, text: str, bundle: Bundle) -> EngineName:
    """An engine on the CPU by its name, exact or not.

    Raises: BadInput: there is none of that name, or it can't be had here for this bundle.
    """
    from model.detector import wanted_of
    from model.engines.choice import open_engine
    from model.engines.engine import EngineError
    from model.engines.names import EngineName

    if text not in tuple(EngineName):
        raise BadInput(option, text, f"must be one of {', '.join(EngineName)}")
    name = EngineName(text)
    try:
        open_engine(name, bundle, wanted_of(bundle), device="cpu", threads=1)
    except EngineError as error:
        raise BadInput(option, text, str(error)) from None
    return name
