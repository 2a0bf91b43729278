"""Answers on a receiver's messages."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from service.alert.outbox import DeliveryState
from service.api.schemas.copied_fields import copy_fields
from service.api.schemas.receiver_schemas import AttemptOut, describe_attempt, hide_optional_secrets
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
    """Return the answer about a row."""
    is_waiting = row.state == DeliveryState.WAITING
    return copy_fields(
        DeliveryOut,
        row,
        next_attempt_at=row.next_attempt_at if is_waiting else None,
        last_error=hide_optional_secrets(row.last_error),
    )


def describe_delivery_detail(row: DeliveryRow, attempts: Sequence[AttemptRow]) -> DeliveryDetailOut:
    """Return the answer about a row with its attempts."""
    history = [describe_attempt(AttemptOut, attempt) for attempt in attempts]
    return DeliveryDetailOut(**dict(describe_delivery(row)), body=row.body, history=history)
