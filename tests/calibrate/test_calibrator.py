"""Scores in a real database become thresholds, and thresholds reach the workers."""

from __future__ import annotations

import time

import numpy as np
import pytest
from redis import Redis
from sqlalchemy import func, insert, select, update

from model.events.event_detection import EventRules
from model.events.peaks import to_magnitude
from service.bus.registry import Registry
from service.calibrate.calibrator import READ_SCORES, SETTLE_FRAMES, Calibrator
from service.calibrate.score_collector import compute_guard_s
from service.calibrate.stream_thresholds import LEAST_FOOTAGE_S
from service.errors import StaleCursor
from service.metrics import Metrics
from service.record.recorder import Recorder
from service.settings import Settings
from service.store.database import Database
from service.store.tables import (
    CursorRow,
    EventRow,
    FootageRow,
    ScoreRow,
    StreamRow,
    ThresholdRow,
)
from tests.record.rows import add_stream

RULES = EventRules()
MODEL_THRESHOLD = 0.45
FPS = 2
"""Few frames make much footage."""


class Camera:
    """A stream whose scores come by the hour, and its calibrator."""

    def __init__(self, database: Database) -> None:
        self.database = database
        add_stream(database)
        self.next = 0
        with database.write() as session:
            session.execute(update(StreamRow).values(revision=1))
            session.add(CursorRow(stream_id="cam", last_frame=-1, version=0, detection={}))
        self.calibrator = Calibrator(database, RULES, 1.0)

    def record(self, values: list[float], state: str = "live") -> int:
        """Store scores as the recorder does; the number of the first."""
        first, threshold = self.next, self.stream().calibrated_threshold or MODEL_THRESHOLD
        rows = [
            {
                "stream_id": "cam", "frame": first + i, "epoch": 1,
                "captured_at": 1000.0 + (first + i) / FPS, "scored_at": 1000.0 + (first + i) / FPS,
                "score": value, "threshold": threshold, "memory_updated": True, "state": state,
            }
            for i, value in enumerate(values)
        ]  # fmt: skip
        with self.database.write() as session:
            session.execute(insert(ScoreRow), rows)
            self.next += len(values)
            session.execute(update(CursorRow).values(last_frame=self.next - 1))
        return first

    def event(self, first: int, last: int, label: str | None = None) -> None:
        """One that ended."""
        row = EventRow(
            id=f"evt_{first}", stream_id="cam", started_at=1000.0 + first / FPS,
            ended_at=1000.0 + last / FPS, first_frame=first,
            last_frame=last, peak_score=0.8, peak_frame=first, threshold=0.45, label=label,
        )  # fmt: skip
        with self.database.write() as session:
            session.add(row)

    def visit(self, now: float = 5000.0) -> None:
        """Visit until all scores are collected."""
        while self.calibrator.visit("cam", now):
            pass

    def stream(self) -> StreamRow:
        with self.database.read() as session:
            return session.get_one(StreamRow, "cam")

    def thresholds(self) -> list[ThresholdRow]:
        with self.database.read() as session:
            return list(session.scalars(select(ThresholdRow).order_by(ThresholdRow.id)))

    def seconds(self) -> float:
        with self.database.read() as session:
            return session.scalar(select(func.sum(FootageRow.seconds))) or 0.0


def noise(seconds: float, seed: int = 0) -> list[float]:
    """Scores of normal footage: somebody passes every 20 s. They stay below 0.4."""
    random = np.random.default_rng(seed)
    values: list[float] = []
    while len(values) < seconds * FPS:
        height = 0.1 + min(0.03 * float(random.exponential()), 0.3)
        values += [height] * 10 + [0.02] * 30
    return values[: round(seconds * FPS)]


@pytest.fixture
def camera(database: Database) -> Camera:
    """One without scores yet."""
    return Camera(database)


def test_enough_normal_footage_gives_a_threshold_in_force(each_database: Database) -> None:
    camera = Camera(each_database)
    camera.record(noise(1500.0))
    camera.visit()
    (row,) = camera.thresholds()
    stream = camera.stream()
    assert stream.calibrated_threshold == row.threshold
    assert stream.revision == 2
    assert row.low <= row.threshold <= row.high
    assert row.footage_s == pytest.approx(1500.0, abs=20.0)
    assert (row.model, row.false_alarms_per_day, row.made_at) == ("small", 1.0, 5000.0)
    assert row.fit["peaks"]


def test_little_footage_leaves_the_models_threshold(camera: Camera) -> None:
    camera.record(noise(LEAST_FOOTAGE_S - 60.0))
    camera.visit()
    assert camera.thresholds() == []
    assert camera.stream().calibrated_threshold is None
    assert camera.stream().revision == 1
    camera.record(noise(120.0, seed=1))
    camera.visit()
    assert len(camera.thresholds()) == 1


def test_scores_of_a_stream_that_is_not_live_are_no_footage(camera: Camera) -> None:
    camera.record(noise(1500.0), state="obscured")
    camera.visit()
    assert camera.seconds() == 0.0


def test_scores_are_collected_once_by_any_front_end(camera: Camera) -> None:
    for part in range(4):
        camera.record(noise(200.0, seed=part))
        camera.calibrator = Calibrator(camera.database, RULES, 1.0)
        camera.visit()
        camera.visit()
    assert camera.seconds() == pytest.approx(800.0, abs=20.0)


def test_a_backlog_is_collected_part_by_part(camera: Camera) -> None:
    camera.record(noise((READ_SCORES + 100) / FPS))
    assert camera.calibrator.visit("cam", 5000.0)  # it starts
    assert camera.calibrator.visit("cam", 5000.0)
    assert not camera.calibrator.visit("cam", 5000.0)
    assert camera.seconds() == pytest.approx((READ_SCORES + 100) / FPS, abs=20.0)


def test_events_count_only_where_somebody_called_them_normal(camera: Camera) -> None:
    camera.record(noise(1500.0))
    event = camera.record([0.6] * 20)
    camera.record(noise(1500.0, seed=1))
    camera.event(event, event + 19)
    camera.visit()
    unlabelled = camera.stream().calibrated_threshold
    for label in ("real", "normal"):
        with camera.database.write() as session:
            session.execute(update(EventRow).values(label=label))
        camera.visit(5001.0)
        now = camera.stream().calibrated_threshold
        assert unlabelled is not None
        assert now is not None
        if label == "real":
            assert now == unlabelled
        else:
            assert now >= 0.6 > unlabelled


def test_what_stands_still_says_nothing_about_the_threshold(camera: Camera) -> None:
    camera.record(noise(1500.0))
    event = camera.record([0.8] * 20)
    camera.record(noise(1500.0, seed=1))
    camera.event(event, event + 19)
    camera.visit()
    before = camera.stream().calibrated_threshold
    zone = {"kind": "standing", "points": []}
    with camera.database.write() as session:
        session.execute(update(EventRow).values(label="normal", cause="standing"))
        session.execute(update(StreamRow).values(zones=[zone], standing_s=30.0))
    camera.visit(5001.0)
    assert before is not None
    assert camera.stream().calibrated_threshold == before
    assert camera.seconds() == pytest.approx(3000.0, abs=40.0)


def test_an_event_that_goes_on_is_waited_for(camera: Camera) -> None:
    camera.record(noise(1000.0))
    event = camera.record([0.6] * 20)
    camera.event(event, event + 19)
    with camera.database.write() as session:
        session.execute(update(EventRow).values(ended_at=None))
    camera.record(noise(1000.0, seed=1))
    camera.visit()
    assert camera.seconds() == pytest.approx(1000.0, abs=20.0)
    with camera.database.write() as session:
        session.execute(update(EventRow).values(ended_at=3.0))
    camera.visit()
    assert camera.seconds() == pytest.approx(2000.0, abs=40.0)


def test_scores_that_may_become_an_event_are_collected_later(camera: Camera) -> None:
    camera.record(noise(100.0))
    camera.visit()
    guard_s = compute_guard_s(RULES)
    assert camera.seconds() == pytest.approx(100.0 - guard_s, abs=1.5 / FPS)
    camera.record(noise(100.0, seed=1))
    camera.visit()
    assert camera.seconds() == pytest.approx(200.0 - guard_s, abs=1.5 / FPS)


@pytest.mark.parametrize(
    "change",
    [{"model": "other"}, {"gamma": 0.5}, {"zones": [{"kind": "ignore", "points": []}]}],
    ids=["model", "gamma", "zones"],
)
def test_another_configuration_starts_again(camera: Camera, change: dict[str, object]) -> None:
    camera.record(noise(1500.0))
    camera.visit()
    with camera.database.write() as session:
        session.execute(update(StreamRow).values(**change, revision=StreamRow.revision + 1))
    camera.record(noise(SETTLE_FRAMES / FPS - 10.0, seed=1))
    camera.visit()
    assert camera.stream().calibrated_threshold is None
    assert camera.stream().revision == 4
    camera.record(noise(700.0, seed=2))
    camera.visit()
    assert camera.seconds() == pytest.approx(640.0, abs=60.0)
    assert camera.stream().calibrated_threshold is not None
    assert len(camera.thresholds()) == 2


def test_it_is_renewed_as_footage_accumulates_and_when_the_promise_changes(camera: Camera) -> None:
    camera.record(noise(1500.0))
    camera.visit(5000.0)
    camera.visit(5100.0)
    assert len(camera.thresholds()) == 1
    camera.record(noise(1500.0, seed=1))
    camera.visit(6600.0)
    first, second = camera.thresholds()
    assert second.footage_s > first.footage_s
    with camera.database.write() as session:
        session.execute(update(StreamRow).values(false_alarms_per_day=100.0))
    camera.visit(6700.0)
    last = camera.thresholds()[-1]
    assert last.false_alarms_per_day == 100.0
    assert last.threshold <= second.threshold


def test_of_two_front_ends_one_takes_the_scores_in(camera: Camera) -> None:
    camera.record(noise(100.0))
    camera.visit()
    camera.record(noise(100.0, seed=1))
    with camera.database.read() as session:
        row = session.scalars(select(FootageRow)).one()
        found = camera.calibrator._read(session, row, camera.next - 1)
    camera.visit()
    with pytest.raises(StaleCursor):
        camera.calibrator._collect(found)
    assert camera.seconds() == pytest.approx(200.0, abs=20.0)


def test_a_change_by_the_user_meanwhile_is_not_overwritten(camera: Camera) -> None:
    camera.calibrator = Calibrator(camera.database, RULES, 1.0)
    camera.record(noise(500.0))
    camera.visit()
    camera.record(noise(500.0, seed=1))
    before = camera.stream()
    camera.visit()
    with pytest.raises(StaleCursor):
        camera.calibrator._renew(before, 50_000.0)
    assert len(camera.thresholds()) == 1
    assert camera.stream().revision == 2


def test_what_fails_for_one_stream_is_tried_again_and_keeps_nobody_back(camera: Camera) -> None:
    add_stream(camera.database, "other")
    with camera.database.write() as session:
        session.execute(update(StreamRow).values(revision=1))
        session.add(CursorRow(stream_id="other", last_frame=-1, version=0, detection={}))
    camera.record(noise(300.0))
    now = [0.0]
    calibrator = Calibrator(camera.database, RULES, 1.0, timer=lambda: now[0])
    calibrator.visit_due(["cam", "other"])
    with camera.database.write() as session:
        session.execute(update(FootageRow).values(finder={"quiet_s": "many"}))
    now[0] += 100.0
    calibrator.visit_due(["cam", "other"])
    assert camera.seconds() == 0.0
    with camera.database.write() as session:
        session.execute(update(FootageRow).values(finder={}))
    now[0] += 100.0
    calibrator.visit_due(["cam", "other"])
    assert camera.seconds() == pytest.approx(300.0, abs=20.0)


def test_scores_of_the_model_before_are_no_footage_of_the_next(camera: Camera) -> None:
    now = [0.0]
    calibrator = Calibrator(camera.database, RULES, 1.0, timer=lambda: now[0])
    for foreign in ((), ["cam"], ["cam"], ()):
        camera.record(noise(300.0))
        now[0] += 100.0
        calibrator.visit_due(["cam"], foreign)
    # What came since the visit before may still be of the old one.
    assert camera.seconds() == 0.0
    camera.record(noise(200.0))
    now[0] += 100.0
    calibrator.visit_due(["cam"])
    assert camera.seconds() == pytest.approx(200.0, abs=70.0)


def test_a_promise_or_a_label_counts_before_the_streams_turn(camera: Camera) -> None:
    add_stream(camera.database, "other")
    camera.record(noise(1500.0))
    now = [0.0]
    calibrator = Calibrator(camera.database, RULES, 1.0, timer=lambda: now[0])
    visited: list[str] = []
    visit = calibrator.visit

    def watched(stream_id: str, at: float) -> bool:
        visited.append(stream_id)
        return visit(stream_id, at)

    calibrator.visit = watched  # type: ignore[method-assign]

    def find_visited() -> list[str]:
        visited.clear()
        for _ in range(20):  # until all is collected
            calibrator.visit_due(["cam", "other"])
        now[0] += 2.0
        return sorted(set(visited))

    assert find_visited() == ["cam", "other"]
    assert find_visited() == []
    assert len(camera.thresholds()) == 1
    with camera.database.write() as session:
        session.execute(
            update(StreamRow).where(StreamRow.id == "cam").values(false_alarms_per_day=100.0)
        )
    assert find_visited() == ["cam"]
    assert [row.false_alarms_per_day for row in camera.thresholds()] == [1.0, 100.0]
    assert find_visited() == []
    camera.event(100, 110, "normal")
    with camera.database.write() as session:
        session.execute(update(EventRow).values(labelled_at=time.time() + 1.0))
    assert find_visited() == ["cam"]
    assert find_visited() == []
    now[0] += 60.0
    assert find_visited() == ["cam", "other"]


def test_the_recorder_calibrates_and_publishes(camera: Camera, redis: Redis) -> None:
    camera.record(noise(900.0))
    now = [1_000_000.0]
    recorder = Recorder(
        camera.database, redis, Settings(), Metrics(), owner="front", clock=lambda: now[0]
    )
    for _ in range(3):
        recorder.step()
        now[0] += 10.0
    threshold = camera.stream().calibrated_threshold
    assert threshold is not None
    assert threshold > to_magnitude(0.1)
    (config,) = Registry(redis).streams().values()
    assert (config.threshold, config.revision) == (threshold, 2)
