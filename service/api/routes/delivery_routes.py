"""Messages of a receiver: what became of them, and sending them again."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from service.alert.outbox import DeliveryState
from service.alert.replays import MAX_AT_ONCE, count_dead, replay, replay_dead
from service.api.context import Shared
from service.api.error_answers import RequestRefused, refuse_field
from service.api.idents import IDENT
from service.api.receiver_rows import find_receiver
from service.api.routes.route_kind import RouteKind
from service.api.schemas.delivery_schemas import (
    DeliveriesOut,
    DeliveryDetailOut,
    DeliveryOut,
    ReplayOut,
    describe_delivery,
    describe_delivery_detail,
)
from service.api.times import parse_time
from service.errors import NotFound
from service.store.tables import AttemptRow, DeliveryRow, ReceiverRow

router = APIRouter()

_ORDER = (DeliveryRow.created_at, DeliveryRow.sequence, DeliveryRow.id)


def _find_message(session: Session, receiver_id: str, message_id: str) -> DeliveryRow:
    row = session.get(DeliveryRow, message_id) if IDENT.fullmatch(message_id) else None
    if row is None or row.receiver_id != receiver_id:
        raise NotFound("message", message_id)
    return row


@router.get("/{receiver_id}/deliveries", summary="List a receiver's messages")
def list_deliveries(
    receiver_id: str,
    context: Shared,
    route_kind: RouteKind,
    state: Annotated[
        DeliveryState | None, Query(description="Only in this state; `dead` are the dead letters.")
    ] = None,
    before: Annotated[
        str | None, Query(max_length=150, description="The `next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DeliveriesOut:
    """The newest first. Finished ones are kept for 30 days, the newest 100,000 of all receivers."""
    query = select(DeliveryRow).where(DeliveryRow.receiver_id == receiver_id)
    if state is not None:
        query = query.where(DeliveryRow.state == state.value)
    if before is not None:
        query = query.where(tuple_(*_ORDER) < tuple_(*_parse_cursor(before)))
    query = query.order_by(*(column.desc() for column in _ORDER)).limit(limit + 1)
    with context.database.read() as session:
        find_receiver(session, receiver_id, route_kind)
        rows = session.scalars(query).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return DeliveriesOut(
        items=[describe_delivery(row) for row in rows[:limit]],
        next=f"{last.created_at!r}_{last.sequence}_{last.id}" if last else None,
    )


def _parse_cursor(text: str) -> tuple[float, int, str]:
    created_at, _, rest = text.partition("_")
    sequence, _, ident = rest.partition("_")
    try:
        if not (IDENT.fullmatch(ident) and sequence.isascii() and sequence.isdigit()):
            raise ValueError("no id, or no sequence")
        if int(sequence) >= 2**63:
            raise ValueError("the sequence is too large")
        return parse_time(created_at), int(sequence), ident
    except ValueError:
        raise refuse_field(422, "before", "is not the next of an earlier page", text) from None


@router.get("/{receiver_id}/deliveries/{message_id}", summary="Read a message of a receiver")
def read_delivery(
    receiver_id: str, message_id: str, context: Shared, route_kind: RouteKind
) -> DeliveryDetailOut:
    """Its body, and how its attempts went."""
    with context.database.read() as session:
        find_receiver(session, receiver_id, route_kind)
        row = _find_message(session, receiver_id, message_id)
        attempts = session.scalars(
            select(AttemptRow).where(AttemptRow.delivery_id == row.id).order_by(AttemptRow.id)
        ).all()
    return describe_delivery_detail(row, attempts)


@router.post(
    "/{receiver_id}/deliveries/{message_id}/replay", summary="Send a message of a receiver again"
)
def replay_delivery(
    receiver_id: str, message_id: str, context: Shared, route_kind: RouteKind
) -> DeliveryOut:
    """A message that was given up or delivered is sent with the same id, after all that wait. 409
    if it waits already, and if the receiver is off."""
    with context.database.write() as session:
        _check_is_on(find_receiver(session, receiver_id, route_kind, locked=True))
        row = _find_message(session, receiver_id, message_id)
        session.refresh(row, with_for_update=True)
        if row.state == DeliveryState.WAITING:
            raise RequestRefused(409, "the message waits to be sent already")
        replay(session, [row], now=time.time())
        session.refresh(row)
    return describe_delivery(row)


@router.post("/{receiver_id}/replay", summary="Send a receiver's dead letters again")
def replay_receiver(
    receiver_id: str,
    context: Shared,
    route_kind: RouteKind,
    limit: Annotated[
        int, Query(ge=1, le=MAX_AT_ONCE, description="How many of them, the oldest first.")
    ] = MAX_AT_ONCE,
) -> ReplayOut:
    """They are sent in their order, with the same ids, after all that wait. `dead` says how many
    are left for another request. 409 if the receiver is off."""
    with context.database.write() as session:
        _check_is_on(find_receiver(session, receiver_id, route_kind, locked=True))
        replayed = replay_dead(session, receiver_id, now=time.time(), limit=limit)
        return ReplayOut(replayed=replayed, dead=count_dead(session, receiver_id))


def _check_is_on(receiver: ReceiverRow) -> None:
    if not receiver.enabled:
        raise RequestRefused(409, "the receiver is off: switch it on first, with enabled=true")
