"""Checks of configuration values, which raise a ValueError that names the value."""

from __future__ import annotations

import math


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Refuse a value. Raises: ValueError: the condition is false."""
    if not condition:
        raise ValueError(f"{name} must be {expected}, got {value!r}")


def require_number(name: str, value: float, least: float) -> None:
    """Refuse a number. Raises: ValueError: it isn't finite, or is below `least`."""
    require(math.isfinite(value) and value >= least, name, value, f"a number, at least {least:g}")
