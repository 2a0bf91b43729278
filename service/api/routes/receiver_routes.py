"""Receivers: what gets notifications.

The same routes stand twice: under `/receivers` for all kinds, and under `/webhooks` for webhooks.
"""

from __future__ import annotations

import time
import uuid
from typing import Annotated

from fastapi import APIRouter, Body, Response
from sqlalchemy import select

from service.alert.attempts import ReceiverKind
from service.alert.claims import make_receiver
from service.alert.receiver_urls import check_receiver_url, find_kind
from service.alert.webhook.webhook_sender import make_secret
from service.api.context import Shared
from service.api.error_answers import RequestRefused, refuse_field
from service.api.receiver_rows import (
    SWITCHED_OFF,
    check_broker_is_free,
    check_streams,
    find_receiver,
    forget_receiver,
)
from service.api.routes import delivery_routes
from service.api.routes.route_kind import RouteKind, find_prefix
from service.api.routes.webhook_texts import copy_for_webhooks
from service.api.schemas.receiver_schemas import (
    NewReceiverOut,
    ReceiverIn,
    ReceiverOut,
    ReceiverPatch,
    ReceiversOut,
    SecretIn,
    SecretOut,
    TrialOut,
    describe_receiver,
    describe_trial,
)
from service.store.tables import ReceiverRow

_routes = APIRouter()


@_routes.post("", status_code=201, summary="Register a receiver")
def create_receiver(
    body: ReceiverIn, context: Shared, route_kind: RouteKind, response: Response
) -> NewReceiverOut:
    """A webhook, an MQTT broker, or one of Apprise's services: `kind`, or else the URL's scheme,
    says which. Messages for webhooks are signed as Standard Webhooks defines it. This answer shows
    a webhook's secret, and no later one does."""
    kind = route_kind or body.kind or find_kind(body.url)
    if body.kind not in (None, kind):
        raise refuse_field(422, "kind", "must be webhook here: use /receivers", body.kind)
    if body.secret is not None and kind is not ReceiverKind.WEBHOOK:
        raise refuse_field(422, "secret", f"signs webhooks, and this is {kind}", body.secret)
    check_receiver_url(kind, body.url, allow_private=context.settings.private_receivers)
    now = time.time()
    row = ReceiverRow(
        id=uuid.uuid4().hex,
        kind=kind.value,
        url=body.url,
        secret=(body.secret or make_secret()) if kind is ReceiverKind.WEBHOOK else "",
        name=body.name,
        event_types=[each.value for each in dict.fromkeys(body.event_types)],
        enabled=True,
        created_at=now,
    )
    with context.database.write() as session:
        check_broker_is_free(session, kind, body.url)
        row.stream_ids = check_streams(session, body.stream_ids)
        session.add(row)
    response.headers["Location"] = f"{find_prefix(route_kind)}/{row.id}"
    return NewReceiverOut(**dict(describe_receiver(row, now)), secret=row.secret or None)


@_routes.get("", summary="List all receivers")
def list_receivers(context: Shared, route_kind: RouteKind) -> ReceiversOut:
    """The oldest first, without their secrets."""
    query = select(ReceiverRow).order_by(ReceiverRow.created_at, ReceiverRow.id)
    if route_kind is not None:
        query = query.where(ReceiverRow.kind == route_kind)
    with context.database.read() as session:
        rows = session.scalars(query).all()
    now = time.time()
    return ReceiversOut(items=[describe_receiver(row, now) for row in rows])


@_routes.get("/{receiver_id}", summary="Read a receiver")
def read_receiver(receiver_id: str, context: Shared, route_kind: RouteKind) -> ReceiverOut:
    """The answer doesn't show its secret."""
    with context.database.read() as session:
        return describe_receiver(find_receiver(session, receiver_id, route_kind), time.time())


@_routes.patch("/{receiver_id}", summary="Change a receiver, or switch it on or off")
def change_receiver(
    receiver_id: str, body: ReceiverPatch, context: Shared, route_kind: RouteKind
) -> ReceiverOut:
    """What is left out stays. While a receiver is off no new messages are written for it, and those
    that wait go on waiting, for three days at most. Switching it on removes the reason why it was
    off; dead letters are sent only when they are replayed."""
    given = body.model_fields_set
    if body.url is not None:
        # Before the transaction: checking some URLs takes a second.
        with context.database.read() as session:
            kind = ReceiverKind(find_receiver(session, receiver_id, route_kind).kind)
        check_receiver_url(kind, body.url, allow_private=context.settings.private_receivers)
    with context.database.write() as session:
        row = find_receiver(session, receiver_id, route_kind, locked=True)
        if body.url is not None:
            check_broker_is_free(session, row.kind, body.url, row.id)
            row.url = body.url
        if body.name is not None:
            row.name = body.name
        if body.event_types is not None:
            row.event_types = [each.value for each in dict.fromkeys(body.event_types)]
        if "stream_ids" in given:
            row.stream_ids = check_streams(session, body.stream_ids)
        if body.enabled is not None:
            _switch(row, enabled=body.enabled)
        if body.url is not None or body.enabled:
            # The old URL asked to wait, not the new one.
            row.held_until = None
    return describe_receiver(row, time.time())


def _switch(row: ReceiverRow, *, enabled: bool) -> None:
    if enabled:
        row.disabled_reason = None
    elif row.enabled:
        row.disabled_reason = SWITCHED_OFF
    row.enabled = enabled


@_routes.delete("/{receiver_id}", status_code=204, summary="Remove a receiver")
def delete_receiver(receiver_id: str, context: Shared, route_kind: RouteKind) -> None:
    """Its messages that wait are deleted too, and streams that name it no longer do."""
    with context.database.write() as session:
        # Streams before receivers, as where a stream is deleted: that can't end in a deadlock.
        forget_receiver(session, receiver_id)
        session.delete(find_receiver(session, receiver_id, route_kind))


@_routes.post("/{receiver_id}/secret", summary="Change the secret of a receiver that is a webhook")
def rotate_secret(
    receiver_id: str,
    context: Shared,
    route_kind: RouteKind,
    body: Annotated[SecretIn, Body(default_factory=SecretIn)],
) -> SecretOut:
    """Messages are signed with the new secret from now on, and for `old_valid_s` with the old one
    too, so that the webhook may change over at any time in between. A secret before the old one
    becomes invalid at once. 409 for other kinds: they have no secret."""
    now = time.time()
    with context.database.write() as session:
        row = find_receiver(session, receiver_id, route_kind, locked=True)
        if row.kind != ReceiverKind.WEBHOOK:
            raise RequestRefused(
                409, f"it has no secret: webhooks are signed, and this is {row.kind}"
            )
        if body.secret == row.secret:
            raise refuse_field(422, "secret", "is the present one already", body.secret)
        row.old_secret, row.old_secret_until = None, None
        if body.old_valid_s:
            row.old_secret, row.old_secret_until = row.secret, now + body.old_valid_s
        row.secret = body.secret or make_secret()
    return SecretOut(secret=row.secret, old_secret_until=row.old_secret_until)


@_routes.post("/{receiver_id}/test", summary="Send a test message to a receiver now")
def test_receiver(receiver_id: str, context: Shared, route_kind: RouteKind) -> TrialOut:
    """A message of the type `test` is sent once and at once, even to a receiver that is off. The
    answer says what the receiver answered, or why it couldn't be reached."""
    with context.database.read() as session:
        row = find_receiver(session, receiver_id, route_kind)
    return describe_trial(context.trials.send(make_receiver(row, time.time())))


_webhook_routes = copy_for_webhooks(_routes, delivery_routes.router)
_routes.include_router(delivery_routes.router)
router = APIRouter()
for _kind, _router in ((None, _routes), (ReceiverKind.WEBHOOK, _webhook_routes)):
    _prefix = find_prefix(_kind)
    router.include_router(_router, prefix=_prefix, tags=[_prefix.removeprefix("/")])
