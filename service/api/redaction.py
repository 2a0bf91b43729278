"""Makes values fit for answers: short, without control characters and credentials."""

from __future__ import annotations

import re
from collections.abc import Sequence

from model.footage.locations import redact_url
from service.characters import escape_controls
from service.logs import hide_secrets

MAX_LENGTH = 200
MAX_READ = 4000
"""Longer texts aren't searched for credentials, and aren't answered."""
MAX_ITEMS = 10
_HIDDEN_FIELDS = frozenset({"secret"})
_SCHEME = re.compile(r"^\s*[a-z][a-z0-9+.-]*:/*", re.IGNORECASE)

Scalar = str | int | float | bool | None


def redact_value(field: str, value: object) -> Scalar:
    """Return what an error repeats of a user's value: no objects, secrets and credentials."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return str(value)[:MAX_LENGTH]
    if isinstance(value, list | tuple):
        return _describe_list(field, value)
    if not isinstance(value, str):
        return None
    if field in _HIDDEN_FIELDS:
        return "***"
    if len(value) > MAX_READ:
        return f"({len(value)} characters)"
    return escape_controls(hide_secrets(_hide_credentials(value)))[:MAX_LENGTH]


def _describe_list(field: str, values: Sequence[object]) -> str:
    shown = [redact_value(field, value) for value in values[:MAX_ITEMS]]
    more = ", …" if len(values) > MAX_ITEMS else ""
    return f"[{', '.join('…' if value is None else str(value) for value in shown)}{more}]"[
        :MAX_LENGTH
    ]


def _hide_credentials(text: str) -> str:
    if "://" in text:
        text = redact_url(text)
    if "@" not in text:
        return text
    # A URL with a slip in its scheme still holds a password before its last "@".
    scheme = _SCHEME.match(text)
    return f"{scheme.group() if scheme else ''}***@{text.rpartition('@')[2]}"
