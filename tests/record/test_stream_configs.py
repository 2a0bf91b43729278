"""Streams of the database, repeated to Redis."""

from __future__ import annotations

from redis import Redis
from sqlalchemy import delete, update

from service import keys
from service.bus.registry import Registry
from service.messages import StreamConfig
from service.record.stream_configs import StreamRows, load_configs, make_config, publish_streams
from service.store.database import Database
from service.store.tables import CursorRow, StreamRow
from tests.record.rows import add_stream


def test_every_stream_is_published_with_its_newest_frame(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database, "a")
    add_stream(each_database, "b")
    with each_database.write() as session:
        session.add(CursorRow(stream_id="b", last_frame=41, version=7, detection={}))
    publish_streams(each_database, Registry(redis))
    found = Registry(redis).streams()
    assert {name: config.last_frame for name, config in found.items()} == {"a": -1, "b": 41}
    assert found["a"].source == "rtsp://user:secret@camera/1"
    assert found["a"].revision == 3


def test_a_redis_that_lost_its_data_fills_again(database: Database, redis: Redis) -> None:
    add_stream(database)
    registry = Registry(redis)
    publish_streams(database, registry)
    redis.flushall()
    publish_streams(database, registry)
    assert list(registry.streams()) == ["cam"]
    assert redis.exists(keys.registration("cam"))


def test_changes_reach_redis_and_unknown_streams_leave_it(database: Database, redis: Redis) -> None:
    add_stream(database, "kept")
    add_stream(database, "gone")
    publish_streams(database, Registry(redis))
    redis.set(keys.snapshot("gone"), b"state")
    with database.write() as session:
        session.execute(delete(StreamRow).where(StreamRow.id == "gone"))
        session.execute(update(StreamRow).values(revision=4, paused=True))
    publish_streams(database, Registry(redis))
    (config,) = Registry(redis).streams().values()
    assert (config.id, config.revision, config.paused) == ("kept", 4, True)
    assert redis.keys("nw:{gone}:*") == []


def test_what_the_api_writes_meanwhile_stays(database: Database, redis: Redis) -> None:
    """A change, a new stream and a deletion, each between the reading and the writing."""
    for name in ("changed", "deleted"):
        add_stream(database, name)
    publish_streams(database, Registry(redis))
    registry = Registry(redis)

    def read_then_api_acts() -> list[StreamConfig]:
        configs = load_configs(database, StreamRows())
        changed = next(config for config in configs if config.id == "changed")
        registry.publish([changed.model_copy(update={"revision": 9})])
        registry.publish([changed.model_copy(update={"id": "new"})])
        registry.remove("deleted")
        return configs

    registry.synchronise(read_then_api_acts)
    assert not redis.exists(keys.registration("deleted"))
    found = registry.streams()
    assert {name: config.revision for name, config in found.items()} == {"changed": 9, "new": 3}


def test_a_streams_configuration_holds_all_that_a_worker_needs(database: Database) -> None:
    add_stream(database)
    with database.write() as session:
        values = {
            "gamma": 0.1,
            "appearance_weight": 0.6,
            "threshold": 0.7,
            "fps": 5.0,
            "weight": 2.5,
            "transport": "udp",
            "decode": "keyframes",
            "standing_s": 40.0,
            "zones": [{"kind": "ignore", "points": [[0, 0], [0.5, 0], [0, 1]]}],
        }
        session.execute(update(StreamRow).values(**values, loop=True, memory_rule="held"))
    with database.read() as session:
        config = make_config(session.get_one(StreamRow, "cam"), 3)
    assert config.model_dump() == {
        "id": "cam",
        "revision": 3,
        "source": "rtsp://user:secret@camera/1",
        "model": "small",
        "gamma": 0.1,
        "memory_rule": "held",
        "appearance_weight": 0.6,
        "threshold": 0.7,
        "fps": 5.0,
        "weight": 2.5,
        "loop": True,
        "paused": False,
        "transport": "udp",
        "decode": "keyframes",
        "zones": ({"kind": "ignore", "points": ((0.0, 0.0), (0.5, 0.0), (0.0, 1.0))},),
        "standing_s": 40.0,
        "last_frame": 3,
    }


def test_a_calibrated_threshold_stands_in_for_one_of_the_streams_own(database: Database) -> None:
    add_stream(database)
    for own, in_force in ((None, 0.4), (0.7, 0.7)):
        with database.write() as session:
            session.execute(update(StreamRow).values(threshold=own, calibrated_threshold=0.4))
        with database.read() as session:
            assert make_config(session.get_one(StreamRow, "cam"), 3).threshold == in_force
