"""Ids as they come in requests: their form, and whether they name something."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.api.errors import Refused, wrong_field

IDENT = re.compile(r"[0-9A-Za-z_-]{1,64}")


def checked_ids(
    session: Session,
    given: Sequence[str] | None,
    column: InstrumentedAttribute[str],
    field: str,
    noun: str,
) -> list[str] | None:
    """The ids, each once. Raises: Refused: one of them is in no row of the column."""
    if given is None:
        return None
    wanted = list(dict.fromkeys(given))
    shaped = [ident for ident in wanted if IDENT.fullmatch(ident)]
    known = set(session.scalars(select(column).where(column.in_(shaped))))
    fields = [
        wrong_field(f"{field}[{place}]", ident, f"no such {noun}")
        for place, ident in enumerate(given)
        if ident not in known
    ]
    if fields:
        raise Refused(422, f"{fields[0].field}: {fields[0].reason}", fields)
    return wanted
