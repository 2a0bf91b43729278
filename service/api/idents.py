"""Checks ids in requests: their form, and whether they name something."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.api.error_answers import RequestRefused, make_field_error

IDENT = re.compile(r"[0-9A-Za-z_-]{1,64}")


def check_ids(
    session: Session,
    given: Sequence[str] | None,
    column: InstrumentedAttribute[str],
    field: str,
    noun: str,
) -> list[str] | None:
    """Return the ids, each once. Raises: RequestRefused: one is in no row of the column."""
    if given is None:
        return None
    unique = list(dict.fromkeys(given))
    shaped = [ident for ident in unique if IDENT.fullmatch(ident)]
    known = set(session.scalars(select(column).where(column.in_(shaped))))
    fields = [
        make_field_error(f"{field}[{place}]", ident, f"no such {noun}")
        for place, ident in enumerate(given)
        if ident not in known
    ]
    if fields:
        raise RequestRefused(422, f"{fields[0].field}: {fields[0].reason}", fields)
    return unique
