"""Webhooks and what became of their messages."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from service.alert.outbox import EventType
from service.api.shown import shown_url
from service.api.times import TimeOut
from service.logs import hide_secrets
from service.store.tables import DeliveryRow, WebhookRow

SECRET_BYTES = range(24, 65)
"""What Standard Webhooks asks of a secret."""


class WebhookIn(BaseModel):
    """Somebody who wants to be told."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"url": "https://alerts.example.com/normwatch"},
                {"url": "https://example.com/hook", "event_types": ["event.started"]},
            ]
        },
    )

    url: str = Field(min_length=1, max_length=2000, description="http or https.")
    event_types: list[Annotated[EventType, Field(strict=False)]] = Field(
        default_factory=list, max_length=10, description="[] is all of them."
    )
    secret: str | None = Field(
        None, description="`whsec_` and 24 to 64 bytes in base64. Null makes a new one."
    )

    @field_validator("secret")
    @classmethod
    def _is_secret(cls, value: str | None) -> str | None:
        if value is None:
            return None
        prefix, found, encoded = value.partition("whsec_")
        try:
            size = len(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if prefix or not found or size not in SECRET_BYTES:
            raise ValueError("must be whsec_ and 24 to 64 bytes in base64")
        return value


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    id: str
    url: str
    event_types: list[str]
    enabled: bool
    disabled_reason: str | None
    created_at: TimeOut


class NewWebhookOut(WebhookOut):
    """A webhook that was just made: the only time that its secret is shown."""

    secret: str


class WebhooksOut(BaseModel):
    """All webhooks, the oldest first."""

    items: list[WebhookOut]


class DeliveryOut(BaseModel):
    """One message for a webhook: `waiting`, `delivered` or `dead`."""

    id: str
    event_type: str
    stream_id: str
    state: str
    attempts: int
    created_at: TimeOut
    next_attempt_at: TimeOut | None
    delivered_at: TimeOut | None
    last_status: int | None
    last_error: str | None


class DeliveriesOut(BaseModel):
    """A webhook's messages, the newest first."""

    items: list[DeliveryOut]


def webhook_out(row: WebhookRow) -> WebhookOut:
    """A row, as it is shown."""
    return WebhookOut(
        id=row.id,
        url=shown_url(row.url),
        event_types=row.event_types,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        created_at=row.created_at,
    )


def delivery_out(row: DeliveryRow) -> DeliveryOut:
    """A row, as it is shown."""
    return DeliveryOut(
        id=row.id,
        event_type=row.event_type,
        stream_id=row.stream_id,
        state=row.state,
        attempts=row.attempts,
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at if row.state == "waiting" else None,
        delivered_at=row.delivered_at,
        last_status=row.last_status,
        last_error=None if row.last_error is None else hide_secrets(row.last_error),
    )
