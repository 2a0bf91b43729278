"""Streams' logs and outages, from a real Redis into real databases."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from redis import Redis
from sqlalchemy import func, select, update

from service import keys
from service.bus.leases import Leases
from service.bus.log_entries import Notes
from service.bus.registry import Registry
from service.messages import (
    DropReason,
    NoteKind,
    StreamNote,
    StreamState,
    StreamStatus,
    WorkerStatus,
)
from service.metrics import Metrics
from service.record import stream_log
from service.record.outage_watch import SILENT_S, START_S, OutageWatch
from service.settings import Settings
from service.store.database import Database
from service.store.tables import DeliveryRow, StreamHealthRow, StreamLogRow, StreamRow
from tests.record.rows import add_receiver, add_stream

SETTINGS = Settings(down_after_s=15.0, recovered_after_s=5.0)


class Scene:
    """A stream, its worker, and the recorder's part that watches it: a second at a time."""

    def __init__(self, database: Database, redis: Redis, stream_id: str = "cam") -> None:
        self.database = database
        self.redis = redis
        self.stream_id = stream_id
        self.now = 1000.0
        self.metrics = Metrics()
        self.paused = False
        self._registry = Registry(redis)
        self._notes = Notes(redis)
        self.epoch = Leases(redis, "w", 600.0).acquire(stream_id) or 0
        self.restart()

    def restart(self) -> None:
        """Another front end records from now on."""
        self.watch = OutageWatch(self.database, self.redis, SETTINGS, self.metrics)

    def note(self, state: StreamState, reason: str = "", at: float | None = None) -> None:
        """The worker reports a change, by its own clock."""
        when = self.now if at is None else at
        note = StreamNote(
            kind=NoteKind.STATE, at=when, state=state, reason=reason, worker="w", epoch=self.epoch
        )
        assert self._notes.publish(self.stream_id, note)

    def pass_time(self, seconds: int, state: StreamState | None, lost: int = 0) -> None:
        """Update once a second, for a stream whose worker reports that state, or none."""
        for _ in range(seconds):
            self.now += 1.0
            if state is None:
                self.redis.delete(keys.status(self.stream_id))
            else:
                status = StreamStatus(
                    state=state,
                    reason=f"why {state}: rtsp://u:geheim@cam/",
                    since=1.0,
                    worker="w",
                    epoch=self.epoch,
                    dropped={DropReason.BACKLOG: lost},
                    updated_at=self.now - 500.0,
                )
                worker = WorkerStatus(id="w", started_at=1, seen_at=1, streams=1, device="cpu")
                self._registry.report({self.stream_id: status}, worker)
            self.watch.update({self.stream_id: self.paused}, self.now)

    def log(self) -> list[tuple[str, str]]:
        """Return kinds and states in the database, the oldest first."""
        query = select(StreamLogRow).order_by(StreamLogRow.id)
        with self.database.read() as session:
            return [(row.kind, row.state) for row in session.scalars(query)]

    def messages(self) -> list[dict[str, object]]:
        """Return what is in the outbox, in order."""
        query = select(DeliveryRow.body).order_by(DeliveryRow.sequence)
        with self.database.read() as session:
            return [json.loads(body) for body in session.scalars(query)]

    def types(self) -> list[object]:
        """Return the types of the messages."""
        return [message["type"] for message in self.messages()]


@pytest.fixture
def scene(database: Database, redis: Redis) -> Iterator[Scene]:
    """One stream on SQLite, with a webhook."""
    add_stream(database)
    add_receiver(database)
    yield Scene(database, redis)


def test_notes_become_the_streams_log_and_an_outage_is_reported_with_its_end(
    each_database: Database, redis: Redis
) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    scene = Scene(each_database, redis)
    scene.note(StreamState.LIVE)
    scene.pass_time(3, StreamState.LIVE)
    scene.note(StreamState.STALLED, "no picture; rtsp://u:geheim@cam/")
    scene.pass_time(20, StreamState.STALLED)
    scene.note(StreamState.LIVE)
    scene.pass_time(10, StreamState.LIVE)
    assert scene.log() == [
        ("state", "live"),
        ("state", "stalled"),
        ("stream.down", "stalled"),
        ("state", "live"),
        ("stream.recovered", "live"),
    ]
    down, recovered = scene.messages()
    assert (down["type"], recovered["type"]) == ("stream.down", "stream.recovered")
    started, ended = down["data"], recovered["data"]
    assert isinstance(started, dict)
    assert isinstance(ended, dict)
    assert started == {
        "outage_id": ended["outage_id"],
        "stream_id": "cam",
        "stream_name": "The cam",
        "state": "stalled",
        "reason": "no picture; rtsp://***@cam/",
        "since": "1970-01-01T00:16:44.000Z",
    }
    assert (ended["state"], ended["since"]) == ("live", "1970-01-01T00:17:04.000Z")
    assert ended["down_for_s"] == 20.0
    assert redis.xlen(keys.notes("cam")) == 0
    with each_database.read() as session:
        assert session.scalar(select(func.count()).select_from(StreamHealthRow)) == 0
        texts = [*session.scalars(select(StreamLogRow.reason)), *session.scalars(_BODIES)]
    assert not [text for text in texts if "geheim" in text]
    value = scene.metrics.registry.get_sample_value
    assert value("normwatch_outages_total", {"type": "stream.down"}) == 1


_BODIES = select(DeliveryRow.body)


def test_a_blip_is_logged_and_not_reported(scene: Scene) -> None:
    scene.note(StreamState.DOWN)
    scene.pass_time(10, StreamState.DOWN)
    scene.note(StreamState.LIVE)
    scene.pass_time(20, StreamState.LIVE)
    assert scene.log() == [("state", "down"), ("state", "live")]
    assert scene.messages() == []


def test_an_outage_outlives_a_restart_of_the_front_end(scene: Scene) -> None:
    scene.pass_time(10, StreamState.DOWN)
    scene.restart()
    scene.now += 60.0
    scene.pass_time(1, StreamState.DOWN)
    assert scene.types() == ["stream.down"]
    scene.restart()
    scene.pass_time(30, StreamState.DOWN)
    scene.restart()
    scene.pass_time(3, StreamState.LIVE)
    scene.restart()
    scene.pass_time(3, StreamState.LIVE)
    assert scene.types() == ["stream.down", "stream.recovered"]


def test_a_worker_that_falls_silent_is_an_outage(scene: Scene) -> None:
    scene.pass_time(3, StreamState.LIVE)
    scene.pass_time(int(SILENT_S) + 9, None)
    assert scene.messages() == []
    scene.pass_time(3, None)
    (message,) = scene.messages()
    data = message["data"]
    assert isinstance(data, dict)
    assert (data["state"], data["reason"]) == ("pending", "no worker reports its status")
    assert data["since"] == "1970-01-01T00:16:43.000Z", "when its last status was received"
    scene.pass_time(10, StreamState.LIVE)
    assert scene.log() == [
        ("state", "pending"),
        ("stream.down", "pending"),
        ("stream.recovered", "live"),
    ]


def test_a_worker_has_time_to_start(scene: Scene) -> None:
    scene.pass_time(int(START_S) - 1, None)
    scene.pass_time(10, StreamState.LIVE)
    assert (scene.log(), scene.messages()) == ([], [])
    scene.restart()
    scene.pass_time(int(START_S) + 2, None)
    assert scene.types() == ["stream.down"]


def test_a_recorder_that_was_away_takes_nobodys_silence_for_an_outage(scene: Scene) -> None:
    scene.pass_time(3, StreamState.LIVE)
    scene.now += 3600.0
    scene.pass_time(int(SILENT_S) - 1, None)
    scene.pass_time(5, StreamState.LIVE)
    assert (scene.log(), scene.messages()) == ([], [])


def test_a_paused_stream_is_no_outage_and_ends_one_without_a_word(scene: Scene) -> None:
    scene.pass_time(20, StreamState.DOWN)
    scene.paused = True
    scene.pass_time(30, None)
    scene.paused = False
    scene.pass_time(30, StreamState.LIVE)
    assert scene.types() == ["stream.down"]
    with scene.database.read() as session:
        assert session.get(StreamHealthRow, "cam") is None


def test_notes_that_waited_say_how_long_each_state_lasted(scene: Scene) -> None:
    """The recorder was away; the worker's clock is wrong by some hours."""
    scene.pass_time(2, StreamState.DOWN)
    scene.restart()
    scene.now += 600.0
    for at, state in ((0, StreamState.LIVE), (500, StreamState.STALLED)):
        scene.note(state, at=90_000.0 + at)
    scene.pass_time(10, StreamState.STALLED)
    assert scene.messages() == [], "it was well for 500 s between"
    scene.pass_time(10, StreamState.STALLED)
    assert scene.types() == ["stream.down"]


def test_a_note_that_comes_twice_is_written_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.note(StreamState.LIVE)
    with monkeypatch.context() as patch:
        patch.setattr(Notes, "acknowledge", lambda *_: None)
        scene.pass_time(2, StreamState.LIVE)
    scene.restart()
    scene.pass_time(2, StreamState.LIVE)
    assert scene.log() == [("state", "live")]
    assert scene.redis.xlen(keys.notes("cam")) == 0


def test_two_that_record_at_once_report_once(each_database: Database, redis: Redis) -> None:
    add_stream(each_database)
    add_receiver(each_database)
    scene = Scene(each_database, redis)
    scene.pass_time(5, StreamState.DOWN)
    with each_database.read() as session:
        stale = stream_log.load_outages(session)
    scene.pass_time(20, StreamState.DOWN)
    other = OutageWatch(each_database, redis, SETTINGS, Metrics())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.record.outage_watch.stream_log.load_outages", lambda _: stale)
        with pytest.raises(Exception, match="another recorder"):
            other.update({"cam": False}, scene.now)
    assert scene.types() == ["stream.down"]
    assert [kind for kind, _ in scene.log()] == ["stream.down"]


def test_the_log_keeps_the_newest_entries_and_none_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_log, "KEEP_ENTRIES", 3)
    for number in range(7):
        scene.note(StreamState.LIVE if number % 2 else StreamState.WARMING)
    scene.pass_time(1, StreamState.LIVE)
    assert [state for _, state in scene.log()] == ["warming", "live", "warming"]
    scene.now += stream_log.KEEP_S + 1
    scene.pass_time(1, StreamState.LIVE)
    assert scene.log() == []


def test_lost_scores_are_said_once(scene: Scene) -> None:
    scene.pass_time(2, StreamState.LIVE, lost=5)
    scene.pass_time(5, StreamState.LIVE, lost=7)
    scene.pass_time(1, StreamState.LIVE, lost=9)
    assert scene.log() == [("scores.lost", "live")]
    scene.pass_time(61, StreamState.LIVE, lost=9)
    scene.pass_time(2, StreamState.LIVE, lost=12)
    assert scene.log() == [("scores.lost", "live")] * 2


def test_a_deleted_streams_notes_hold_nobody_up(scene: Scene) -> None:
    add_stream(scene.database, "other")
    scene.note(StreamState.LIVE)
    with scene.database.write() as session:
        session.delete(session.get_one(StreamRow, "cam"))
    scene.pass_time(1, StreamState.LIVE)
    assert scene.log() == []
    assert scene.redis.xlen(keys.notes("cam")) == 0


def test_streams_of_several_transactions_that_go_at_once_are_all_reported(
    database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.record.outage_watch.SHARED_STREAMS", 10)
    with database.write() as session:
        for number in range(25):
            session.add(
                StreamRow(
                    id=f"c{number}",
                    name="x",
                    source="upload",
                    model="m",
                    created_at=1.0,
                    revision=1,
                )
            )
    add_receiver(database)
    watch = OutageWatch(database, redis, SETTINGS, Metrics())
    paused = {f"c{number}": False for number in range(25)}
    for second in range(int(START_S) + 2):
        watch.update(paused, 1000.0 + second)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(DeliveryRow)) == 25
        notified = session.scalar(select(func.count()).where(StreamHealthRow.notified))
    assert notified == 25


def test_a_state_of_health_from_the_future_is_corrected(scene: Scene) -> None:
    scene.pass_time(3, StreamState.DOWN)
    with scene.database.write() as session:
        session.execute(update(StreamHealthRow).values(began_at=5e9))
    scene.pass_time(20, StreamState.DOWN)
    assert scene.types() == ["stream.down"]
