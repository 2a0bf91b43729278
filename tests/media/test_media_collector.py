"""The way from recorded events to files, on a real Redis, and with parts that are away."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import delete

from service import keys
from service.bus.connection import connect
from service.bus.leases import Leases
from service.bus.picture_requests import Shots
from service.media.event_pictures import ATTEMPTS, GRACE_S
from service.media.media_collector import MediaCollector
from service.media.shelf import MediaKind, Shelf, make_media_path
from service.metrics import Metrics
from service.record.recorder import Recorder
from service.record.stream_updates import StreamUpdate, make_event_id
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventMediaRow, EventRow, StreamRow
from tests.media.shots import play_clip, shot
from tests.record.rows import Worker, add_stream, frame_score
from tests.support import servers

HIGH, LOW = 0.9, 0.1
FIRST = 20
EVENT = make_event_id("cam", FIRST)


class Scene:
    """A recorder and a collector, and a worker whose camera starts an event at `FIRST`."""

    def __init__(self, database: Database, redis: Redis, folder: Path) -> None:
        add_stream(database)
        self.database, self.redis = database, redis
        self.settings = Settings(
            event_start_s=0.2,
            event_quiet_s=0.2,
            clip_before_s=1.0,
            clip_after_s=0.5,
            clip_max_s=3.0,
            clip_fps=10.0,
        )
        self.metrics = Metrics()
        self.shelf = Shelf(folder / "media", database)
        self.now = 100.0
        self.collector = self.new_collector()
        self.recorder = Recorder(
            database,
            redis,
            self.settings,
            self.metrics,
            owner="front",
            clock=lambda: 1010.0,
            on_recorded=self._follow,
        )
        self.worker = Worker(redis)
        self.footage = Shots(redis)
        self.frame = self.epoch = 0

    def _follow(self, recording: StreamUpdate) -> None:
        self.collector.follow(recording)

    def new_collector(self, redis: Redis | None = None) -> MediaCollector:
        return MediaCollector(
            redis or self.redis, self.shelf, self.settings, self.metrics, clock=lambda: self.now
        )

    def score(self, *values: float) -> None:
        """Frames are scored and recorded."""
        scores = [frame_score(self.frame + place, value) for place, value in enumerate(values)]
        self.frame += len(values)
        self.worker.publish("cam", scores)
        self.recorder.step()
        self.epoch = int(self.redis.get(keys.epoch("cam")) or 0)

    def start(self) -> None:
        """An event starts, and the collector asks for its pictures."""
        self.score(*[LOW] * FIRST, *[HIGH] * 4)
        self.collector.step()

    def end(self) -> None:
        """It ends."""
        self.score(LOW, LOW)

    def send(self, *frames: int, peak: tuple[int, float] | None = None) -> int:
        """The worker sends pictures."""
        shots = [shot(frame, event_id=EVENT) for frame in frames]
        if peak is not None:
            shots.append(shot(peak[0], score=peak[1], peak=True, event_id=EVENT))
        return self.footage.send("cam", self.epoch, shots)

    def step(self, later_s: float = 0.5) -> None:
        """Time passes."""
        self.now += later_s
        self.collector.step()

    def count(self, kind: str, outcome: str) -> float:
        labels = {"kind": kind, "outcome": outcome}
        return self.metrics.registry.get_sample_value("normwatch_event_media_total", labels) or 0.0

    def clip(self) -> list[int]:
        """The numbers that the clip shows."""
        return play_clip(self.shelf.root / make_media_path(EVENT, MediaKind.CLIP))[0]


@pytest.fixture
def scene(database: Database, redis: Redis, tmp_path: Path) -> Scene:
    return Scene(database, redis, tmp_path)


def test_an_event_gets_its_peak_at_once_and_its_clip_when_it_is_over(scene: Scene) -> None:
    scene.start()
    (asked,) = scene.footage.read_requests(["cam"])["cam"].events
    assert (asked.event_id, asked.first_frame, asked.clip) == (EVENT, FIRST, True)
    assert scene.send(*range(10, 24), peak=(22, 0.9)) == 15
    scene.step()
    assert scene.shelf.kinds(EVENT) == {MediaKind.PEAK, MediaKind.HEAT}
    scene.end()
    scene.send(*range(24, 40))
    scene.step()
    assert scene.shelf.kinds(EVENT) == {MediaKind.PEAK, MediaKind.HEAT, MediaKind.CLIP}
    assert scene.clip() == list(range(10, 29)), "from 1 s before it to 0.5 s after it"
    scene.step(GRACE_S + 1.0)
    scene.step()
    assert scene.footage.read_requests(["cam"]) == {}
    assert [scene.count(kind, "written") for kind in ("peak", "heat", "clip")] == [1, 1, 1]


def test_a_better_peak_replaces_the_picture(scene: Scene) -> None:
    scene.start()
    path = scene.shelf.root / make_media_path(EVENT, MediaKind.PEAK)
    pictures = []
    for number, score in ((21, 0.7), (22, 0.6), (23, 0.8)):
        scene.send(peak=(number, score))
        scene.step(1.0)
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]
    assert scene.footage.read_requests(["cam"])["cam"].events[0].peak_above == 0.8


def test_an_event_without_pictures_has_no_clip_and_stays(scene: Scene) -> None:
    scene.start()
    scene.end()
    for _ in range(14):
        scene.step(1.0)
    assert scene.count("clip", "absent") == 1
    assert scene.footage.read_requests(["cam"]) == {}
    with scene.database.read() as session:
        assert session.get_one(EventRow, EVENT).ended_at is not None


def test_a_new_owner_goes_on_and_the_old_one_is_ignored(scene: Scene) -> None:
    scene.start()
    scene.send(*range(10, 22))
    scene.step()
    leases = Leases(scene.redis, "worker", 600.0)
    leases.release("cam", scene.epoch)
    epoch = Leases(scene.redis, "other", 600.0).acquire("cam")
    assert epoch is not None
    assert scene.send(22) == -1
    scene.footage.send("cam", epoch, [shot(frame, event_id=EVENT) for frame in range(60, 62)])
    for _ in range(8):
        scene.step(1.0)
    assert scene.count("clip", "written") == 1
    assert scene.clip() == list(range(10, 22)), "what came later lies beyond its longest length"


def test_a_full_disk_is_counted_and_the_event_stays(scene: Scene) -> None:
    scene.shelf.root.parent.mkdir(exist_ok=True)
    scene.shelf.root.write_text("no folder can be made here")
    scene.start()
    scene.send(*range(10, 24), peak=(22, 0.9))
    scene.end()
    scene.step()
    for _ in range(8):
        scene.step(1.0)
    assert [scene.count(kind, "failed") for kind in ("peak", "heat", "clip")] == [1, 1, 1]
    with scene.database.read() as session:
        assert session.get(EventRow, EVENT) is not None


def test_a_database_that_is_away_is_waited_for(scene: Scene) -> None:
    scene.start()
    scene.send(*range(10, 24))
    scene.step()
    scene.end()
    scene.send(*range(24, 40))
    with scene.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE event_media RENAME TO away")
    scene.step()
    scene.step()
    with scene.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO event_media")
    assert scene.count("clip", "failed") == 0
    scene.step()
    assert scene.count("clip", "written") == 1


def test_a_database_that_stays_away_costs_the_clip_alone(scene: Scene) -> None:
    scene.start()
    scene.send(*range(10, 24))
    scene.step()
    scene.end()
    with scene.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE event_media")
    scene.now += 10.0
    for _ in range(ATTEMPTS):
        scene.step()
    assert scene.count("clip", "failed") == 1
    scene.score(LOW)


def test_without_redis_what_has_come_is_still_written(database: Database, tmp_path: Path) -> None:
    server = servers.valkey(tmp_path / "own")
    server.start()
    try:
        scene = Scene(database, connect(server.url), tmp_path)
        scene.start()
        scene.send(*range(10, 24))
        scene.step()
        scene.end()
    finally:
        server.stop()
    with pytest.raises(RedisAway):
        scene.step(1.0)
    with pytest.raises(RedisAway):
        scene.step(GRACE_S + 1.0)
    assert scene.clip() == list(range(10, 24))


def test_a_front_end_that_is_started_again_goes_on_with_the_event(scene: Scene) -> None:
    scene.start()
    scene.send(*range(10, 24), peak=(22, 0.9))
    scene.step()
    scene.collector = scene.new_collector()
    scene.score(HIGH)
    scene.step()
    (asked,) = scene.footage.read_requests(["cam"])["cam"].events
    assert (asked.after_frame, asked.clip) == (-1, True)
    assert asked.peak_above == HIGH, "a lower peak doesn't replace what is there"
    scene.end()
    scene.send(*range(15, 40))
    scene.step()
    assert scene.clip() == list(range(15, 30))
    scene.collector = scene.new_collector()
    scene.score(*[HIGH] * 4)
    scene.step()
    assert scene.count("clip", "written") == 1


def test_a_deleted_stream_leaves_nothing(scene: Scene) -> None:
    scene.start()
    scene.send(*range(10, 24), peak=(22, 0.9))
    with scene.database.write() as session:
        session.execute(delete(StreamRow))
    for _ in range(10):
        scene.step(1.0)
    assert list(scene.shelf.root.glob("??/*")) == []
    assert scene.count("clip", "absent") == 1


def test_what_is_under_way_at_the_end_is_written(scene: Scene) -> None:
    scene.start()
    scene.send(*range(10, 24))
    scene.step()
    stop = threading.Event()
    stop.set()
    scene.collector.run(stop)
    assert scene.clip() == list(range(10, 24))


def test_many_events_at_once_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.media.media_collector.MAX_HELD_BYTES", 1)
    scene.start()
    scene.send(*range(10, 24))
    scene.step()
    assert scene.clip() == list(range(10, 24)), "a shorter one, for want of room"
    monkeypatch.setattr("service.media.media_collector.MAX_OF_STREAM", 0)
    scene.collector = scene.new_collector()
    scene.end()
    scene.step()
    assert scene.count("clip", "absent") == 1


def test_a_rate_of_none_asks_for_nothing(scene: Scene) -> None:
    scene.settings = scene.settings.model_copy(update={"clip_fps": 0.0})
    scene.collector = scene.new_collector()
    scene.start()
    assert scene.footage.read_requests(["cam"]) == {}
    with scene.database.read() as session:
        assert session.query(EventMediaRow).count() == 0
