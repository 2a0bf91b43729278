"""Webhooks: who is told of events."""

from __future__ import annotations

import time
import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.alert.addresses import check_url
from service.alert.signing import new_secret
from service.api.context import Shared
from service.api.schemas.webhooks import (
    DeliveriesOut,
    NewWebhookOut,
    WebhookIn,
    WebhookOut,
    WebhooksOut,
    delivery_out,
    webhook_out,
)
from service.api.streams import IDENT
from service.errors import NotFound
from service.store.tables import DeliveryRow, StreamRow, WebhookRow

router = APIRouter(tags=["webhooks"])


def _find(session: Session, webhook_id: str) -> WebhookRow:
    row = session.get(WebhookRow, webhook_id) if IDENT.fullmatch(webhook_id) else None
    if row is None:
        raise NotFound("webhook", webhook_id)
    return row


@router.post("/webhooks", status_code=201, summary="Be told of events")
def create_webhook(body: WebhookIn, context: Shared, response: Response) -> NewWebhookOut:
    """Messages are signed as Standard Webhooks have it, with the secret that is shown here and
    never again."""
    check_url(body.url, allow_private=context.settings.allow_private_webhooks)
    row = WebhookRow(
        id=uuid.uuid4().hex,
        url=body.url,
        secret=body.secret or new_secret(),
        event_types=[kind.value for kind in dict.fromkeys(body.event_types)],
        enabled=True,
        created_at=time.time(),
    )
    with context.database.write() as session:
        session.add(row)
    response.headers["Location"] = f"/webhooks/{row.id}"
    return NewWebhookOut(**dict(webhook_out(row)), secret=row.secret)


@router.get("/webhooks", summary="All webhooks")
def list_webhooks(context: Shared) -> WebhooksOut:
    """Without their secrets."""
    query = select(WebhookRow).order_by(WebhookRow.created_at, WebhookRow.id)
    with context.database.read() as session:
        rows = session.scalars(query).all()
    return WebhooksOut(items=[webhook_out(row) for row in rows])


@router.get("/webhooks/{webhook_id}", summary="One webhook")
def read_webhook(webhook_id: str, context: Shared) -> WebhookOut:
    """Without its secret."""
    with context.database.read() as session:
        return webhook_out(_find(session, webhook_id))


@router.delete("/webhooks/{webhook_id}", status_code=204, summary="Be told no more")
def delete_webhook(webhook_id: str, context: Shared) -> None:
    """What waits for it goes too, and streams that name it forget it."""
    with context.database.write() as session:
        session.delete(_find(session, webhook_id))
        for stream in session.scalars(select(StreamRow).with_for_update()):
            if stream.webhook_ids and webhook_id in stream.webhook_ids:
                stream.webhook_ids = [ident for ident in stream.webhook_ids if ident != webhook_id]


@router.get("/webhooks/{webhook_id}/deliveries", summary="What became of its messages")
def list_deliveries(
    webhook_id: str,
    context: Shared,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DeliveriesOut:
    """The newest first."""
    query = (
        select(DeliveryRow)
        .where(DeliveryRow.webhook_id == webhook_id)
        .order_by(DeliveryRow.created_at.desc(), DeliveryRow.sequence.desc())
        .limit(limit)
    )
    with context.database.read() as session:
        _find(session, webhook_id)
        rows = session.scalars(query).all()
    return DeliveriesOut(items=[delivery_out(row) for row in rows])
