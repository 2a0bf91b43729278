"""Answers on a receiver's messages."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from service.alert.outbox import DeliveryState
from service.api.schemas.receiver_schemas import hide_optional_secrets
from service.api.times import TimeOut
from service.store.tables import AttemptRow, DeliveryRow


class DeliveryOut(BaseModel):
    """One message for a receiver: `waiting`, `delivered` or `dead`."""

    id: str
    event_type: str
    stream_id: str
    state: DeliveryState
    attempts: int
    created_at: TimeOut
    replayed_at: TimeOut | None
    next_attempt_at: TimeOut | None
    delivered_at: TimeOut | None
    last_status: int | None
    last_error: str | None


class DeliveriesOut(BaseModel):
    """A page of a receiver's messages, the newest first."""

    items: list[DeliveryOut]
    next: str | None
    """Give it as `before` to get the next page; null when this is the last."""


class AttemptOut(BaseModel):
    """One attempt to deliver a message."""

    at: TimeOut
    took_s: float
    status: int | None
    """Null: there was no answer."""
    answer: str | None
    """Its beginning."""
    error: str | None
    """Null: the receiver accepted the message."""


class DeliveryDetailOut(DeliveryOut):
    """One message, what it says, and how its attempts went."""

    body: str
    """Exactly as it is signed and sent."""
    history: list[AttemptOut]
    """The newest 20 attempts, the oldest of them first."""


class ReplayOut(BaseModel):
    """What a replay did."""

    replayed: int
    """How many dead letters wait again."""
    dead: int
    """How many are left."""


def describe_delivery(row: DeliveryRow) -> DeliveryOut:
    """A row, as it is shown."""
    state = DeliveryState(row.state)
    return DeliveryOut(
        id=row.id,
        event_type=row.event_type,
        stream_id=row.stream_id,
        state=state,
        attempts=row.attempts,
        created_at=row.created_at,
        replayed_at=row.replayed_at,
        next_attempt_at=row.next_attempt_at if state is DeliveryState.WAITING else None,
        delivered_at=row.delivered_at,
        last_status=row.last_status,
        last_error=hide_optional_secrets(row.last_error),
    )


def describe_delivery_detail(row: DeliveryRow, attempts: Sequence[AttemptRow]) -> DeliveryDetailOut:
    """A row with its attempts, as it is shown."""
    history = [
        AttemptOut(
            at=attempt.at,
            took_s=round(attempt.took_s, 3),
            status=attempt.status,
            answer=hide_optional_secrets(attempt.answer),
            error=hide_optional_secrets(attempt.error),
        )
        for attempt in attempts
    ]
    return DeliveryDetailOut(**dict(describe_delivery(row)), body=row.body, history=history)
