"""Checks users' texts, which may hold all characters but controls and lone surrogates.

`str.isprintable` is no such test: it refuses no-break and ideographic spaces and the joiners that
Persian, Hindi and emoji are written with.
"""

from __future__ import annotations

from unicodedata import category

_REFUSED = frozenset({"Cc", "Cs"})
"""Unicode's general categories: controls, and surrogates, which can't be encoded alone."""


def is_control(char: str) -> bool:
    """Return whether a character is a control character or a lone surrogate."""
    return category(char) in _REFUSED


def has_controls(text: str, *, allowed: str = "") -> bool:
    """Return whether the text holds a control character or lone surrogate that isn't `allowed`."""
    return any(is_control(char) and char not in allowed for char in text)


def refuse_controls(text: str) -> str:
    """Return the text as it is. Raises: ValueError: it holds control characters."""
    if has_controls(text):
        raise ValueError("must not hold control characters")
    return text


def blank_controls(text: str) -> str:
    """Replace each control character by a space."""
    return "".join(" " if is_control(char) else char for char in text)


def escape_controls(text: str) -> str:
    """Write each control character and lone surrogate as Python would: `\\x00`, `\\ud800`."""
    return "".join(repr(char)[1:-1] if is_control(char) else char for char in text)
