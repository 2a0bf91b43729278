"""What the recorder remembers of streams from one round to the next."""

from __future__ import annotations

from redis import Redis
from sqlalchemy import update

from service.record.stream_configs import StreamRows
from service.store.database import Database
from service.store.tables import StreamRow
from tests.record.parts import LOW, frames_of, make_recorder
from tests.record.rows import Worker, add_stream, frame_score


def _names(database: Database, streams: StreamRows) -> dict[str, str]:
    with database.read() as session:
        return {key: row.name for key, row in streams.refresh(session).items()}


def test_streams_that_changed_came_or_went_are_noticed(database: Database) -> None:
    streams = StreamRows()
    assert _names(database, streams) == {}
    for stream_id in ("a", "b"):
        add_stream(database, stream_id)
    assert _names(database, streams) == {"a": "The a", "b": "The b"}
    with database.write() as session:
        change = update(StreamRow).values(revision=StreamRow.revision + 1, name="Door")
        session.execute(change.where(StreamRow.id == "a"))
        session.execute(update(StreamRow).where(StreamRow.id == "b").values(deleted_at=1.0))
    add_stream(database, "c")
    assert _names(database, streams) == {"a": "Door", "c": "The c"}


def test_a_stream_that_is_marked_as_deleted_gets_no_further_scores(
    database: Database, redis: Redis
) -> None:
    add_stream(database)
    recorder, worker = make_recorder(database, redis), Worker(redis)
    worker.publish("cam", [frame_score(0, LOW)])
    assert recorder.step() == 1
    with database.write() as session:
        session.execute(update(StreamRow).values(deleted_at=1.0))
    worker.publish("cam", [frame_score(1, LOW)])
    assert recorder.step() == 0
    assert frames_of(database) == [0]
