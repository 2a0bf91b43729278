"""Webhooks: what registers, changes and tests one."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from service.alert.attempts import Attempt, Way
from service.alert.outbox import EventType
from service.alert.trials import Trial
from service.api.shown import shown_url
from service.api.times import TimeOut
from service.logs import hide_secrets
from service.store.tables import WebhookRow

SECRET_BYTES = range(24, 65)
"""What Standard Webhooks asks of a secret."""
DAY_S = 86_400.0
MAX_OLD_SECRET_S = 30 * DAY_S


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


def _secret(value: str | None) -> str | None:
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


Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2000,
        description="http or https; mqtt or mqtts; or any that Apprise takes. On a public address.",
    ),
]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=200),
    AfterValidator(_printable),
]
EventTypes = Annotated[
    list[Annotated[EventType, Field(strict=False)]],
    Field(max_length=10, description="[] is all of them."),
]
StreamIds = Annotated[
    list[str] | None,
    Field(
        max_length=1000,
        description="The streams that it hears of. Null is all of them, [] is none. A stream's own "
        "`webhook_ids` must allow it, too.",
    ),
]
Secret = Annotated[
    str | None,
    AfterValidator(_secret),
    Field(description="`whsec_` and 24 to 64 bytes in base64. Null makes a new one."),
]


class WebhookIn(BaseModel):
    """Somebody who wants to be told."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"url": "https://alerts.example.com/normwatch"},
                {
                    "name": "On-call",
                    "url": "https://example.com/hook",
                    "event_types": ["event.started"],
                },
                {"url": "mqtts://user:password@broker.example.com/normwatch"},
                {"url": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"},
            ]
        },
    )

    url: Url
    way: Annotated[Way | None, Field(strict=False)] = None
    """Null goes by the URL's scheme."""
    name: Name = ""
    event_types: EventTypes = Field(default_factory=list)
    stream_ids: StreamIds = None
    secret: Secret = None


class WebhookPatch(BaseModel):
    """Changes to a webhook. What is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"enabled": True}, {"event_types": ["event.started"]}]},
    )

    url: Url | None = None
    name: Name | None = None
    event_types: EventTypes | None = None
    stream_ids: StreamIds = None
    enabled: bool | None = None

    @field_validator("url", "name", "event_types", "enabled", mode="before")
    @classmethod
    def _given(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null")
        return value


class SecretIn(BaseModel):
    """A new secret in the place of the present one, which stays valid beside it for a while."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{}, {"old_valid_s": 3600}, {"old_valid_s": 0}]},
    )

    secret: Secret = None
    old_valid_s: float = Field(
        DAY_S,
        ge=0,
        le=MAX_OLD_SECRET_S,
        allow_inf_nan=False,
        description="Seconds for which the old secret signs beside the new one, at most 30 days; "
        "0 forgets it at once.",
    )


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    id: str
    name: str
    way: Way
    url: str
    """Without credentials; of Apprise's the scheme alone: any part of them may be one."""
    event_types: list[str]
    stream_ids: list[str] | None
    """Null: all."""
    enabled: bool
    disabled_reason: str | None
    held_until: TimeOut | None
    """Its receiver asked for nothing before then."""
    old_secret_until: TimeOut | None
    """Until then the secret before the present one signs, too."""
    created_at: TimeOut


class NewWebhookOut(WebhookOut):
    """A webhook that was just made: the only time that its secret is shown."""

    secret: str | None
    """Null where nothing is signed."""


class WebhooksOut(BaseModel):
    """All webhooks, the oldest first."""

    items: list[WebhookOut]


class SecretOut(BaseModel):
    """A secret that was just made: the only time that it is shown."""

    secret: str
    old_secret_until: TimeOut | None
    """Null: the old one is not valid any more."""


class TrialOut(BaseModel):
    """What came of a test message."""

    message_id: str
    accepted: bool
    """The receiver answered 2xx; the broker acknowledged it; the service took it."""
    at: TimeOut
    took_s: float
    status: int | None
    """Null: there was no answer."""
    answer: str | None
    """Its beginning."""
    error: str | None


def webhook_out(row: WebhookRow, now: float) -> WebhookOut:
    """A row, as it is shown."""
    return WebhookOut(
        id=row.id,
        name=row.name,
        way=Way(row.way),
        url=_shown(row),
        event_types=row.event_types,
        stream_ids=row.stream_ids,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        held_until=_ahead(row.held_until, now),
        old_secret_until=_ahead(row.old_secret_until, now),
        created_at=row.created_at,
    )


def _shown(row: WebhookRow) -> str:
    if row.way == Way.APPRISE:
        return f"{row.url.partition('://')[0]}://…"
    return shown_url(row.url)


def trial_out(trial: Trial) -> TrialOut:
    """A trial, as it is shown."""
    attempt: Attempt = trial.attempt
    return TrialOut(
        message_id=trial.message_id,
        accepted=attempt.error is None,
        at=attempt.at,
        took_s=round(attempt.took_s, 3),
        status=attempt.status,
        answer=shown_text(attempt.answer),
        error=shown_text(attempt.error),
    )


def shown_text(text: str | None) -> str | None:
    """What a receiver or an error said, without secrets."""
    return None if text is None else hide_secrets(text)


def _ahead(time_s: float | None, now: float) -> float | None:
    return time_s if time_s is not None and time_s > now else None
