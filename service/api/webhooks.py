"""Webhooks in the database: found, and the streams that they name."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.alert.attempts import Way
from service.alert.mqtt.targets import parse
from service.alert.replays import lock_webhook
from service.api.errors import field_refused
from service.api.idents import IDENT, checked_ids
from service.errors import NotFound
from service.store.tables import StreamRow, WebhookRow

SWITCHED_OFF = "it was switched off"


def find_webhook(session: Session, webhook_id: str, *, locked: bool = False) -> WebhookRow:
    """The row; `locked` against other changes until the transaction ends. Raises: NotFound."""
    row = None
    if IDENT.fullmatch(webhook_id):
        row = lock_webhook(session, webhook_id) if locked else session.get(WebhookRow, webhook_id)
    if row is None:
        raise NotFound("webhook", webhook_id)
    return row


def checked_streams(session: Session, stream_ids: list[str] | None) -> list[str] | None:
    """The ids, each once. Raises: Refused: one names no stream."""
    return checked_ids(session, stream_ids, StreamRow.id, "stream_ids", "stream")


def check_broker_is_free(
    session: Session, way: str, url: str, webhook_id: str | None = None
) -> None:
    """Two webhooks must not write the same topics of one broker. Raises: Refused: they would."""
    if way != Way.MQTT:
        return
    place = parse(url).place[:3]
    others = select(WebhookRow).where(WebhookRow.way == way, WebhookRow.id != (webhook_id or ""))
    for other in session.scalars(others):
        if parse(other.url).place[:3] == place:
            reason = (
                f"webhook {other.id} has this broker and topic prefix already: give this one "
                "another prefix, as in mqtt://broker/PREFIX"
            )
            raise field_refused(409, "url", reason, url)


def forget_stream(session: Session, stream_id: str) -> None:
    """Take a deleted stream out of the webhooks that name it; one that named it alone hears of
    none, rather than of all."""
    for webhook in session.scalars(select(WebhookRow).with_for_update(key_share=True)):
        if webhook.stream_ids and stream_id in webhook.stream_ids:
            webhook.stream_ids = [ident for ident in webhook.stream_ids if ident != stream_id]


def forget_webhook(session: Session, webhook_id: str) -> None:
    """Take a deleted webhook out of the streams that name it."""
    for stream in session.scalars(select(StreamRow).with_for_update()):
        if stream.webhook_ids and webhook_id in stream.webhook_ids:
            stream.webhook_ids = [ident for ident in stream.webhook_ids if ident != webhook_id]
