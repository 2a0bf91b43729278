"""Messages of a webhook: what became of them, and sending them again."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from service.alert.outbox import DeliveryState
from service.alert.replays import MAX_AT_ONCE, count_dead, replay, replay_dead
from service.api.context import Shared
from service.api.errors import Refused, field_refused
from service.api.idents import IDENT
from service.api.schemas.deliveries import (
    DeliveriesOut,
    DeliveryDetailOut,
    DeliveryOut,
    ReplayOut,
    delivery_detail_out,
    delivery_out,
)
from service.api.times import parse_time
from service.api.webhooks import find_webhook
from service.errors import NotFound
from service.store.tables import AttemptRow, DeliveryRow, WebhookRow

router = APIRouter()

_ORDER = (DeliveryRow.created_at, DeliveryRow.sequence, DeliveryRow.id)


def _find(session: Session, webhook_id: str, message_id: str) -> DeliveryRow:
    row = session.get(DeliveryRow, message_id) if IDENT.fullmatch(message_id) else None
    if row is None or row.webhook_id != webhook_id:
        raise NotFound("message", message_id)
    return row


@router.get("/webhooks/{webhook_id}/deliveries", summary="What became of its messages")
def list_deliveries(
    webhook_id: str,
    context: Shared,
    state: Annotated[
        DeliveryState | None, Query(description="Only these; `dead` are the dead letters.")
    ] = None,
    before: Annotated[
        str | None, Query(max_length=150, description="The `next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DeliveriesOut:
    """The newest first. Finished ones are kept for 30 days, the newest 100,000 of all webhooks."""
    query = select(DeliveryRow).where(DeliveryRow.webhook_id == webhook_id)
    if state is not None:
        query = query.where(DeliveryRow.state == state.value)
    if before is not None:
        query = query.where(tuple_(*_ORDER) < tuple_(*_cursor(before)))
    query = query.order_by(*(column.desc() for column in _ORDER)).limit(limit + 1)
    with context.database.read() as session:
        find_webhook(session, webhook_id)
        rows = session.scalars(query).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return DeliveriesOut(
        items=[delivery_out(row) for row in rows[:limit]],
        next=f"{last.created_at!r}_{last.sequence}_{last.id}" if last else None,
    )


def _cursor(text: str) -> tuple[float, int, str]:
    created_at, _, rest = text.partition("_")
    sequence, _, ident = rest.partition("_")
    try:
        if not (IDENT.fullmatch(ident) and sequence.isascii() and sequence.isdigit()):
            raise ValueError("no id, or no sequence")
        if int(sequence) >= 2**63:
            raise ValueError("the sequence is too large")
        return parse_time(created_at), int(sequence), ident
    except ValueError:
        raise field_refused(422, "before", "is not the next of an earlier page", text) from None


@router.get("/webhooks/{webhook_id}/deliveries/{message_id}", summary="One message")
def read_delivery(webhook_id: str, message_id: str, context: Shared) -> DeliveryDetailOut:
    """Its body, and how its attempts went."""
    with context.database.read() as session:
        find_webhook(session, webhook_id)
        row = _find(session, webhook_id, message_id)
        attempts = session.scalars(
            select(AttemptRow).where(AttemptRow.delivery_id == row.id).order_by(AttemptRow.id)
        ).all()
    return delivery_detail_out(row, attempts)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{message_id}/replay", summary="Send a message again"
)
def replay_delivery(webhook_id: str, message_id: str, context: Shared) -> DeliveryOut:
    """One that was given up or delivered, with the same `webhook-id`, after all that waits; 409 for
    one that waits already, and for a webhook that is off."""
    with context.database.write() as session:
        _check_enabled(find_webhook(session, webhook_id, locked=True))
        row = _find(session, webhook_id, message_id)
        session.refresh(row, with_for_update=True)
        if row.state == DeliveryState.WAITING:
            raise Refused(409, "the message waits to be sent already")
        replay(session, [row], now=time.time())
        session.refresh(row)
    return delivery_out(row)


@router.post("/webhooks/{webhook_id}/replay", summary="Send its dead letters again")
def replay_webhook(
    webhook_id: str,
    context: Shared,
    limit: Annotated[
        int, Query(ge=1, le=MAX_AT_ONCE, description="So many of them, the oldest first.")
    ] = MAX_AT_ONCE,
) -> ReplayOut:
    """In their order, with the same `webhook-id`s, after all that waits; `dead` says how many are
    left for a next request. 409 for a webhook that is off."""
    with context.database.write() as session:
        _check_enabled(find_webhook(session, webhook_id, locked=True))
        replayed = replay_dead(session, webhook_id, now=time.time(), limit=limit)
        return ReplayOut(replayed=replayed, dead=count_dead(session, webhook_id))


def _check_enabled(webhook: WebhookRow) -> None:
    if not webhook.enabled:
        raise Refused(409, "the webhook is off: switch it on first, with enabled=true")
