"""Streams of the database, repeated to Redis: the database is the truth about what to watch."""

from __future__ import annotations

from redis import Redis
from sqlalchemy import select

from service.bus.registry import Registry
from service.messages import StreamConfig, Zone
from service.store.database import Database
from service.store.tables import CursorRow, StreamRow


def to_config(row: StreamRow, last_frame: int) -> StreamConfig:
    """What workers are told of a stream; `last_frame` is the newest recorded frame, -1 for none."""
    return StreamConfig(
        id=row.id,
        revision=row.revision,
        source=row.source,
        model=row.model,
        gamma=row.gamma,
        memory_rule=row.memory_rule,
        appearance_weight=row.appearance_weight,
        threshold=row.calibrated_threshold if row.threshold is None else row.threshold,
        fps=row.fps,
        weight=row.weight,
        loop=row.loop,
        paused=row.paused,
        transport=row.transport,
        decode=row.decode,
        zones=tuple(map(Zone.model_validate, row.zones or ())),
        last_frame=last_frame,
    )


def publish_streams(database: Database, redis: Redis) -> None:
    """Write every stream to Redis, and remove there what the database doesn't know."""
    Registry(redis).synchronise(lambda: stream_configs(database))


def stream_configs(database: Database) -> list[StreamConfig]:
    """All streams as the database has them."""
    query = select(StreamRow, CursorRow.last_frame).outerjoin(
        CursorRow, CursorRow.stream_id == StreamRow.id
    )
    with database.read() as session:
        return [
            to_config(row, -1 if last_frame is None else last_frame)
            for row, last_frame in session.execute(query)
        ]
