"""Converts times at the edge: ISO 8601 or seconds since 1970 in, ISO 8601 UTC out."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

LATEST = 253_402_300_799.0
"""The end of the year 9999, the last that ISO 8601 writes in four digits."""
ROUNDING_S = 5e-7
"""Answers round times to the microsecond: comparing with such a time allows for half of one."""
_LOST_PLUS = re.compile(r" (\d\d:?\d\d)$")


def parse_time(value: object) -> float:
    """Return the seconds since 1970 of an ISO 8601 time (UTC without a zone), or of such seconds.

    Raises: ValueError: it is neither, or outside the years 1970 to 9999.
    """
    seconds = _parse_seconds(value)
    if not math.isfinite(seconds):
        raise ValueError("must be a finite time")
    if not 0.0 <= seconds <= LATEST:
        raise ValueError("must be a time from 1970 to 9999")
    return seconds


def _parse_seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(min(value, LATEST + 1)) if isinstance(value, int) else value
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 time or seconds since 1970")
    text = value.strip()
    try:
        return float(text)
    except ValueError:
        pass
    # In a query string an unescaped "+02:00" arrives as " 02:00".
    text = _LOST_PLUS.sub(r"+\1", text) if "T" in text else text
    try:
        moment = datetime.fromisoformat(text)
        zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return zoned.timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be an ISO 8601 time or seconds since 1970") from None


def format_time(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, to the microsecond."""
    moment = datetime.fromtimestamp(min(max(seconds, 0.0), LATEST), UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


TimeIn = Annotated[
    float,
    BeforeValidator(parse_time),
    WithJsonSchema(
        {
            "type": "string",
            "description": "ISO 8601 (UTC where it names no zone), or seconds since 1970.",
            "examples": ["2026-11-24T08:30:00Z", "1795509000.5"],
        }
    ),
]
TimeOut = Annotated[
    float,
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-24T08:30:00.125000Z"]}
    ),
]
