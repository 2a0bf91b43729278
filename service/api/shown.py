"""Values as they may be shown: printable, short, and without credentials."""

from __future__ import annotations

import re

from model.footage import hide_credentials
from service.logs import hide_secrets

MAX_LENGTH = 200
MAX_READ = 4000
"""What is longer isn't looked through for credentials, and isn't shown."""
_HIDDEN_FIELDS = frozenset({"secret"})
_SCHEME = re.compile(r"^\s*[a-z][a-z0-9+.-]*:/*", re.IGNORECASE)

Scalar = str | int | float | bool | None


def printable(text: str) -> str:
    """The text without control characters and lone surrogates, which no encoder takes."""
    safe = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in safe)


def shown_url(url: str) -> str:
    """The URL without credentials. Where its path holds an `@` too, which of them ends the password
    is anybody's guess: everything before the last one goes."""
    hidden = hide_credentials(url)
    scheme, found, rest = hidden.partition("://***@")
    return f"{scheme}{found}{rest.rpartition('@')[2]}" if found else hidden


def shown(field: str, value: object) -> Scalar:
    """What an error repeats of a user's value: nothing of structures, secrets and credentials."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return str(value)[:MAX_LENGTH]
    if not isinstance(value, str):
        return None
    if field in _HIDDEN_FIELDS:
        return "***"
    if len(value) > MAX_READ:
        return f"({len(value)} characters)"
    return printable(hide_secrets(_without_credentials(value)))[:MAX_LENGTH]


def _without_credentials(text: str) -> str:
    if "://" in text:
        text = shown_url(text)
    if "@" not in text:
        return text
    # A URL with a slip in its scheme still holds a password before its last "@".
    scheme = _SCHEME.match(text)
    return f"{scheme.group() if scheme else ''}***@{text.rpartition('@')[2]}"
