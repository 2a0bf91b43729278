"""A receiver that fails in every way, next to a healthy one, over a day: nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from typing import NamedTuple

import pytest
from pytest_httpserver import HTTPServer
from sqlalchemy import select

from service.alert.deliverer import Deliverer
from service.alert.outbox import EventData, EventType, enqueue, iso8601
from service.alert.replays import lock_receiver, replay_dead
from service.store.database import Database
from service.store.tables import AttemptRow, DeliveryRow, StreamRow
from tests.alert.parts import NOW, Clock, make_deliverer
from tests.alert.unreliable import RETRY_AFTER_S, TAKES, Unreliable, Way
from tests.record.rows import SECRET, add_receiver, add_stream

HOUR_S = 3600.0
STREAMS = ("cam-1", "cam-2", "cam-3")
EVENTS = 5
EVENT_EVERY_S = 1200.0
"""Each stream has one so often; it lasts for half of it."""
HELD_STEP_S = 120.0
"""The clock goes on by this while a message is due and its receiver is held."""
LATER_WAYS = (
    *(Way.HANG, Way.CUT, Way.BUSY, Way.REDIRECT, Way.DROP),
    *(Way.DRIP, Way.ACCEPT, Way.BUSY, Way.CUT, Way.REDIRECT, Way.GONE),
)
"""What the receiver does to one request after the other, after an hour of errors."""


SLOW_WAYS = (Way.HANG, Way.DRIP)
"""They take the time limit in real time: with one of the databases that is enough."""
TIMEOUT_S = 4.0


class Script:
    """Errors for an hour, then each of the ways, then all is well."""

    def __init__(self, clock: Clock, ways: Iterable[Way]) -> None:
        self._clock = clock
        self._ways: Iterator[Way] = iter(ways)

    def __call__(self) -> Way:
        """What becomes of this request."""
        return Way.ERROR if self._clock.now < NOW + HOUR_S else next(self._ways, Way.ACCEPT)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The sender's and, in the library that checks signatures, the receivers' clock."""
    made = Clock()

    class Simulated(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(made.now, tz)

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Simulated)
    return made


class Planned(NamedTuple):
    """An event of a stream that starts or ends."""

    at: float
    stream_id: str
    number: int
    kind: EventType


def _plan() -> list[Planned]:
    planned = [
        Planned(NOW + EVENT_EVERY_S * (number + half / 2), stream_id, number, kind)
        for number in range(EVENTS)
        for half, kind in enumerate((EventType.STARTED, EventType.ENDED))
        for stream_id in STREAMS
    ]
    return sorted(planned, key=lambda entry: entry.at)


def _enqueue(database: Database, planned: Planned, now: float) -> None:
    _, stream_id, number, kind = planned
    data = EventData(
        event_id=f"{stream_id}-{number}",
        stream_id=stream_id,
        stream_name=stream_id,
        started_at=iso8601(now),
        ended_at=None if kind is EventType.STARTED else iso8601(now),
        first_frame=10 * number,
        last_frame=10 * number + 5,
        peak_score=0.9,
        peak_frame=10 * number + 2,
        threshold=0.5,
        region=None,
    )
    with database.write() as session:
        stream = session.get_one(StreamRow, stream_id)
        enqueue(session, stream=stream, event_type=kind, data=data, now=now)


def _next_due(database: Database) -> float | None:
    """Return when something is sent next: the oldest message of each stream and receiver."""
    query = (
        select(DeliveryRow.receiver_id, DeliveryRow.stream_id, DeliveryRow.next_attempt_at)
        .where(DeliveryRow.state == "waiting")
        .order_by(DeliveryRow.sequence.desc())
    )
    with database.read() as session:
        heads = {(receiver, stream): due for receiver, stream, due in session.execute(query)}
    return min(heads.values(), default=None)


def _run(database: Database, deliverer: Deliverer, clock: Clock, plan: list[Planned]) -> None:
    """Let time pass, from one thing that happens to the next, until nothing waits."""
    while True:
        due = _next_due(database)
        if plan and (due is None or plan[0].at <= due):
            clock.now = max(clock.now, plan[0].at)
            _enqueue(database, plan.pop(0), clock.now)
        elif due is None:
            return
        else:
            clock.now = max(clock.now, due)
            if not deliverer.step():
                clock.now += HELD_STEP_S


def _list_expected(stream_id: str) -> list[tuple[str, str]]:
    return [
        (f"{stream_id}-{number}", kind.value)
        for number in range(EVENTS)
        for kind in (EventType.STARTED, EventType.ENDED)
    ]


def _of_stream(receiver: Unreliable, stream_id: str) -> list[tuple[str, str]]:
    taken = receiver.taken.values()
    return [(got.event_id, got.type) for got in taken if got.stream_id == stream_id]


def _rows(database: Database) -> list[DeliveryRow]:
    with database.read() as session:
        return list(session.scalars(select(DeliveryRow)))


def test_nothing_is_lost_disordered_or_doubled_under_another_id(
    each_database: Database, httpserver: HTTPServer, clock: Clock
) -> None:
    database = each_database
    httpserver.expect_request("/inside").respond_with_data("not for you")
    inside = httpserver.url_for("/inside")
    ways = [way for way in LATER_WAYS if database.is_sqlite or way not in SLOW_WAYS]
    for stream_id in STREAMS:
        add_stream(database, stream_id)
    with (
        Unreliable(SECRET, Script(clock, ways), clock, inside) as bad,
        Unreliable(SECRET, lambda: Way.ACCEPT, clock) as good,
    ):
        add_receiver(database, "bad", url=bad.url)
        add_receiver(database, "good", url=good.url)
        deliverer = make_deliverer(database, clock, timeout_s=TIMEOUT_S)
        _run(database, deliverer, clock, _plan())
        assert {got.way for got in bad.got} == {Way.ERROR, *ways}
        dead = [row for row in _rows(database) if row.state == "dead"]
        assert dead
        assert {row.last_error for row in dead} <= {
            "the receiver answered 410",
            "the receiver answered 410 Gone",
        }
        # The receiver is back: it is switched on again, and its dead letters are sent again.
        with database.write() as session:
            row = lock_receiver(session, "bad")
            assert row is not None
            assert not row.enabled
            row.enabled = True
            assert replay_dead(session, "bad", now=clock.now, limit=1000) == len(dead)
        _run(database, deliverer, clock, [])

    assert bad.wrong == good.wrong == []
    assert httpserver.log == []
    for stream_id in STREAMS:
        assert _of_stream(good, stream_id) == _list_expected(stream_id)
        assert _of_stream(bad, stream_id) == _list_expected(stream_id)
    assert len(good.got) == len(STREAMS) * EVENTS * 2
    for receiver, receiver_id in ((good, "good"), (bad, "bad")):
        ids = {row.id for row in _rows(database) if row.receiver_id == receiver_id}
        assert set(receiver.taken) == ids
        delivered = {(got.message_id, got.event_id, got.type, got.body) for got in receiver.got}
        assert len(delivered) == len(ids)
    _check_waits(bad)
    _check_history(database, bad)


def _check_waits(receiver: Unreliable) -> None:
    """Nothing came to it, of any stream, before the time that its 429s asked for."""
    for got, following in zip(receiver.got, receiver.got[1:], strict=False):
        if got.way is Way.BUSY:
            assert following.at >= got.at + RETRY_AFTER_S


def _check_history(database: Database, receiver: Unreliable) -> None:
    """Each request that came is an attempt on record, with what became of it."""
    statuses = {
        Way.ACCEPT: 204,
        Way.ERROR: 500,
        Way.BUSY: 429,
        Way.REDIRECT: 307,
        Way.GONE: 410,
    }
    for message_id in receiver.taken:
        query = select(AttemptRow).where(AttemptRow.delivery_id == message_id)
        with database.read() as session:
            attempts = session.scalars(query.order_by(AttemptRow.id)).all()
        came = [got for got in receiver.got if got.message_id == message_id]
        assert [attempt.status for attempt in attempts] == [statuses.get(got.way) for got in came]
        assert [attempt.at for attempt in attempts] == [got.at for got in came]
        assert [attempt.error is None for attempt in attempts] == [
            got.way is Way.ACCEPT for got in came
        ]
    assert any(got.way in TAKES and got.way is not Way.ACCEPT for got in receiver.got)
