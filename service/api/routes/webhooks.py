"""Webhooks: who is told of events."""

from __future__ import annotations

import time
import uuid
from typing import Annotated

from fastapi import APIRouter, Body, Response
from sqlalchemy import select

from service.alert.attempts import Way
from service.alert.claims import receiver_of
from service.alert.receivers import check_receiver, way_of
from service.alert.webhook.signing import new_secret
from service.api.context import Shared
from service.api.errors import Refused, field_refused
from service.api.routes import deliveries
from service.api.schemas.webhooks import (
    NewWebhookOut,
    SecretIn,
    SecretOut,
    TrialOut,
    WebhookIn,
    WebhookOut,
    WebhookPatch,
    WebhooksOut,
    trial_out,
    webhook_out,
)
from service.api.webhooks import (
    SWITCHED_OFF,
    check_broker_is_free,
    checked_streams,
    find_webhook,
    forget_webhook,
)
from service.store.tables import WebhookRow

router = APIRouter(tags=["webhooks"])
router.include_router(deliveries.router)


@router.post("/webhooks", status_code=201, summary="Be told of events")
def create_webhook(body: WebhookIn, context: Shared, response: Response) -> NewWebhookOut:
    """By a request, by an MQTT broker, or by one of the services that Apprise knows: as `way` says,
    or else the URL's scheme. Requests are signed as Standard Webhooks have it, with the secret that
    is shown here and never again."""
    way = body.way or way_of(body.url)
    if body.secret is not None and way is not Way.WEBHOOK:
        raise field_refused(422, "secret", f"signs webhooks, and this is {way}", body.secret)
    check_receiver(way, body.url, allow_private=context.settings.allow_private_webhooks)
    now = time.time()
    row = WebhookRow(
        id=uuid.uuid4().hex,
        way=way.value,
        url=body.url,
        secret=(body.secret or new_secret()) if way is Way.WEBHOOK else "",
        name=body.name,
        event_types=[kind.value for kind in dict.fromkeys(body.event_types)],
        enabled=True,
        created_at=now,
    )
    with context.database.write() as session:
        check_broker_is_free(session, way, body.url)
        row.stream_ids = checked_streams(session, body.stream_ids)
        session.add(row)
    response.headers["Location"] = f"/webhooks/{row.id}"
    return NewWebhookOut(**dict(webhook_out(row, now)), secret=row.secret or None)


@router.get("/webhooks", summary="All webhooks")
def list_webhooks(context: Shared) -> WebhooksOut:
    """Without their secrets."""
    query = select(WebhookRow).order_by(WebhookRow.created_at, WebhookRow.id)
    with context.database.read() as session:
        rows = session.scalars(query).all()
    now = time.time()
    return WebhooksOut(items=[webhook_out(row, now) for row in rows])


@router.get("/webhooks/{webhook_id}", summary="One webhook")
def read_webhook(webhook_id: str, context: Shared) -> WebhookOut:
    """Without its secret."""
    with context.database.read() as session:
        return webhook_out(find_webhook(session, webhook_id), time.time())


@router.patch("/webhooks/{webhook_id}", summary="Change a webhook, or switch it on or off")
def change_webhook(webhook_id: str, body: WebhookPatch, context: Shared) -> WebhookOut:
    """What is left out stays. While it is off nothing new is written for it, and what waits goes on
    waiting, for three days at most. Switching it on takes back why it was off; dead letters are
    sent only when they are replayed."""
    given = body.model_fields_set
    if body.url is not None:
        # Before the transaction: a look at some URLs takes a second.
        with context.database.read() as session:
            way = Way(find_webhook(session, webhook_id).way)
        check_receiver(way, body.url, allow_private=context.settings.allow_private_webhooks)
    with context.database.write() as session:
        row = find_webhook(session, webhook_id, locked=True)
        if body.url is not None:
            check_broker_is_free(session, row.way, body.url, row.id)
            row.url = body.url
        if body.name is not None:
            row.name = body.name
        if body.event_types is not None:
            row.event_types = [kind.value for kind in dict.fromkeys(body.event_types)]
        if "stream_ids" in given:
            row.stream_ids = checked_streams(session, body.stream_ids)
        if body.enabled is not None:
            _switch(row, enabled=body.enabled)
        if body.url is not None or body.enabled:
            # What one receiver asked for is not what the next one asks for.
            row.held_until = None
    return webhook_out(row, time.time())


def _switch(row: WebhookRow, *, enabled: bool) -> None:
    if enabled:
        row.disabled_reason = None
    elif row.enabled:
        row.disabled_reason = SWITCHED_OFF
    row.enabled = enabled


@router.delete("/webhooks/{webhook_id}", status_code=204, summary="Be told no more")
def delete_webhook(webhook_id: str, context: Shared) -> None:
    """What waits for it goes too, and streams that name it forget it."""
    with context.database.write() as session:
        # Streams before webhooks, as where a stream is deleted: neither waits for the other.
        forget_webhook(session, webhook_id)
        session.delete(find_webhook(session, webhook_id))


@router.post("/webhooks/{webhook_id}/secret", summary="Change the secret")
def rotate_secret(
    webhook_id: str, context: Shared, body: Annotated[SecretIn, Body(default_factory=SecretIn)]
) -> SecretOut:
    """Messages are signed with the new secret from now on, and with the old one beside it for as
    long as `old_valid_s` says: receivers may change over at any time between. A secret before the
    old one is forgotten at once."""
    now = time.time()
    with context.database.write() as session:
        row = find_webhook(session, webhook_id, locked=True)
        if row.way != Way.WEBHOOK:
            raise Refused(409, f"it has no secret: webhooks are signed, and this is {row.way}")
        if body.secret == row.secret:
            raise field_refused(422, "secret", "is the present one already", body.secret)
        row.old_secret, row.old_secret_until = None, None
        if body.old_valid_s:
            row.old_secret, row.old_secret_until = row.secret, now + body.old_valid_s
        row.secret = body.secret or new_secret()
    return SecretOut(secret=row.secret, old_secret_until=row.old_secret_until)


@router.post("/webhooks/{webhook_id}/test", summary="Send a test message now")
def test_webhook(webhook_id: str, context: Shared) -> TrialOut:
    """A message of the type `test`, sent once and at once, also to a webhook that is off;
    the answer says what its receiver said, or why it couldn't be reached."""
    with context.database.read() as session:
        row = find_webhook(session, webhook_id)
    return trial_out(context.trials.send(receiver_of(row, time.time())))
