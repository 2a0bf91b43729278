"""What tests of deliveries begin with: a clock, a receiver, messages that wait."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from pytest_httpserver import HTTPServer
from sqlalchemy import func, select
from werkzeug import Request, Response

from service.alert.deliverer import Deliverer
from service.alert.outbox import EventData, iso8601
from service.alert.senders import make_senders
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database
from service.store.tables import AttemptRow, DeliveryRow, EventRow

NOW = 1795507200.0
JPEG = b"\xff\xd8\xff\xe0 not much of a picture \xff\xd9"


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Receiver:
    """A webhook that answers as a test sets it, and remembers what it got."""

    def __init__(self, server: HTTPServer, path: str = "/") -> None:
        self.statuses: list[int] = []
        """Statuses of the next answers; 200 when there are none left."""
        self.headers: dict[str, str] = {}
        self.answer = ""
        """The body of its answers."""
        self.got: list[tuple[dict[str, str], str]] = []
        self.url = server.url_for(path)
        server.expect_request(path, method="POST").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        self.got.append((dict(request.headers), request.get_data(as_text=True)))
        status = self.statuses.pop(0) if self.statuses else 200
        return Response(self.answer, status, headers=self.headers)

    def has(self, count: int) -> bool:
        """Return whether that many requests have come."""
        return len(self.got) >= count

    @property
    def ids(self) -> list[str]:
        """Message ids in the order in which they came."""
        return [headers["Webhook-Id"] for headers, _ in self.got]


def make_deliverer(
    database: Database,
    clock: Callable[[], float],
    *,
    metrics: Metrics | None = None,
    max_attempts: int = 12,
    allow_private: bool = True,
    timeout_s: float = 20.0,
) -> Deliverer:
    """Make a deliverer, by default one that may call this machine."""
    settings = Settings(
        allow_private_receivers=allow_private,
        receiver_max_attempts=max_attempts,
        receiver_timeout_s=timeout_s,
    )
    senders = make_senders(settings)
    return Deliverer(database, settings, metrics or Metrics(), senders, clock=clock)


def add_message(
    database: Database, message_id: str = "msg_1", *, stream: str = "cam", receiver: str = "hook"
) -> None:
    """Add a message that waits since NOW, behind those that were added before."""
    with database.write() as session:
        newest = session.scalar(select(func.max(DeliveryRow.sequence))) or 0
        session.add(
            DeliveryRow(
                id=message_id,
                sequence=newest + 1,
                receiver_id=receiver,
                stream_id=stream,
                event_type="event.started",
                body=json.dumps({"type": "event.started", "data": {"id": message_id}}),
                state="waiting",
                attempts=0,
                next_attempt_at=NOW,
                created_at=NOW,
            )
        )


def message_row(database: Database, message_id: str = "msg_1") -> DeliveryRow:
    """Read a message."""
    with database.read() as session:
        return session.get_one(DeliveryRow, message_id)


def attempt_rows(database: Database, message_id: str = "msg_1") -> list[AttemptRow]:
    """Read its attempts, the first one first."""
    query = select(AttemptRow).where(AttemptRow.delivery_id == message_id).order_by(AttemptRow.id)
    with database.read() as session:
        return list(session.scalars(query))


def add_event(
    database: Database,
    ident: str,
    *,
    stream: str = "cam",
    ended_at: float | None = None,
    picture: bytes = JPEG,
) -> None:
    """Add an event that was notified, as the recorder would."""
    with database.write() as session:
        session.add(
            EventRow(
                id=ident,
                stream_id=stream,
                started_at=time.time(),
                ended_at=ended_at,
                first_frame=10,
                last_frame=20,
                peak_score=0.91,
                peak_frame=14,
                threshold=0.5,
                picture=picture,
            )
        )


def event_data(event_id: str = "evt_1", started_at: float = NOW) -> EventData:
    """Make the data of a message on an event that goes on."""
    return EventData(
        event_id=event_id,
        stream_id="cam",
        stream_name="The cam",
        started_at=iso8601(started_at),
        ended_at=None,
        first_frame=3,
        last_frame=7,
        peak_score=0.9,
        peak_frame=5,
        threshold=0.5,
        region=(0.0, 0.25, 0.5, 1.0),
    )
