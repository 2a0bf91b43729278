"""Roll-ups hold what a reader would compute from the scores, in any order."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest
from redis import Redis
from sqlalchemy import event

from service.history import rollups
from service.history.rollup_queries import Resolution, Rollup, choose_resolution, read_rollups
from service.messages import FrameScore
from service.metrics import Metrics
from service.record.recorder import Recorder
from service.settings import Settings
from service.store.database import Database
from service.store.tables import ScoreRow
from tests.record.rows import Worker, add_stream, frame_score

AT = 1_795_500_000


def _add(database: Database, scores: Sequence[FrameScore], stream_id: str = "cam") -> None:
    with database.write() as session:
        rollups.add_scores(session, {stream_id: scores})


def _read(
    database: Database,
    resolution: Resolution = Resolution.SECOND,
    *,
    stream_id: str = "cam",
    since: float | None = None,
    until: float | None = None,
    limit: int = 1000,
) -> list[Rollup]:
    with database.read() as session:
        return read_rollups(session, stream_id, resolution, since=since, until=until, limit=limit)


def test_late_and_shuffled_scores_give_what_the_sum_of_them_is(each_database: Database) -> None:
    add_stream(each_database)
    draw = random.Random(3)
    scores = [
        frame_score(
            frame,
            None if frame % 7 == 0 else draw.random(),
            at=AT + draw.uniform(0, 200),
            threshold=draw.choice([0.4, 0.5, None]),
        )
        for frame in range(600)
    ]
    for start in range(0, 600, 50):
        _add(each_database, scores[start : start + 50])
    for resolution in (Resolution.SECOND, Resolution.MINUTE):
        length = resolution.length_s
        groups: dict[int, list[FrameScore]] = defaultdict(list)
        for score in scores:
            if score.score is not None:
                groups[int(score.captured_at) // length * length].append(score)
        found = _read(each_database, resolution, since=0.0)
        assert [each.at for each in found] == sorted(groups)
        for each in found:
            values = [score.score for score in groups[each.at] if score.score is not None]
            assert (each.count, each.low, each.high) == (len(values), min(values), max(values))
            assert each.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-12)
            assert each.threshold == groups[each.at][-1].threshold


def test_a_second_without_a_value_has_no_rollup(each_database: Database) -> None:
    add_stream(each_database)
    _add(each_database, [frame_score(0, None, at=AT + 0.1), frame_score(1, 0.25, at=AT + 5.1)])
    (only,) = _read(each_database)
    assert only == Rollup(AT + 5, 1, 0.25, 0.25, 0.25, 0.5)


def test_a_mean_of_equal_scores_is_no_other_number(database: Database) -> None:
    add_stream(database)
    _add(database, [frame_score(frame, 0.1, at=float(AT)) for frame in range(3)])
    (only,) = _read(database)
    assert (only.low, only.mean, only.high) == (0.1, 0.1, 0.1)


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """What is executed on it."""
    seen: list[str] = []

    def note(*args: object) -> None:
        seen.append(str(args[2]))

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


def test_many_streams_take_two_statements(database: Database, statements: list[str]) -> None:
    scores = {}
    for number in range(20):
        add_stream(database, f"cam{number}")
        group = [frame_score(frame, 0.1, at=AT + frame / 10) for frame in range(30)]
        scores[f"cam{number}"] = group
    statements.clear()
    with database.write() as session:
        rollups.add_scores(session, scores)
    assert sum("INSERT" in text for text in statements) == 2
    assert sum(each.count for each in _read(database, stream_id="cam19")) == 30


def test_the_recorder_rolls_up_in_the_transaction_of_the_scores(
    each_database: Database, redis: Redis
) -> None:
    for stream_id in ("a", "b"):
        add_stream(each_database, stream_id)
    recorder = Recorder(each_database, redis, Settings(), Metrics(), owner="front")
    worker = Worker(redis)
    worker.publish("a", [frame_score(i, 0.2, at=AT + i / 10) for i in range(25)])
    worker.publish("b", [frame_score(i, i / 10, at=AT + i) for i in range(3)])
    assert recorder.step() == 28
    # Older than what is there: an upload of another day.
    worker.publish("a", [frame_score(25, 0.7, at=AT - 86_400.0), frame_score(26, 0.4, at=AT)])
    assert recorder.step() == 2
    assert [
        (each.at - AT, each.count, each.high) for each in _read(each_database, stream_id="a")
    ] == [
        (-86_400, 1, 0.7),
        (0, 11, 0.4),
        (1, 10, 0.2),
        (2, 5, 0.2),
    ]
    minutes = _read(each_database, Resolution.MINUTE, stream_id="b")
    assert [(each.at, each.count, each.low, each.high) for each in minutes] == [(AT, 3, 0.0, 0.2)]


def test_a_span_bounds_the_items_that_it_overlaps(each_database: Database) -> None:
    add_stream(each_database)
    _add(each_database, [frame_score(i, 0.1, at=AT + i) for i in range(180)])
    assert [each.at - AT for each in _read(each_database, since=AT + 5.5, until=AT + 7.0)] == [
        5,
        6,
        7,
    ]
    minutes = _read(each_database, Resolution.MINUTE, since=AT + 60.0, until=AT + 119.9)
    assert [each.at - AT for each in minutes] == [60]
    assert [each.at - AT for each in _read(each_database, limit=2)] == [178, 179], "the newest"
    assert [each.at - AT for each in _read(each_database, since=AT, limit=2)] == [0, 1]


@pytest.mark.parametrize(
    ("span_s", "expected"),
    [(600.0, Resolution.FRAME), (7200.0, Resolution.SECOND), (7300.0, Resolution.MINUTE)],
)
def test_the_length_of_a_span_decides_where_all_is_there(
    database: Database, span_s: float, expected: Resolution
) -> None:
    add_stream(database)
    _store(database, [frame_score(i, 0.1, at=AT + 60.0 * i) for i in range(130)])
    with database.read() as session:
        assert choose_resolution(session, "cam", AT, AT + span_s) is expected
        assert choose_resolution(session, "cam", 0.0, span_s) is expected, (
            "of which there is nothing"
        )


def test_a_coarser_grain_is_chosen_where_the_finer_is_gone(each_database: Database) -> None:
    add_stream(each_database)
    scores = [frame_score(i, 0.1, at=AT + i / 2) for i in range(1200)]
    _add(each_database, scores)
    _store(each_database, scores[600:], rolled=False)
    with each_database.read() as session:
        assert choose_resolution(session, "cam", AT + 300.0, AT + 500.0) is Resolution.FRAME
        assert choose_resolution(session, "cam", AT + 100.0, AT + 500.0) is Resolution.SECOND
        assert choose_resolution(session, "cam", AT + 100.0, AT + 200.0) is Resolution.SECOND


def _store(database: Database, scores: Sequence[FrameScore], *, rolled: bool = True) -> None:
    with database.write() as session:
        session.add_all(
            ScoreRow(
                stream_id="cam",
                **score.model_dump(exclude={"cause", "cut", "region", "state"}),
                state="live",
            )
            for score in scores
        )
    if rolled:
        _add(database, scores)
