"""kill -9 at every step from score to delivery: one event is stored, and notified with one id."""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
import time
from multiprocessing.context import ForkServerContext

import pytest
from pytest_httpserver import HTTPServer
from redis import Redis
from sqlalchemy import select
from standardwebhooks import Webhook
from werkzeug import Request, Response

from service import keys
from service.alert.claims import CUT_OFF
from service.store.database import Database
from service.store.tables import AttemptRow, DeliveryRow, EventRow, ScoreRow
from tests.alert.killable import Step, record_and_deliver, run
from tests.record.rows import SECRET, Worker, add_receiver, add_stream, frame_score
from tests.support.servers import RedisServer

SCORES = (0.9, 0.9, 0.9, 0.1, 0.1)
"""A whole event."""
CHILD_TIMEOUT_S = 60.0
CLAIM_OVER_S = 60.0
"""The claim of a killed front end has run out by then."""
TWICE = (Step.SENT, Step.ANSWERED, Step.SETTLING)
"""Nobody can know whether the receiver has the message: it comes again."""


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Children that don't import everything again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.alert.killable"])
    return context


class Receiver:
    """Checks signatures, and can have its sender killed before it answers the first request."""

    def __init__(self, server: HTTPServer) -> None:
        self.got: list[tuple[str, str]] = []
        self.kills = threading.Event()
        self.killed = threading.Event()
        self.came = threading.Event()
        server.expect_request("/", method="POST").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        body = request.get_data(as_text=True)
        message = Webhook(SECRET).verify(body, dict(request.headers))
        self.got.append((request.headers["Webhook-Id"], message["type"]))
        self.came.set()
        if self.kills.is_set():
            self.killed.wait(CHILD_TIMEOUT_S)
            self.kills.clear()
        return Response("")


def _die_at(
    step: Step,
    processes: ForkServerContext,
    urls: tuple[str, str],
    receiver: Receiver,
) -> None:
    child = processes.Process(target=run, args=(step, *urls))
    if step is Step.SENT:
        receiver.kills.set()
    child.start()
    if step is Step.SENT:
        assert receiver.came.wait(CHILD_TIMEOUT_S)
        child.kill()
    child.join(CHILD_TIMEOUT_S)
    receiver.killed.set()
    assert child.exitcode == -signal.SIGKILL
    child.close()


@pytest.mark.parametrize("step", Step)
def test_an_event_is_stored_once_and_told_with_one_id(
    each_database: Database,
    redis: Redis,
    valkey_server: RedisServer,
    httpserver: HTTPServer,
    processes: ForkServerContext,
    step: Step,
) -> None:
    database, receiver = each_database, Receiver(httpserver)
    add_stream(database)
    add_receiver(database, url=httpserver.url_for("/"))
    Worker(redis).publish("cam", [frame_score(i, value) for i, value in enumerate(SCORES)])
    url = database.engine.url.render_as_string(hide_password=False)
    _die_at(step, processes, (url, valkey_server.url), receiver)
    record_and_deliver(database, valkey_server.url, lambda: time.time() + CLAIM_OVER_S)

    httpserver.check_assertions()
    with database.read() as session:
        frames = list(session.scalars(select(ScoreRow.frame).order_by(ScoreRow.frame)))
        events = list(session.scalars(select(EventRow)))
        messages = list(session.scalars(select(DeliveryRow).order_by(DeliveryRow.sequence)))
        attempts = list(session.scalars(select(AttemptRow).order_by(AttemptRow.id)))
    assert redis.xlen(keys.scores("cam")) == 0
    assert frames == list(range(len(SCORES)))
    (event,) = events
    assert (event.first_frame, event.ended_at is None) == (0, False)
    assert [row.event_type for row in messages] == ["event.started", "event.ended"]
    assert {json.loads(row.body)["data"]["event_id"] for row in messages} == {event.id}
    assert [row.state for row in messages] == ["delivered", "delivered"]
    once = [(row.id, row.event_type) for row in messages]
    assert receiver.got == (once[:1] if step in TWICE else []) + once
    cut_off = step in (*TWICE, Step.CLAIMED)
    assert [row.error for row in attempts] == ([CUT_OFF] if cut_off else []) + [None, None]
