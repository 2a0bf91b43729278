"""Streams of the database, as the recorder remembers them, and as it repeats them to Redis: the
database is the truth about what to watch.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.bus.registry import Registry
from service.calibrate.stream_thresholds import choose_threshold
from service.messages import StreamConfig
from service.store.database import Database
from service.store.tables import CursorRow, StreamRow

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


_CURSORS = CursorRow.__table__.c
_LAST_FRAMES = select(_CURSORS.stream_id, _CURSORS.last_frame)
_CONFIG_COLUMNS = StreamConfig.model_fields.keys() - {"last_frame"}


def make_config(row: StreamRow, last_frame: int) -> StreamConfig:
    """Return what workers need of a stream.

    Args:
        last_frame: the newest recorded frame, -1 for none.
    """
    threshold, _ = choose_threshold(row)
    columns = {name: getattr(row, name) for name in _CONFIG_COLUMNS}
    return StreamConfig.model_validate(
        columns | {"threshold": threshold, "zones": row.zones or (), "last_frame": last_frame}
    )


def publish_streams(
    database: Database, registry: Registry, streams: StreamRows | None = None
) -> None:
    """Write every stream to Redis, and remove there what the database doesn't know.

    Args:
        streams: remembers the rows from one time to the next.
    """
    remembered = StreamRows() if streams is None else streams
    registry.synchronise(lambda: load_configs(database, remembered))


def load_configs(database: Database, streams: StreamRows) -> list[StreamConfig]:
    with database.read() as session:
        rows = streams.refresh(session)
        found = session.connection().execute(_LAST_FRAMES)
        last_frames = {stream_id: last_frame for stream_id, last_frame in found}
    return [make_config(row, last_frames.get(row.id, -1)) for row in rows.values()]
