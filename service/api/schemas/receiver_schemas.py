"""Requests that register, change and test receivers, and their answers."""

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

from model.footage.locations import redact_url
from service.alert.attempts import Attempt, ReceiverKind
from service.alert.outbox import EventType
from service.alert.test_messages import Trial
from service.api.schemas.copied_fields import Answer, copy_fields
from service.api.times import TimeOut
from service.characters import refuse_controls
from service.logs import hide_secrets
from service.store.tables import AttemptRow, ReceiverRow

SECRET_BYTES = range(24, 65)
"""How many bytes Standard Webhooks allows in a secret."""
DAY_S = 86_400.0
MAX_OLD_SECRET_S = 30 * DAY_S


def _check_secret(value: str | None) -> str | None:
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
        description="http or https; mqtt or mqtts; or any that Apprise knows. On a public address. "
        "`/webhooks` takes http and https only.",
    ),
]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(refuse_controls)
]
EventTypes = Annotated[
    list[Annotated[EventType, Field(strict=False)]],
    Field(max_length=10, description="[] is all of them."),
]
StreamIds = Annotated[
    list[str] | None,
    Field(
        max_length=1000,
        description="The streams that it is notified of. Null is all of them, [] is none. A "
        "stream's own `receiver_ids` must allow it, too.",
    ),
]
Secret = Annotated[
    str | None,
    AfterValidator(_check_secret),
    Field(description="`whsec_` and 24 to 64 bytes in base64. Null makes a new one."),
]


class ReceiverIn(BaseModel):
    """A receiver to register."""

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
    kind: Annotated[ReceiverKind | None, Field(strict=False)] = None
    """Null: the URL's scheme decides."""
    name: Name = ""
    event_types: EventTypes = Field(default_factory=list)
    stream_ids: StreamIds = None
    secret: Secret = None


class ReceiverPatch(BaseModel):
    """Changes to a receiver. What is left out stays."""

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
    def _refuse_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null")
        return value


class SecretIn(BaseModel):
    """A new secret. The present one stays valid for a while."""

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
        description="Seconds for which the old secret signs too, at most 30 days; 0: for none.",
    )


class ReceiverOut(BaseModel):
    """A receiver, without its secret."""

    id: str
    name: str
    kind: ReceiverKind
    url: str
    """Without credentials. Only the scheme of Apprise's URLs: any part of them may be one."""
    event_types: list[str]
    stream_ids: list[str] | None
    """Null: all."""
    enabled: bool
    disabled_reason: str | None
    held_until: TimeOut | None
    """The receiver asked to get nothing before then."""
    old_secret_until: TimeOut | None
    """The secret before the present one signs too until then."""
    created_at: TimeOut


class NewReceiverOut(ReceiverOut):
    """A receiver that was just made. No other answer shows its secret."""

    secret: str | None
    """Null for kinds that sign nothing."""


class ReceiversOut(BaseModel):
    """Receivers, the oldest first."""

    items: list[ReceiverOut]


class SecretOut(BaseModel):
    """A secret that was just made. No other answer shows it."""

    secret: str
    old_secret_until: TimeOut | None
    """Null: the old one is not valid any more."""


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


class TrialOut(BaseModel):
    """What came of a test message."""

    message_id: str
    accepted: bool
    """The webhook answered 2xx, the broker acknowledged it, or the service accepted it."""
    at: TimeOut
    took_s: float
    status: int | None
    """Null: there was no answer."""
    answer: str | None
    """Its beginning."""
    error: str | None


def describe_receiver(row: ReceiverRow, now: float) -> ReceiverOut:
    """Make the answer for a row."""
    return copy_fields(
        ReceiverOut,
        row,
        url=_hide_credentials(row),
        held_until=_keep_future(row.held_until, now),
        old_secret_until=_keep_future(row.old_secret_until, now),
    )


def _hide_credentials(row: ReceiverRow) -> str:
    if row.kind == ReceiverKind.APPRISE:
        return f"{row.url.partition('://')[0]}://…"
    return redact_url(row.url)


def describe_trial(trial: Trial) -> TrialOut:
    """Make the answer for a test message."""
    attempt = trial.attempt
    return describe_attempt(
        TrialOut, attempt, message_id=trial.message_id, accepted=attempt.error is None
    )


def describe_attempt(
    answer: type[Answer], attempt: Attempt | AttemptRow, **others: object
) -> Answer:
    """Make an answer about an attempt, without secrets."""
    return copy_fields(
        answer,
        attempt,
        took_s=round(attempt.took_s, 3),
        answer=hide_optional_secrets(attempt.answer),
        error=hide_optional_secrets(attempt.error),
        **others,
    )


def hide_optional_secrets(text: str | None) -> str | None:
    """Hide secrets in what a receiver answered, or in an error; None stays None."""
    return None if text is None else hide_secrets(text)


def _keep_future(time_s: float | None, now: float) -> float | None:
    return time_s if time_s is not None and time_s > now else None
