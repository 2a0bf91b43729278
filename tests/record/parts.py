"""What tests of recording begin with: a recorder, and what is stored."""

from __future__ import annotations

from redis import Redis
from sqlalchemy import select

from service.bus.scores import Scores
from service.metrics import Metrics
from service.record.recorder import Recorder
from service.settings import Settings
from service.store.database import Database
from service.store.tables import DeliveryRow, EventRow, ScoreRow

HIGH, LOW = 0.9, 0.1


class Clock:
    """Time that tests move."""

    def __init__(self, now: float = 1010.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def make_recorder(
    database: Database,
    redis: Redis,
    clock: Clock | None = None,
    *,
    owner: str = "front",
    metrics: Metrics | None = None,
) -> Recorder:
    """One with short events."""
    settings = Settings(event_start_s=0.2, event_quiet_s=0.2, event_silence_s=10.0)
    return Recorder(
        database, redis, settings, metrics or Metrics(), owner=owner, clock=clock or Clock()
    )


def frames_of(database: Database, stream_id: str = "cam") -> list[int]:
    """Frames that are stored, in order."""
    query = select(ScoreRow.frame).where(ScoreRow.stream_id == stream_id).order_by(ScoreRow.frame)
    with database.read() as session:
        return list(session.scalars(query))


def events_of(database: Database) -> list[EventRow]:
    """Events that are stored, in order."""
    with database.read() as session:
        return list(session.scalars(select(EventRow).order_by(EventRow.first_frame)))


def messages_of(database: Database) -> list[tuple[str, str]]:
    """Stream and type of all messages, in order."""
    query = select(DeliveryRow).order_by(DeliveryRow.stream_id, DeliveryRow.sequence)
    with database.read() as session:
        return [(row.stream_id, row.event_type) for row in session.scalars(query)]


def waiting_of(redis: Redis, stream_id: str = "cam") -> int:
    """Scores that wait in Redis."""
    return Scores(redis, 100_000).count_waiting([stream_id])
