"""Old rows go, a few at a time, and nothing else does; so does what is left of deleted streams."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from pydantic import ValidationError
from redis import Redis
from sqlalchemy import func, select

from model.events.event_detection import DetectionState
from service.errors import StaleCursor
from service.history import deletion, history_retention, rollups
from service.history.deletion import hide_stream
from service.history.history_retention import EVERY_S, HistoryRetention, RetentionTimes
from service.messages import FrameScore
from service.metrics import Metrics
from service.record.cursors import Cursor
from service.record.recorder import Recorder
from service.record.stream_updates import StreamUpdate, store_updates
from service.settings import Settings
from service.store.database import Database
from service.store.deleted_streams import WITH_DELETED
from service.store.tables import (
    Base,
    CursorRow,
    EventRow,
    MinuteRow,
    ScoreRow,
    SecondRow,
    StreamLogRow,
    StreamRow,
)
from tests.record.rows import Worker, add_stream, frame_score
from tests.support.front_end import add_event

NOW = 1_795_500_000.0
HOUR_S, DAY_S = 3600.0, 86_400.0
TABLES = (ScoreRow, SecondRow, MinuteRow, EventRow)


def _store(database: Database, scores: Sequence[FrameScore], stream_id: str = "cam") -> None:
    with database.write() as session:
        session.add_all(
            ScoreRow(
                stream_id=stream_id,
                **score.model_dump(exclude={"cause", "cut", "region", "state"}),
                state="live",
            )
            for score in scores
        )
        rollups.add_scores(session, {stream_id: scores})


def _old(ages_s: Sequence[float], *, captured_s: float | None = None) -> list[FrameScore]:
    """Scores that were made so long before `NOW`, the oldest first; captured then, too, or all of
    them so long before it."""
    return [
        frame_score(frame, 0.25, at=NOW - age_s).model_copy(
            update={} if captured_s is None else {"captured_at": NOW - captured_s}
        )
        for frame, age_s in enumerate(ages_s)
    ]


def _counts(database: Database, stream_id: str = "cam") -> list[int]:
    with database.read() as session:
        return [
            session.scalar(
                select(func.count())
                .select_from(table)
                .where(table.stream_id == stream_id)
                .execution_options(**{WITH_DELETED: True})
            )
            or 0
            for table in TABLES
        ]


def _turns(made: HistoryRetention, database: Database, now: float = NOW) -> int:
    """Let it come to the end of a round; how many turns that took."""
    made.take_turn(now - EVERY_S)
    for turns in range(1, 200):
        made.take_turn(now)
        if made._round is None:
            return turns
    raise RuntimeError("the round doesn't end")


def _retention(
    database: Database, metrics: Metrics | None = None, **changes: float
) -> HistoryRetention:
    return HistoryRetention(database, Settings(**changes), metrics or Metrics())


def test_each_grain_is_kept_for_its_time(each_database: Database) -> None:
    add_stream(each_database)
    ages = (401 * DAY_S, 399 * DAY_S, 31 * DAY_S, 29 * DAY_S, 49 * HOUR_S, 47 * HOUR_S, 1.0)
    _store(each_database, _old(ages))
    metrics = Metrics()
    _turns(_retention(each_database, metrics), each_database)
    assert _counts(each_database)[:3] == [2, 4, 6]
    for table, count in (("scores", 5), ("scores_by_second", 3), ("scores_by_minute", 1)):
        value = metrics.registry.get_sample_value("normwatch_deleted_rows_total", {"table": table})
        assert value == count


def test_other_times_and_for_ever_can_be_set(database: Database) -> None:
    add_stream(database)
    _store(database, _old((500 * DAY_S, 40 * DAY_S, 2 * HOUR_S, 1.0)))
    for_ever = {f"keep_{name}": 0.0 for name in ("scores_hours", "seconds_days", "minutes_days")}
    _turns(_retention(database, **for_ever), database)
    assert _counts(database)[:3] == [4, 4, 4]
    _turns(_retention(database, **for_ever | {"keep_scores_hours": 1.0}), database)
    assert _counts(database)[:3] == [1, 4, 4]


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e300"])
def test_a_time_is_a_time(value: str) -> None:
    with pytest.raises(ValidationError, match="keep_minutes_days"):
        Settings(keep_minutes_days=value)


def test_what_is_coarser_is_kept_no_shorter() -> None:
    kept = RetentionTimes.from_settings(Settings(keep_scores_hours=24.0 * 60, keep_minutes_days=0))
    assert kept == RetentionTimes(60 * DAY_S, 60 * DAY_S, None, 90 * DAY_S)
    assert RetentionTimes.from_settings(Settings(keep_scores_hours=0)).by_minute_s is None


def test_footage_of_long_ago_that_was_scored_today_stays(each_database: Database) -> None:
    add_stream(each_database)
    _store(each_database, _old((3 * HOUR_S, 2 * HOUR_S, 1 * HOUR_S), captured_s=2000 * DAY_S))
    then = NOW - 2000 * DAY_S
    with each_database.write() as session:
        session.add(_event("fresh", then, first_frame=1))
        session.add(_event("known", then, first_frame=70))
    made = _retention(each_database)
    _turns(made, each_database)
    assert _counts(each_database) == [3, 1, 1, 1]
    _turns(made, each_database, NOW + 2 * DAY_S)
    assert _counts(each_database) == [0, 0, 0, 0]


def _event(ident: str, at: float, *, first_frame: int, is_open: bool = False) -> EventRow:
    return EventRow(
        id=ident,
        stream_id="cam",
        started_at=at,
        ended_at=None if is_open else at + 5.0,
        first_frame=first_frame,
        last_frame=first_frame + 9,
        peak_score=0.9,
        peak_frame=first_frame,
        threshold=0.5,
        picture=b"jpeg",
    )


def test_events_go_in_steps_unless_they_go_on(each_database: Database) -> None:
    add_stream(each_database)
    with each_database.write() as session:
        for number in range(2 * deletion.STEP_EVENTS + 1):
            session.add(_event(f"old{number}", NOW - 91 * DAY_S, first_frame=10 * number))
        session.add(_event("open", NOW - 91 * DAY_S, first_frame=1, is_open=True))
        session.add(_event("new", NOW - 89 * DAY_S, first_frame=2))
    _turns(_retention(each_database, keep_events_days=0), each_database)
    assert _counts(each_database)[3] == 2 * deletion.STEP_EVENTS + 3
    _turns(_retention(each_database), each_database)
    with each_database.read() as session:
        assert set(session.scalars(select(EventRow.id))) == {"open", "new"}


def test_a_turn_is_short_and_another_goes_on(
    each_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_retention, "TURN_S", 0.0)
    monkeypatch.setattr(deletion, "STEP_ROWS", 10)
    add_stream(each_database)
    add_stream(each_database, "other")
    _store(each_database, _old([60 * HOUR_S] * 35 + [1.0] * 5))
    _store(each_database, _old([60 * HOUR_S] * 5), "other")
    made = _retention(each_database)
    made.take_turn(NOW - EVERY_S)
    left = [45]
    for _ in range(5):
        made.take_turn(NOW)
        left.append(_counts(each_database)[0] + _counts(each_database, "other")[0])
    assert sorted(before - after for before, after in pairwise(left)) == [5, 5, 10, 10, 10]
    assert _counts(each_database)[0] == 5


def test_a_turn_keeps_pace_with_what_comes_however_slow_it_is(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_retention, "TURN_S", 0.0)
    monkeypatch.setattr(deletion, "STEP_ROWS", 10)
    add_stream(database)
    _store(database, _old([60 * HOUR_S] * 100))
    made = _retention(database)
    made.take_turn(NOW - EVERY_S)
    made.take_turn(NOW, 24)
    assert _counts(database)[0] == 50
    made.take_turn(NOW)
    assert _counts(database)[0] == 40


def test_the_recorder_deletes_while_it_records(each_database: Database, redis: Redis) -> None:
    add_stream(each_database)
    _store(each_database, _old([50 * HOUR_S] * 1500))
    clock = [NOW]
    recorder = Recorder(
        each_database, redis, Settings(), Metrics(), owner="front", clock=lambda: clock[0]
    )
    worker = Worker(redis)
    worker.publish("cam", [frame_score(2000, 0.1, at=NOW)])
    assert recorder.step() == 1
    assert _counts(each_database)[0] == 1501, "not at once after the start"
    clock[0] += EVERY_S
    worker.publish("cam", [frame_score(2001, 0.1, at=NOW)])
    assert recorder.step() == 1
    for _ in range(20):
        recorder.step()
    assert _counts(each_database)[0] == 2


def _fill(database: Database, stream_id: str) -> None:
    add_stream(database, stream_id)
    _store(database, _old([float(age) for age in range(300, 0, -1)]), stream_id)
    add_event(database, stream_id, f"event of {stream_id}", NOW, picture=b"jpeg")
    with database.write() as session:
        session.add(CursorRow(stream_id=stream_id, version=7, last_frame=299, detection={}))
        session.add(
            StreamLogRow(
                stream_id=stream_id,
                note=None,
                kind="state",
                at=NOW,
                state="live",
                reason="",
                worker="",
            )
        )


def _delete(database: Database, stream_id: str) -> None:
    with database.write() as session:
        stream = session.get(StreamRow, stream_id)
        assert stream is not None
        hide_stream(session, stream, NOW)


def test_a_deleted_stream_is_hidden_at_once_and_erased_in_steps(
    each_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "STEP_ROWS", 100)
    for stream_id in ("cam", "other"):
        _fill(each_database, stream_id)
    others = _counts(each_database, "other")
    _delete(each_database, "cam")
    with each_database.read() as session:
        assert session.get(StreamRow, "cam") is None
        assert session.get(EventRow, "event of cam") is None
        assert list(session.scalars(select(StreamRow.id))) == ["other"]
        assert list(session.scalars(select(EventRow.id))) == ["event of other"]
        hidden = select(StreamRow).execution_options(**{WITH_DELETED: True})
        sources = {row.id: row.source for row in session.scalars(hidden)}
        assert sources["cam"] == "", "its password is gone"
    assert _counts(each_database)[0] == 300
    metrics = Metrics()
    _turns(_retention(each_database, metrics), each_database)
    assert _counts(each_database) == [0, 0, 0, 0]
    assert _counts(each_database, "other") == others
    with each_database.engine.connect() as connection:
        for table in Base.metadata.tables.values():
            if "stream_id" in table.columns:
                rows = connection.execute(
                    select(func.count()).where(table.c.stream_id == "cam").select_from(table)
                )
                assert rows.scalar_one() == 0, table.name
        ids = connection.execute(select(StreamRow.__table__.c.id)).scalars().all()
    assert ids == ["other"]
    value = metrics.registry.get_sample_value("normwatch_deleted_rows_total", {"table": "scores"})
    assert value == 300


def test_a_recorder_that_has_just_read_a_deleted_stream_is_rolled_back(
    each_database: Database,
) -> None:
    _fill(each_database, "cam")
    with each_database.read() as session:
        stream = session.get(StreamRow, "cam")
    assert stream is not None
    position = Cursor(version=7, last_frame=299, recorded_at=NOW, detection=DetectionState())
    late = StreamUpdate(stream, position, [frame_score(300, 0.1)], DetectionState(), ())
    _delete(each_database, "cam")
    with pytest.raises(StaleCursor), each_database.write() as session:
        store_updates(session, [late], NOW)
    assert _counts(each_database)[0] == 300
