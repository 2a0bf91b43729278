"""Streams of the database, repeated to Redis: the database is the truth about what to watch."""

from __future__ import annotations

from sqlalchemy import select

from service.bus.registry import Registry
from service.calibrate.stream_thresholds import choose_threshold
from service.messages import StreamConfig
from service.record.stream_rows import StreamRows
from service.store.database import Database
from service.store.tables import CursorRow, StreamRow

_CURSORS = CursorRow.__table__.c
_LAST_FRAMES = select(_CURSORS.stream_id, _CURSORS.last_frame)
_COLUMNS = StreamConfig.model_fields.keys() - {"last_frame"}


def make_config(row: StreamRow, last_frame: int) -> StreamConfig:
    """Return what workers need of a stream.

    Args:
        last_frame: the newest recorded frame, -1 for none.
    """
    threshold, _ = choose_threshold(row)
    columns = {name: getattr(row, name) for name in _COLUMNS}
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
