"""The keeper of learnings by itself: what it copies, when it waits, and who keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from service import keys
from service.bus.learnings import Learnings
from service.bus.recorder_lock import RecorderLock
from service.learn_keeper.learning_keeper import GONE_S, MODEL_PATIENCE_S, LearningKeeper
from service.learning_messages import LearningState, LearningStatus
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database
from service.store.tables import LearningRow, StreamRow
from tests.record.rows import add_stream
from tests.support import servers
from tests.support.bundles import save_small_bundle

IDENT = "learning"


class Time:
    """A clock to move by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Kept:
    """A keeper with its database, its learnings in Redis, and its time."""

    def __init__(self, database: Database, redis: Redis, folder: Path) -> None:
        self.database = database
        self.models = folder / "models"
        self.models.mkdir()
        self.learnings = Learnings(redis)
        self.time = Time()
        self.keeper = LearningKeeper(
            database,
            redis,
            Settings(data_dir=folder),
            Metrics(),
            owner="here",
            clock=self.time,
            timer=self.time,
        )

    def add(self, **values: object) -> None:
        """Add a learning of the stream `cam`."""
        add_stream(self.database)
        columns: dict[str, object] = {
            "id": IDENT,
            "stream_id": "cam",
            "bundle": "cam-1",
            "seconds": 600.0,
            "fps": 10.0,
            "preset": "fast",
            "flip": False,
            "train_anyway": False,
            "activate": "always",
            "state": "waiting",
            "created_at": 1000.0,
        }
        with self.database.write() as session:
            session.add(LearningRow(**(columns | values)))

    def report(self, state: LearningState, at: float, **values: object) -> None:
        """Report as a learner whose clock says `at`."""
        fields: dict[str, object] = {"id": IDENT, "state": state, "updated_at": at, "learner": "l"}
        self.learnings.report(LearningStatus.model_validate(fields | values))

    def step(self, seconds: float = 10.0) -> LearningRow:
        """Let so much time go by, and step; return the learning."""
        self.time.now += seconds
        self.keeper.step()
        return self.read()

    def read(self) -> LearningRow:
        """Return the learning."""
        with self.database.read() as session:
            row = session.get(LearningRow, IDENT)
        assert row is not None
        return row

    def read_model(self) -> str | None:
        """Return the stream's model."""
        with self.database.read() as session:
            row = session.get(StreamRow, "cam")
        assert row is not None
        return row.model


@pytest.fixture
def kept(database: Database, redis: Redis, tmp_path: Path) -> Kept:
    """A keeper of the front end that records."""
    RecorderLock(redis, "here", hold_s=600.0).hold()
    return Kept(database, redis, tmp_path)


def test_states_only_go_forward_and_by_the_newest_report(kept: Kept) -> None:
    kept.add()
    kept.report(LearningState.TRAINING, 50.0, progress=0.5)
    assert (kept.step().state, kept.read().progress) == ("training", 0.5)
    kept.report(LearningState.COLLECTING, 40.0)
    assert kept.step().state == "training", "it is older"
    kept.report(LearningState.COLLECTING, 30.0, learner="another, with a slow clock")
    assert kept.step().state == "collecting"
    kept.report(LearningState.TRAINING, 55.0)
    assert kept.step().state == "training"
    kept.report(LearningState.LIVE, 60.0)
    assert kept.step().state == "training", "a learner can't put a model live"
    kept.report(LearningState.COLLECTING, 70.0, progress=0.1)
    assert (kept.step().state, kept.read().progress) == ("collecting", 0.1), "it began again"
    kept.report(LearningState.READY, 80.0)
    assert kept.step().state == "ready"
    kept.report(LearningState.TRAINING, 90.0)
    assert kept.step().state == "ready"
    kept.report(LearningState.FAILED, 100.0, reason="at rtsp://u:p@camera/1")
    assert (kept.step().state, kept.read().reason) == ("failed", "at rtsp://***@camera/1")
    kept.report(LearningState.READY, 110.0)
    assert (kept.step().state, kept.read().finished_at) == ("failed", 1090.0)
    assert kept.learnings.jobs() == []


def test_progress_is_not_written_at_every_step(kept: Kept) -> None:
    kept.add()
    kept.report(LearningState.TRAINING, 1.0)
    kept.step()
    kept.report(LearningState.TRAINING, 2.0, progress=0.5)
    assert kept.step(1.0).progress == 0.0
    assert kept.step(3.0).progress == 0.5


def test_a_learner_that_is_gone_is_named_until_one_reports_again(kept: Kept) -> None:
    kept.add()
    kept.report(LearningState.TRAINING, 1.0, learner="shed:12")
    kept.step()
    assert kept.step(GONE_S - 1.0).reason == ""
    assert "shed:12 has not reported for a minute" in kept.step(1.0).reason
    kept.report(LearningState.TRAINING, 2.0, learner="barn:7", reason="epoch 3 of 10")
    assert (kept.step().reason, kept.read().learner) == ("epoch 3 of 10", "barn:7")


def test_a_learning_that_nobody_takes_says_whether_a_learner_runs(kept: Kept) -> None:
    kept.add()
    assert kept.step().reason == ""
    assert "no learner runs" in kept.step(60.0).reason
    kept.learnings.beat("shed:12", kept.time.now)
    assert kept.step(1.0).reason == "no learner has taken it yet"


def test_a_model_may_appear_later_than_its_report(kept: Kept) -> None:
    kept.add()
    kept.report(LearningState.READY, 1.0)
    assert kept.step().state == "ready"
    assert (kept.step(MODEL_PATIENCE_S - 1.0).state, kept.read_model()) == ("ready", "small")
    save_small_bundle(kept.models, "cam-1")
    assert (kept.step(0.5).state, kept.read_model()) == ("live", "cam-1")


def test_two_keepers_at_once_decide_once(
    each_database: Database, redis: Redis, tmp_path: Path
) -> None:
    RecorderLock(redis, "here", hold_s=600.0).hold()
    kept = Kept(each_database, redis, tmp_path)
    kept.add()
    save_small_bundle(kept.models, "cam-1")
    other = LearningKeeper(
        each_database, redis, Settings(data_dir=tmp_path), Metrics(), owner="here", clock=kept.time
    )
    kept.report(LearningState.READY, 1.0)
    with ThreadPoolExecutor(2) as threads:
        for step in [threads.submit(kept.keeper.step), threads.submit(other.step)]:
            step.result()
    kept.step()
    with each_database.read() as session:
        stream = session.get(StreamRow, "cam")
    assert stream is not None
    assert (stream.model, stream.revision) == ("cam-1", 4)
    assert (kept.read().state, kept.learnings.jobs()) == ("live", [])


def test_a_model_that_never_appears_is_a_failure(kept: Kept) -> None:
    kept.add()
    kept.report(LearningState.READY, 1.0)
    kept.step()
    row = kept.step(MODEL_PATIENCE_S)
    assert (row.state, kept.read_model()) == ("failed", "small")
    assert "cam-1" in row.reason


def test_only_the_front_end_that_records_keeps(kept: Kept, redis: Redis) -> None:
    kept.add()
    kept.report(LearningState.TRAINING, 1.0)
    redis.set(keys.RECORDER, "elsewhere")
    assert kept.step().state == "waiting"
    assert kept.learnings.jobs() == []
    redis.set(keys.RECORDER, "here")
    assert kept.step().state == "training"
    (job,) = kept.learnings.jobs()
    assert (job.current_model, job.sources) == ("small", ("rtsp://user:secret@camera/1",))


def test_a_report_that_cannot_be_read_keeps_back_no_other(kept: Kept, redis: Redis) -> None:
    kept.add()
    redis.hset(keys.LEARNING_STATUSES, "other", "{}")
    kept.report(LearningState.TRAINING, 1.0)
    assert kept.step().state == "training"


def test_it_goes_on_after_redis_was_away_and_has_lost_all(
    database: Database, tmp_path: Path
) -> None:
    server = servers.valkey(tmp_path / "bus")
    server.start()
    redis = Redis.from_url(server.url)
    try:
        kept = Kept(database, redis, tmp_path)
        RecorderLock(redis, "here", hold_s=600.0).hold()
        kept.add()
        kept.report(LearningState.TRAINING, 1.0)
        assert kept.step().state == "training"
        server.kill()
        with pytest.raises(RedisError):
            kept.step()
        server.start()
        redis.flushall()
        RecorderLock(redis, "here", hold_s=600.0).hold()
        assert kept.step().state == "training"
        assert [job.id for job in kept.learnings.jobs()] == [IDENT]
    finally:
        server.stop()
        redis.close()
