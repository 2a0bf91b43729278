"""The registered streams, as the recorder knows them from one round to the next."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.store.tables import StreamRow

_COLUMNS = StreamRow.__table__.c
_REVISIONS = select(_COLUMNS.id, _COLUMNS.revision).where(_COLUMNS.deleted_at.is_(None))
READ_AT_ONCE = 500
"""Rows that one query names by their ids."""


class StreamRows:
    """Caches the rows of all streams that aren't deleted.

    A row is read again when its revision has changed, as it does with every change by a user.
    """

    def __init__(self) -> None:
        self._rows: dict[str, StreamRow] = {}

    def refresh(self, session: Session) -> Mapping[str, StreamRow]:
        """Read what has changed; return the rows by id, detached from the session."""
        # Not through the ORM: it takes longer to build this statement than to run it.
        found = session.connection().execute(_REVISIONS)
        revisions = {stream_id: revision for stream_id, revision in found}
        kept = {
            stream_id: row
            for stream_id, row in self._rows.items()
            if revisions.get(stream_id) == row.revision
        }
        changed = [stream_id for stream_id in revisions if stream_id not in kept]
        for start in range(0, len(changed), READ_AT_ONCE):
            ids = changed[start : start + READ_AT_ONCE]
            for row in session.scalars(select(StreamRow).where(StreamRow.id.in_(ids))):
                kept[row.id] = row
        self._rows = kept
        return kept
